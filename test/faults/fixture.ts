import { rmSync } from 'node:fs';
import type { Program } from '../../src/program/instruction.js';
import { MARKER, periodOf, withPadding } from './arming.js';
import type { Cell, Site } from './cells.js';
import {
  built,
  current,
  injection,
  isLaunch,
  isPlan,
  keepNoMore,
  kernel,
  listen,
  machine,
  programOf,
  raw,
  unobserved,
} from './hooks.js';
import { readLine, writeLine } from './lines.js';
import { errorOf, type Operation, type Outcome, operations, sampleFiles } from './operations.js';
import { mappings, observer, type Traces } from './traces.js';
import { type ProgramCall, walkLoaded, walkPlan } from './walk.js';

/*
 * The process in which launches are made to fail. It finds the calls of each operation by
 * recording it once, writes them to its output, and then does what it reads: strace has been
 * attached with these errors, run these cells.
 */

/** The function of src/process or src/launch that calls the kernel. */
function caller(): string {
  const lines = (new Error().stack ?? '').split('\n');
  for (const line of lines) {
    const found = /at (?:new )?(?:async )?(?:[\w$]+\.)?(#?[\w$]+) .*\/src\/(.*)\.js/.exec(line);
    if (found && !/^launch\/(kernel|in-flight)$/.test(found[2] as string))
      return `${found[2]}: ${found[1]}`;
  }
  return 'unknown';
}

/** System calls of C functions. Not those for a stack, which libc often has one left of. */
const OF_LIBC: Readonly<Record<string, readonly string[]>> = { pthread_create: ['clone3'] };

/** What calls as often as it is needed, which is not known beforehand: of it, the first call. */
const LOOPS = /pump|reap|#deliver|#rearm|#onOutcome/;

/** Names the events of one run of an operation: what calls, and how often it did. */
class Events {
  readonly #seen = new Map<string, number>();

  next(name: string): string {
    const nth = (this.#seen.get(name) ?? 0) + 1;
    this.#seen.set(name, nth);
    return `${name} ${nth}`;
  }
}

async function record(operation: Operation): Promise<Site[]> {
  const sites: Site[] = [];
  const events = new Events();
  const { name, executor } = operation;
  const common = { operation: name, executor };
  const add = (by: string, event: string, ...programs: (readonly ProgramCall[])[]): void => {
    const counts = new Map<string, number>();
    for (const calls of programs) {
      const seen = new Set<number>();
      for (const { op, name: syscall, index, step, handled } of calls) {
        if (op === 'call') {
          // What libc calls in its turn is not ours to walk.
          for (const name of OF_LIBC[syscall] ?? []) {
            const site = { ...common, by: syscall, syscall: name, event, nth: 1 };
            sites.push({ ...site, step: 'start waiter', handled: true });
          }
          continue;
        }
        const nth = (counts.get(syscall) ?? 0) + 1;
        counts.set(syscall, nth);
        // Of a loop, the first round.
        if (!seen.has(index)) sites.push({ ...common, by, syscall, step, handled, event, nth });
        seen.add(index);
      }
    }
  };
  let childCalls: ProgramCall[] = [];
  listen({
    call: (syscall) => {
      const by = caller();
      const event = events.next(`${by} ${syscall}`);
      if (LOOPS.test(by) && !event.endsWith(' 1')) return;
      sites.push({ ...common, by, syscall, step: null, handled: null, event, nth: 1 });
    },
    run: (loaded) =>
      unobserved(() => {
        const program = programOf(loaded);
        const load = (address: number): number => kernel.load(address);
        const walked = (asChild: boolean) =>
          walkLoaded(
            program,
            machine,
            { bytes: loaded.memory.bytes, address: loaded.memory.address },
            load,
            asChild,
          );
        const by = isLaunch(program) ? 'launch program' : `program of ${caller()}`;
        const event = events.next(by);
        add(by, event, walked(false));
        if (!isLaunch(program)) return;
        const calls = walked(true);
        childCalls = calls.slice(calls.findIndex(({ name }) => /^clone3?$/.test(name)) + 1);
      }),
  });
  const outcome = await operation.run(unobserved);
  listen(null);
  if (outcome.error !== null || outcome.exit !== 0) {
    throw new Error(`${executor} ${name} fails by itself: ${JSON.stringify(outcome)}`);
  }
  if (operation.plan) {
    const plan = built.findLast(isPlan) as Program;
    add('child', '', childCalls, walkPlan(plan, machine));
  }
  return sites;
}

let settle: ((outcome: Outcome) => void) | null = null;
process.on('uncaughtException', (error) => {
  if (settle === null) {
    console.error(error);
    process.exit(1);
  }
  const { error: described } = errorOf(error);
  settle({ exit: null, error: described && { ...described, text: `uncaught: ${error.stack}` } });
});

/** Runs an operation in which one call fails. */
async function fail(operation: Operation, { site }: Cell): Promise<Outcome> {
  const { syscall, event, nth, by } = site;
  if (by === 'child') {
    const padding = { syscall, calls: periodOf(syscall) - nth };
    raw(MARKER, -1, 1);
    return withPadding(padding, () => operation.run(unobserved) as Outcome);
  }
  const events = new Events();
  const arm = (name: string): void => {
    if (events.next(name) !== event) return;
    unobserved(() => {
      injection.arm(syscall, nth);
      raw(MARKER, -1, 1);
    });
  };
  listen({
    call: (name) => arm(`${caller()} ${name}`),
    run: (loaded) => {
      const program = unobserved(() => programOf(loaded));
      arm(isLaunch(program) ? 'launch program' : `program of ${caller()}`);
    },
  });
  try {
    return await new Promise<Outcome>((resolve, reject) => {
      settle = resolve;
      const timer = setTimeout(
        () =>
          resolve({
            exit: null,
            error: {
              code: undefined,
              errno: undefined,
              syscall: undefined,
              step: undefined,
              text: 'hangs',
            },
          }),
        10_000,
      );
      Promise.resolve(operation.run(unobserved))
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
  } finally {
    listen(null);
    settle = null;
    // Should the call not have been made, the error is still to come.
    injection.count(syscall, periodOf(syscall));
  }
}

const files = sampleFiles(current);
process.on('exit', () => rmSync(files.folder, { recursive: true }));
const all = operations(current, files);
const look = observer(
  (name, ...args) => {
    injection.count(name, 1);
    return raw(name, ...args);
  },
  {
    bytes: kernel.scratch,
    address: kernel.scratchAddress,
  },
);
const controls = new Map(
  all.filter(({ name }) => name === 'launch').map((operation) => [operation.executor, operation]),
);

/** Waits, as long as the event loop has something to do, until all is as before. */
async function settled(before: Traces, isAsync: boolean): Promise<Traces> {
  let after = look();
  for (let turn = 0; isAsync && turn < 200; turn++) {
    if (JSON.stringify(after) === JSON.stringify(before)) break;
    await new Promise((resolve) => setImmediate(resolve));
    after = look();
  }
  return after;
}

/** Calls that Node makes itself while an operation runs. */
const OF_NODE = ['read', 'write', 'close', 'epoll_ctl', 'epoll_pwait', 'fcntl', 'ioctl', 'openat'];

async function runCell(cell: Cell, number: number): Promise<unknown> {
  const { site } = cell;
  const operation = all.find(
    ({ name, executor }) => name === site.operation && executor === site.executor,
  ) as Operation;
  injection.count('capget', 50);
  injection.rest();
  const before = look();
  raw(MARKER, -1, 2 + number);
  const outcome = await fail(operation, cell);
  raw(MARKER, -1, 0);
  if (operation.async) for (const name of OF_NODE) injection.count(name, periodOf(name) / 3);
  const after = await settled(before, operation.async);
  const control = controls.get(site.executor) as Operation;
  const next = await control.run(unobserved);
  return { outcome, before, after, next };
}

interface Command {
  readonly errors: Readonly<Record<string, string>>;
  readonly cells: readonly Cell[];
}

// PR_SET_PTRACER, for where only ancestors may trace: Yama's ptrace_scope.
raw('prctl', 0x59616d61, -1);
const sites: Site[] = [];
// What is made once and then kept is made in a first round.
for (const operation of [...all]) {
  const { error } = await operation.run(unobserved);
  // A kernel without that: there is nothing to see.
  if (['ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'].includes(error?.code ?? '')) {
    all.splice(all.indexOf(operation), 1);
  }
}
for (const operation of all) sites.push(...(await record(operation)));
keepNoMore();
writeLine({ pid: process.pid, sites });
for (let line = readLine(); line !== undefined; line = readLine()) {
  const { errors, cells } = JSON.parse(line) as Command;
  injection.start(errors);
  const results: unknown[] = [];
  const before = mappings();
  for (const [number, cell] of cells.entries()) results.push(await runCell(cell, number));
  injection.rest();
  writeLine({ results, mappings: mappings() - before });
}
process.exit();
