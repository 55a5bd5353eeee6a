import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { errnoNumber, MARKER, periodOf } from './arming.js';
import type { Cell, Row, Site } from './cells.js';
import { ERRNOS } from './errnos.js';
import { judge, type Result } from './judge.js';
import { reasonToExclude, toleranceOf, wasFault } from './tolerated.js';

const FIXTURE = fileURLToPath(new URL('fixture.js', import.meta.url));

/** Milliseconds for which nothing may be heard from the fixture or from strace. */
const PATIENCE = 120_000;

/** How many cells share one strace. */
const AT_ONCE = 100;

export interface Matrix {
  readonly rows: readonly Row[];
  readonly sites: readonly Site[];
  /** How many mappings came to be, by round, and the cells that it had. */
  readonly mappings: readonly { readonly cells: number; readonly more: number }[];
}

/** Why the matrix cannot be made here, or undefined. */
export function missing(): string | undefined {
  const { error } = spawnSync('strace', ['-V']);
  if (error) return 'strace is missing';
  const { status } = spawnSync('strace', ['-f', '-qqq', '-o', '/dev/null', 'true']);
  return status === 0 ? undefined : 'processes must not be traced here';
}

/**
 * `all`: every system call of every operation, with each of its errors. `kinds`: of those that are
 * alike, as of the same step in several plans, one. `sample`: of these, one error each or two, and all
 * that have an answer of their own, or were answered wrongly once.
 */
export type Extent = 'all' | 'kinds' | 'sample';

