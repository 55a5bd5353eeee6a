import { type Duplicate, LAST_DESCRIPTOR, type Move } from '../../src/plan/descriptors.js';

/** What an open descriptor refers to, by any name, and whether it survives exec. */
export interface Entry {
  readonly file: string;
  readonly closeOnExec: boolean;
}

/** A simulated descriptor table: descriptor number to entry. */
export type Table = ReadonlyMap<number, Entry>;

/** A table of descriptors that survive exec. */
export function tableOf(entries: Iterable<readonly [number, string]>): Table {
  return new Map([...entries].map(([fd, file]) => [fd, { file, closeOnExec: false }]));
}

/** Does what the kernel does for each move; throws where a call would fail. */
export function applyMoves(table: Table, moves: readonly Move[]): Table {
  const result = new Map(table);
  const duplicates: number[] = [];
  const entry = (fd: number): Entry => {
    const found = result.get(fd);
    if (found === undefined) throw new Error(`EBADF: ${fd}`);
    return found;
  };
  const numberOf = (from: number | Duplicate): number =>
    typeof from === 'number' ? from : (duplicates[from.duplicate] as number);
  for (const move of moves) {
    switch (move.move) {
      case 'duplicate': {
        const { file } = entry(move.from);
        let fd = move.floor;
        while (result.has(fd)) fd++;
        result.set(fd, { file, closeOnExec: true });
        duplicates.push(fd);
        break;
      }
      case 'place': {
        const from = numberOf(move.from);
        if (from === move.to) throw new Error(`EINVAL: dup3(${from}, ${from})`);
        result.set(move.to, { file: entry(from).file, closeOnExec: false });
        break;
      }
      case 'close': {
        const { first, last } = move;
        if (first < 0 || first > last || last > LAST_DESCRIPTOR) {
          throw new Error(`EINVAL: close_range(${first}, ${last})`);
        }
        for (const fd of [...result.keys()]) if (fd >= first && fd <= last) result.delete(fd);
        break;
      }
    }
  }
  return result;
}

/** What a table's descriptors refer to, in order of their numbers. */
export function filesOf(table: Table): [number, string][] {
  return [...table].map(([fd, { file }]): [number, string] => [fd, file]).sort(byNumber);
}

function byNumber([a]: readonly [number, string], [b]: readonly [number, string]): number {
  return a - b;
}
