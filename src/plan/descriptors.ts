/**
 * The descriptor shuffle: which calls turn the parent's table into the one the child asked for.
 * A pure function, because the order is a permutation problem that is easy to get wrong.
 */

/** A duplicate made on the way; its number is only known when the plan runs. */
export interface Duplicate {
  readonly duplicate: number;
}

export type Move =
  /** fcntl(from, F_DUPFD_CLOEXEC, floor): the n-th duplicate. */
  | { readonly move: 'duplicate'; readonly from: number; readonly floor: number }
  /** dup3(from, to, 0). */
  | { readonly move: 'place'; readonly from: number | Duplicate; readonly to: number }
  /** close_range(first, last, 0). */
  | { readonly move: 'close'; readonly first: number; readonly last: number };

/** The highest descriptor number there is, as close_range(2) writes it. */
export const LAST_DESCRIPTOR = 0xffffffff;

/**
 * `map` says for each descriptor of the child which descriptor of the parent it is. All sources
 * are open and not close-on-exec. `errorPipe` is above every target and no source; it stays open.
 * Afterwards the child has the targets, the error pipe, and nothing else that survives exec.
 */
export function shuffle(map: ReadonlyMap<number, number>, errorPipe: number): Move[] {
  const moves: Move[] = [];
  const duplicates = new Map<number, Duplicate>();
  let highest = -1;
  // Not all at once as arguments: there may be more than a call can take.
  for (const to of map.keys()) highest = Math.max(highest, to);

  // A source at or below the highest target may be overwritten before it is used: move it away.
  for (const [to, from] of map) {
    if (from === to || from > highest || duplicates.has(from)) continue;
    duplicates.set(from, { duplicate: duplicates.size });
    moves.push({ move: 'duplicate', from, floor: highest + 1 });
  }
  // Place the rest. dup3 refuses equal descriptors, and those are in their place already.
  for (const [to, from] of map) {
    if (from !== to) moves.push({ move: 'place', from: duplicates.get(from) ?? from, to });
  }
  return [...moves, ...closeAllBut([...map.keys()], errorPipe)];
}

/** Closes everything but `kept` and the error pipe: the gaps between them, as ranges. */
export function closeAllBut(kept: readonly number[], errorPipe: number, from = 0): Move[] {
  const moves: Move[] = [];
  let first = from;
  for (const fd of [...new Set([...kept, errorPipe])].sort((a, b) => a - b)) {
    if (fd < first) continue;
    if (fd > first) moves.push({ move: 'close', first, last: fd - 1 });
    first = fd + 1;
  }
  moves.push({ move: 'close', first, last: LAST_DESCRIPTOR });
  return moves;
}