/** Makes system calls of launches fail. */
export async function matrix(extent: Extent): Promise<Matrix> {
  const fixture = spawn(process.execPath, ['--expose-gc', FIXTURE], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(fixture, 'exit');
  const lines = new Lines(fixture.stdout);
  const rows: Row[] = [];
  const mappings: { cells: number; more: number }[] = [];
  const tried = (cell: Cell): boolean => {
    const reason = reasonToExclude(cell);
    if (reason !== undefined) rows.push({ ...cell, outcome: reason, fault: null });
    return reason === undefined;
  };
  try {
    const { pid, sites } = (await lines.next()) as { pid: number; sites: readonly Site[] };
    for (const round of rounds(extent === 'all' ? sites : alike(sites), extent === 'sample')) {
      const cells = round.filter(tried);
      if (cells.length === 0) continue;
      const errors = Object.fromEntries(cells.map(({ site, errno }) => [site.syscall, errno]));
      const tracer = await attach(pid, errors);
      let injected: ReadonlyMap<number, readonly string[]>;
      let reply: { readonly results: readonly Result[]; readonly mappings: number };
      try {
        fixture.stdin.write(`${JSON.stringify({ errors, cells })}\n`);
        reply = (await lines.next()) as typeof reply;
      } finally {
        injected = await tracer.detach();
      }
      mappings.push({ cells: cells.length, more: reply.mappings });
      for (const [i, cell] of cells.entries()) {
        rows.push(judge(cell, reply.results[i] as Result, injected.get(i) ?? []));
      }
    }
    fixture.stdin.end();
    await ended;
    return { rows, sites, mappings };
  } finally {
    fixture.kill('SIGKILL');
  }
}

/** Lines of JSON from the fixture. */
class Lines {
  readonly #iterator: AsyncIterator<string>;

  constructor(input: Readable) {
    this.#iterator = createInterface({ input })[Symbol.asyncIterator]();
  }

  async next(): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('nothing is heard of the fixture')), PATIENCE);
    });
    try {
      const { value, done } = await Promise.race([this.#iterator.next(), late]);
      if (done) throw new Error('the fixture ended');
      return JSON.parse(value);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** One of each kind of call: by executor, by who makes it, and by step. */
function alike(sites: readonly Site[]): Site[] {
  const seen = new Set<string>();
  return sites.filter(({ operation, executor, by, syscall, step, handled, event, nth }) => {
    const alone = operation.endsWith(')') || operation.endsWith('Watcher');
    if (!alone && !isOfInterest({ operation, executor, by, step })) return false;
    const where = by === 'child' ? `${step} ${handled}` : `${event} ${nth}`;
    // Behind spawn() is what Node makes of an error.
    const own = operation === 'spawn()' ? operation : '';
    const key = `${own} ${executor} ${by} ${syscall} ${where}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** What a variant does otherwise than the plain executors. */
function isOfInterest({
  operation,
  executor,
  by,
  step,
}: Pick<Site, 'operation' | 'executor' | 'by' | 'step'>): boolean {
  switch (executor) {
    case 'default':
      return step === 'memfd_create' || step === 'start helper';
    case 'file':
      return operation === 'launch' && (by.includes('image-file') || step === 'start helper');
    case 'no close_range':
      return by === 'child' && step === 'close descriptors';
    default:
      return true;
  }
}

/** Cells that can share one strace: in each round a system call has one error. */
function rounds(sites: readonly Site[], sample: boolean): Cell[][] {
  const result: Cell[][] = [];
  for (const [number, site] of sites.entries()) {
    const errnos = ERRNOS[site.syscall];
    if (errnos === undefined) throw new Error(`the errors of ${site.syscall} are not known`);
    const share = site.by === 'child' ? 2 : 1;
    const step = Math.max(1, Math.ceil(errnos.length / share));
    for (const [round, errno] of errnos.entries()) {
      const cell = { site, errno };
      const special = toleranceOf(cell)?.errnos !== undefined || wasFault(cell);
      // Others for each site: all rounds get their share.
      if (sample && !special && (round + number) % step !== 0) continue;
      result[round] ??= [];
      result[round]?.push({ site, errno });
    }
  }
  return result.flatMap((cells) =>
    Array.from({ length: Math.ceil(cells.length / AT_ONCE) }, (_, i) =>
      cells.slice(i * AT_ONCE, (i + 1) * AT_ONCE),
    ),
  );
}

interface Tracer {
  /** Ends it. Gives what it made fail, by number of the cell, once that was set up. */
  detach(): Promise<ReadonlyMap<number, readonly string[]>>;
}

/** Attaches strace to a process, with one error for each of some system calls. */
async function attach(pid: number, errors: Readonly<Record<string, string>>): Promise<Tracer> {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-strace-'));
  const record = join(folder, 'record');
  const injections = Object.entries(errors).flatMap(([syscall, errno]) => {
    const period = periodOf(syscall);
    return ['-e', `inject=${syscall}:error=${errnoNumber(errno)}:when=${period}+${period}`];
  });
  const args = ['-f', '-o', record, '-e', `trace=${MARKER},${Object.keys(errors)}`];
  const strace = spawn('strace', [...args, ...injections, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(strace, 'exit');
  let text = '';
  await new Promise<void>((resolve, reject) => {
    strace.stderr.on('data', (chunk) => {
      text += chunk;
      if (/attached/.test(text)) resolve();
    });
    void ended.then(() => reject(new Error(`strace ended: ${text}`)), reject);
  });
  return {
    async detach() {
      strace.kill('SIGINT');
      await ended;
      try {
        return readRecord(readFileSync(record, 'latin1'));
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  };
}

/** Markers: 2 and more begin a cell, 1 says that the next error is the one that is meant, 0 ends. */
function readRecord(text: string): Map<number, string[]> {
  const result = new Map<number, string[]>();
  let cell = -1;
  let armed = false;
  for (const line of text.split('\n')) {
    const marker = new RegExp(`${MARKER}\\(-1, (\\d+)`).exec(line);
    if (marker) {
      const number = Number(marker[1]);
      armed = number === 1;
      if (number >= 2) {
        cell = number - 2;
        result.set(cell, []);
      }
    } else if (armed && line.endsWith('(INJECTED)')) {
      const call = /^\d+ +(?:<\.\.\. )?(\w+)/.exec(line);
      result.get(cell)?.push(call?.[1] ?? line);
    }
  }
  return result;
}
