import fs, { readdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import fc from 'fast-check';
import type * as Library from '../../src/index.js';
import {
  type Hostile,
  hostile,
  hostileOptions,
  listOfHostile,
  Sentinel,
  soundValue,
} from './values.js';

/**
 * Calls every public function with values of any kind. Runs in a process of its own, with
 * SAFEEXEC_DEBUG set, and leaves word of each case in descriptor 3 before it tries it.
 */

/** What the library started: the program and its arguments, as its debug lines tell. */
let started: { program: string; argv: string[] }[] = [];
let launches = 0;
const { writeSync } = fs;
fs.writeSync = ((fd: number, text: string, ...rest: never[]) => {
  const line = /^safeexec\[\d+\] \w+ [\d.]+ ms (.*?) (\[".*\]): pid \d+\n$/s.exec(text);
  if (fd !== 2 || line === null) return writeSync(fd, text, ...rest);
  started.push({ program: line[1] as string, argv: JSON.parse(line[2] as string) });
  launches++;
  return text.length;
}) as typeof fs.writeSync;
syncBuiltinESMExports();
// What fork() runs unless told otherwise.
process.execPath = '/bin/true';

const library: typeof Library = await import('../../src/index.js');
const { LAUNCH_OPTIONS } = await import('../../src/process/launch-options.js');
const { RUN_OPTIONS } = await import('../../src/process/run.js');
const { SPAWN_OPTIONS } = await import('../../src/process/spawn.js');

const MISSING = '/no/such/program';
const CLASSES: readonly [RegExp, new (...args: never[]) => Error][] = [
  [/^ERR_(?:OUT_OF_RANGE)$/, RangeError],
  [/^ERR_(?:INVALID_ARG|UNKNOWN_SIGNAL|UNKNOWN_ENCODING|INVALID_URL|INVALID_FILE_URL)/, TypeError],
  [/^(?:E[A-Z0-9]+|ABORT_ERR|ERR_[A-Z_]+)$/, Error],
];

function expectTyped(error: unknown): void {
  if (error instanceof Sentinel) return;
  if (!(error instanceof Error)) throw new Error(`thrown was ${typeof error}`);
  // What a proxy's traps must not say, the language throws; so do getters of Node's own classes on
  // what is none. Node's ChildProcess.spawn writes to its options, and its messages look for the
  // name of a constructor that may not be one.
  const own = /proxy|proxies|Receiver must be|only a getter|'in' operator to search for 'name'/i;
  if (error instanceof TypeError && own.test(error.message)) return;
  // Node makes its errors without a stack at first: this one came up in between.
  if (error instanceof TypeError && !error.stack?.includes('\n')) return;
  const { code } = error as NodeJS.ErrnoException;
  const known = CLASSES.find(([pattern]) => typeof code === 'string' && pattern.test(code));
  const isOurs = code === 'ERR_SAFEEXEC_INTERNAL' || known === undefined;
  if (isOurs || !(error instanceof known[1])) {
    throw new Error(`no typed error: ${error.stack?.slice(0, 2000)}`, { cause: error });
  }
}

/** Programs that values become when they are taken for strings. */
const ACCIDENT = /^(?:undefined|null|true|false|NaN|\[object .*|function.*|Symbol.*|-?\d+)$/;

function expectLegal(): void {
  for (const { program, argv } of started) {
    const name = program.slice(program.lastIndexOf('/') + 1);
    if (program !== '/bin/true' && ACCIDENT.test(name)) throw new Error(`it started ${program}`);
    if (`${program}${argv.join('')}`.includes('\0')) throw new Error(`cut short: ${argv}`);
  }
}

const problems: unknown[] = [];
const alive = new Set<Library.ChildProcess>();

function follow(child: Library.ChildProcess): void {
  alive.add(child);
  child.on('error', (error) => {
    try {
      expectTyped(error);
    } catch (problem) {
      problems.push(problem);
    }
    // No `exit` follows if it was not started, or if its plan failed.
    if (child.pid === undefined || (child.exitCode ?? 0) < 0) alive.delete(child);
  });
  child.once('exit', () => alive.delete(child));
  for (const stream of child.stdio ?? []) stream?.on('error', () => {});
  child.stdin?.end();
}

/** What /proc says of a process, or that it is gone. */
function describeProcess(pid: number | undefined): string {
  try {
    return fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return `${pid} is not there`;
  }
}

async function settle(): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (const child of alive) if (child.pid !== undefined) child.kill('SIGKILL');
  while (alive.size > 0) {
    if (performance.now() > deadline) {
      const pids = [...alive].map(({ pid }) => pid);
      throw new Error(`children do not end: ${pids.map(describeProcess).join(', ')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (problems.length > 0) throw problems[0];
}

interface Form {
  readonly name: string;
  readonly input: fc.Arbitrary<readonly Hostile[]>;
  readonly call: (values: readonly unknown[]) => unknown;
  /** Whether it may throw for what the program did: it waits for its end. */
  readonly waits?: true;
}

/** A file that does no harm, whatever it is. */
const file: fc.Arbitrary<Hostile> = fc.oneof(
  soundValue('/bin/true', '/bin/true', MISSING),
  hostile.map(({ name, make }) => ({
    name: `file ${name}`,
    make: () => {
      const value = make();
      return typeof value === 'string' && value.length < 1e6 ? MISSING + value : value;
    },
  })),
);
const command: fc.Arbitrary<Hostile> = fc.oneof(
  soundValue('true', 'exit 3', ':'),
  hostile.map(({ name, make }) => ({
    name: `command ${name}`,
    make: () => {
      const value = make();
      const isShort = typeof value === 'string' && value.length < 1e6;
      return isShort ? `true # ${value.replaceAll('\n', '')}` : value;
    },
  })),
);
const sound: Readonly<Record<string, readonly unknown[]>> = {
  cwd: ['/', tmpdir(), new URL('file:///')],
  env: [{}, { A: 'b' }, { A: 7, B: undefined }],
  argv0: ['name'],
  stdio: ['ignore', 'pipe', ['ignore', 'pipe', 'ipc'], [0, 1, 2], []],
  detached: [true, false],
  uid: [0, 65534],
  gid: [0, 65534],
  shell: [true, false, '/bin/sh'],
  timeout: [0, 1000],
  killSignal: ['SIGTERM', 9],
  executor: ['image', 'direct'],
  encoding: ['utf8', 'buffer', 'latin1'],
  maxBuffer: [0, 100, Number.POSITIVE_INFINITY],
  input: ['text', new Uint8Array(3)],
  argv: [['x'], ['x', 'y']],
  actions: [[], [{ type: 'close', fd: 5 }], [{ type: 'dup2', from: 0, to: 7 }]],
  signalMask: [[], ['SIGTERM', 64]],
  signalDefaults: ['all', []],
  umask: [0o22],
};
const args = fc.oneof(listOfHostile, listOfHostile, hostile, soundValue(['x'], [], undefined));
const spawnOptions = hostileOptions([...SPAWN_OPTIONS, 'nonsense', 'CWD'], sound);
const syncOptions = hostileOptions([...SPAWN_OPTIONS, 'input', 'encoding', 'maxBuffer'], sound);
const anyOptions = (options: fc.Arbitrary<Hostile>): fc.Arbitrary<Hostile> =>
  fc.oneof({ weight: 4, arbitrary: options }, { weight: 1, arbitrary: hostile });
const threeOf = (
  first: fc.Arbitrary<Hostile>,
  options: fc.Arbitrary<Hostile>,
): fc.Arbitrary<readonly Hostile[]> =>
  fc.oneof(
    fc.tuple(first, args, anyOptions(options)),
    fc.tuple(first, anyOptions(options)),
    fc.tuple(first, soundValue(['x']), options),
  );
const nothing = (): void => {};

const action = hostileOptions(['type', 'fd', 'from', 'to', 'fds', 'flags', 'mode'], {
  type: ['close', 'dup2', 'fchdir', 'closeFrom', 'closeAllBut', 'tcsetpgrp', 'chdir', 'open'],
  fd: [0, 3, 700],
  from: [0, 1],
  to: [2, 9],
  fds: [[0, 1], []],
});
const launchOptions = fc
  .tuple(
    hostileOptions(
      LAUNCH_OPTIONS.filter((name) => name !== 'path'),
      sound,
    ),
    file,
    fc.array(action, { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([options, path, actions, own]) => ({
    name: `${options.name} ${path.name}${own ? ` [${actions.map(({ name }) => name)}]` : ''}`,
    make: () => {
      const given = options.make() as Record<string, unknown>;
      given.path = path.make();
      if (own) {
        delete given.actions;
        given.actions = actions.map(({ make }) => make());
      }
      return given;
    },
  }));

const FORMS: readonly Form[] = [
  {
    name: 'spawn',
    input: threeOf(file, spawnOptions),
    call: (values) => library.spawn(...(values as Parameters<typeof library.spawn>)),
  },
  {
    name: 'spawnSync',
    input: threeOf(file, syncOptions),
    call: (values) => library.spawnSync(...(values as [string])),
    waits: true,
  },
  {
    name: 'execFile',
    input: threeOf(file, syncOptions),
    call: (values) => {
      // It would be called, and is no callback.
      const others = values.filter((value) => typeof value !== 'function');
      return library.execFile(...(others as [string]), nothing);
    },
  },
  {
    name: 'execFile with anything for a callback',
    input: fc.tuple(file, args, anyOptions(syncOptions), hostile),
    call: (values) => {
      // A callback that throws is the caller's own.
      if (values.some((value) => typeof value === 'function')) return undefined;
      return library.execFile(...(values as [string]));
    },
  },
  {
    name: 'execFileSync',
    input: threeOf(file, syncOptions),
    call: (values) => library.execFileSync(...(values as [string])),
    waits: true,
  },
  {
    name: 'exec',
    input: fc.tuple(command, anyOptions(syncOptions)),
    call: (values) => {
      const [text, options] = values as [string, object];
      return library.exec(text, typeof options === 'function' ? {} : options, nothing);
    },
  },
  {
    name: 'execSync',
    input: fc.tuple(command, anyOptions(syncOptions)),
    call: (values) => library.execSync(...(values as [string])),
    waits: true,
  },
  {
    name: 'fork',
    input: threeOf(
      file,
      hostileOptions([...SPAWN_OPTIONS, 'execPath', 'execArgv', 'silent'], sound),
    ),
    call: (values) => library.fork(...(values as [string])),
  },
  {
    name: 'promisify(execFile)',
    input: threeOf(file, syncOptions),
    call: (values) => {
      if (values.some((value) => typeof value === 'function')) return undefined;
      return promisify(library.execFile)(...(values as [string]));
    },
  },
  {
    name: 'run',
    input: threeOf(file, hostileOptions(RUN_OPTIONS, sound)),
    call: (values) => library.run(...(values as [string])),
  },
  {
    name: 'launch',
    input: fc.oneof(fc.tuple(launchOptions), fc.tuple(hostile)),
    call: ([options]) => library.launch(options as Library.LaunchOptions),
  },
  {
    name: 'kill',
    input: fc.tuple(hostile),
    call: ([signal]) => {
      const stdio = { path: '/bin/true', closeOthers: true };
      return library.launch(stdio).kill(signal as number);
    },
    waits: true,
  },
  {
    name: 'ChildProcess.spawn',
    input: fc.tuple(
      // Not stdio: Node's method goes through it, hole by hole.
      hostileOptions(['file', 'args', 'cwd', 'envPairs', 'detached', 'uid', 'gid'], {
        ...sound,
        file: ['/bin/true', '/bin/true', '/bin/true', MISSING],
        args: [['x'], ['x', 7]],
        envPairs: [['A=b']],
      }),
    ),
    call: ([options]) => {
      const child = new library.ChildProcess();
      const raw = child as unknown as { spawn(options: unknown): number };
      const result = raw.spawn(options);
      return result === 0 || child.pid === undefined ? child : undefined;
    },
  },
];

async function attempt({ call, waits }: Form, given: readonly Hostile[]): Promise<void> {
  started = [];
  const values = given.map(({ make }) => make());
  try {
    const result = call(values);
    if (result instanceof library.ChildProcess) follow(result);
    else if (result instanceof Promise) {
      await result.then(nothing, (error) => {
        if (error instanceof library.RunError || 'killed' in error || 'stdout' in error) return;
        expectTyped(error);
        if (started.length > 0)
          throw new Error('it started a process, and failed', { cause: error });
      });
    } else if (typeof result === 'object' && result !== null && 'exited' in result) {
      await (result as Library.LaunchedProcess).exited;
    } else if (typeof result === 'object' && result !== null && 'error' in result) {
      expectTyped(result.error);
    }
  } catch (error) {
    const isEnd = waits && typeof error === 'object' && error !== null && 'status' in error;
    if (!isEnd) expectTyped(error);
    if (started.length > 0 && !waits) {
      throw new Error('it started a process, and threw', { cause: error });
    }
  }
  expectLegal();
}

let cases = 0;
const only = process.env.FUZZ_ONLY;
for (const form of FORMS) {
  if (only !== undefined && form.name !== only) continue;
  const property = fc.asyncProperty(form.input, async (given) => {
    const text = `${form.name} ${given.map(({ name }) => name.slice(0, 300)).join(' | ')}\n`;
    fs.ftruncateSync(3);
    writeSync(3, text, 0);
    cases++;
    await attempt(form, given);
    if (alive.size > 20) await settle();
  });
  await fc.assert(property, { numRuns: Number(process.env.FUZZ_RUNS ?? 150) });
  await settle();
}
const marks = readdirSync('.').filter((name) => name === 'mark');
writeSync(1, JSON.stringify({ cases, launches, marks }));
process.exit(0);
