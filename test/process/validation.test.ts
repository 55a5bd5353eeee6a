import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CONTROL_NAMES } from '../../src/controls/index.js';
import { launch, run, spawn } from '../../src/index.js';
import { children, until } from './observe.js';

/** Codes that a caller's mistake gives, or what cannot be had; all others are those of an errno. */
const CODES = new Set([
  'ERR_INVALID_ARG_TYPE',
  'ERR_INVALID_ARG_VALUE',
  'ERR_OUT_OF_RANGE',
  'ERR_UNKNOWN_SIGNAL',
  'ERR_INVALID_URL_SCHEME',
  'ERR_INVALID_FILE_URL_HOST',
  'ERR_INVALID_FILE_URL_PATH',
  'ERR_IPC_ONE_PIPE',
  'ERR_IPC_SYNC_FORK',
  'ERR_INVALID_SYNC_FORK_INPUT',
  'ERR_SAFEEXEC_UNSUPPORTED',
]);

// A program that is not there: whatever values get through, nothing is started.
const MISSING = '/no/such/program';

const value = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true }),
  fc.constantFrom<unknown>(
    Symbol('s'),
    () => {},
    'x\0y',
    '\ud800',
    Number.NaN,
    -0,
    -1,
    2 ** 31,
    2 ** 53,
    new Proxy({}, {}),
    new URL('file:///x'),
    new URL('http://x/'),
    AbortSignal.abort(),
    new Uint8Array(3),
  ),
);

function record(names: readonly string[]): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(names.map((name) => [name, value])), {
    requiredKeys: [],
  });
}

/** But for those that would make something, or name another program. */
// Any text is a path, and what is in another root only the child finds out.
const STARTING: readonly string[] = ['cgroup', 'execFd', 'root', 'mounts'];
const CONTROLS = CONTROL_NAMES.filter((name) => !STARTING.includes(name));

const SPAWN_OPTIONS = [
  'cwd',
  'env',
  'argv0',
  'stdio',
  'detached',
  'serialization',
  'signal',
  'timeout',
  'killSignal',
  'executor',
  ...CONTROLS,
];
const LAUNCH_OPTIONS = [
  ...['argv', 'env', 'search', 'actions', 'cwd', 'closeOthers', 'executor'],
  ...CONTROLS,
];

function expectTyped(error: unknown, what: unknown): void {
  assert.ok(error instanceof Error, `${String(error)} for ${fc.stringify(what)}`);
  const { code } = error as NodeJS.ErrnoException;
  const isTyped = typeof code === 'string' && (CODES.has(code) || /^E[A-Z0-9]+$/.test(code));
  assert.ok(isTyped || isOwn(error), `${error.stack} for ${fc.stringify(what)}`);
}

/** A value without a string form throws in its own conversion, as it does in Node. */
function isOwn(error: Error): boolean {
  return error instanceof TypeError && /Symbol|primitive value|toString/.test(error.message);
}

/** Calls; a child that comes of it has an error instead of a process. */
function attempt(call: () => unknown, what: unknown): void {
  try {
    const child = call() as { on?: unknown; pid?: number; kill?: () => void };
    if (typeof child?.on === 'function') {
      (child as ReturnType<typeof spawn>).on('error', (error) => expectTyped(error, what));
      assert.equal(child.pid, undefined, fc.stringify(what));
    }
  } catch (error) {
    if ((error as Error).name === 'AssertionError') throw error;
    expectTyped(error, what);
  }
}

test('spawn: any values give a typed error or a child without a process', async () => {
  fc.assert(
    fc.property(value, value, record(SPAWN_OPTIONS), (file, args, options) => {
      const name = typeof file === 'string' ? MISSING + file : file;
      attempt(() => spawn(name as never, args as never, options as never), [name, args, options]);
      attempt(() => spawn(MISSING, options as never), options);
      attempt(() => spawn(MISSING, [], args as never), args);
    }),
    { numRuns: 400 },
  );
  assert.equal(children().size, 0);
});

test('spawn: one wrong option after the other', () => {
  fc.assert(
    fc.property(fc.constantFrom(...SPAWN_OPTIONS), value, (name, value) => {
      attempt(() => spawn(MISSING, [], { [name]: value }), { [name]: value });
    }),
    { numRuns: 600 },
  );
});

const action = fc.record(
  {
    type: fc.oneof(
      fc.constantFrom(
        'open',
        'close',
        'dup2',
        'chdir',
        'fchdir',
        'closeFrom',
        'closeAllBut',
        'tcsetpgrp',
      ),
      value,
    ),
    fd: fc.oneof(fc.integer(), value),
    from: fc.oneof(fc.integer(), value),
    to: fc.oneof(fc.integer(), value),
    fds: fc.oneof(fc.array(fc.integer()), value),
    path: fc.oneof(fc.string(), value),
    flags: value,
    mode: value,
  },
  { requiredKeys: [] },
);

test('launch: any values give a typed error', () => {
  const options = record(LAUNCH_OPTIONS);
  fc.assert(
    fc.property(options, fc.array(action, { maxLength: 3 }), value, (options, actions, path) => {
      // tcsetpgrp and a group of somebody else's would be meant for this very process's terminal.
      attempt(() => launch({ ...options, path: MISSING } as never), options);
      attempt(() => launch({ path: MISSING, actions } as never), actions);
      const name = typeof path === 'string' ? MISSING + path : path;
      attempt(() => launch({ ...options, path: name } as never), [name, options]);
      attempt(() => launch(path as never), path);
    }),
    { numRuns: 400 },
  );
  assert.equal(children().size, 0);
});

test('run: any values give a typed rejection', async () => {
  const options = record([...SPAWN_OPTIONS, 'input', 'encoding', 'maxBuffer', 'outputTimeout']);
  await fc.assert(
    fc.asyncProperty(value, value, options, async (file, args, options) => {
      const name = typeof file === 'string' ? MISSING + file : file;
      for (const call of [
        () => run(name as never, args as never, options as never),
        () => run(MISSING, options as never),
      ]) {
        const error = await call().then(
          () => assert.fail(`it ran: ${fc.stringify([name, args, options])}`),
          (reason: unknown) => reason,
        );
        if ((error as Error).name !== 'RunError') expectTyped(error, [name, args, options]);
      }
    }),
    { numRuns: 300 },
  );
  await until('nothing is left', () => children().size === 0);
});

const WRONG: readonly [string, () => unknown, string][] = [
  ['an empty file', () => spawn(''), 'ERR_INVALID_ARG_VALUE'],
  ['a file that is no string', () => spawn(7 as never), 'ERR_INVALID_ARG_TYPE'],
  ['a NUL in the file', () => spawn('x\0y'), 'ERR_INVALID_ARG_VALUE'],
  ['a NUL in an argument', () => spawn('x', ['a\0']), 'ERR_INVALID_ARG_VALUE'],
  ['a NUL in argv0', () => spawn('x', { argv0: '\0' }), 'ERR_INVALID_ARG_VALUE'],
  ['a NUL in cwd', () => spawn('x', { cwd: '/\0' }), 'ERR_INVALID_ARG_VALUE'],
  ['a NUL in the environment', () => spawn('x', { env: { A: '\0' } }), 'ERR_INVALID_ARG_VALUE'],
  ['a NUL in the shell', () => spawn('x', { shell: '/bin/sh\0' }), 'ERR_INVALID_ARG_VALUE'],
  ['arguments that are none', () => spawn('x', 'y' as never), 'ERR_INVALID_ARG_TYPE'],
  ['options that are none', () => spawn('x', [], 7 as never), 'ERR_INVALID_ARG_TYPE'],
  ['cwd', () => spawn('x', { cwd: 7 as never }), 'ERR_INVALID_ARG_TYPE'],
  ['detached', () => spawn('x', { detached: 'yes' as never }), 'ERR_INVALID_ARG_TYPE'],
  ['uid', () => spawn('x', { uid: 1.5 }), 'ERR_INVALID_ARG_TYPE'],
  ['timeout', () => spawn('x', { timeout: -1 }), 'ERR_OUT_OF_RANGE'],
  ['killSignal', () => spawn('x', { killSignal: 'SIGX' as never }), 'ERR_UNKNOWN_SIGNAL'],
  ['signal', () => spawn('x', { signal: 7 as never }), 'ERR_INVALID_ARG_TYPE'],
  ['stdio', () => spawn('x', { stdio: 'nothing' as never }), 'ERR_INVALID_ARG_VALUE'],
  ['executor', () => spawn('x', { executor: 'fork' as never }), 'ERR_INVALID_ARG_VALUE'],
  ['direct with uid', () => spawn('x', { executor: 'direct', uid: 1 }), 'ERR_INVALID_ARG_VALUE'],
  ['another case', () => spawn('x', { CWD: '/' } as never), 'ERR_INVALID_ARG_VALUE'],
  ['launch: another case', () => launch({ Path: 'x' } as never), 'ERR_INVALID_ARG_VALUE'],
  ['launch: unknown', () => launch({ path: 'x', stdio: 'pipe' } as never), 'ERR_INVALID_ARG_VALUE'],
  ['launch: no options', () => launch(undefined as never), 'ERR_INVALID_ARG_TYPE'],
  ['launch: no path', () => launch({} as never), 'ERR_INVALID_ARG_TYPE'],
  ['launch: an empty argv', () => launch({ path: 'x', argv: [] }), 'ERR_INVALID_ARG_VALUE'],
  ['launch: a directory', () => launch({ path: 'x', cwd: 7 as never }), 'ERR_INVALID_ARG_TYPE'],
  ['launch: two', () => launch({ path: 'x', cwd: '/', cwdFd: 0 }), 'ERR_INVALID_ARG_VALUE'],
  ['launch: a NUL', () => launch({ path: 'x', argv: ['\0'] }), 'ERR_INVALID_ARG_VALUE'],
  ['launch: umask', () => launch({ path: 'x', umask: 0o1000 }), 'ERR_OUT_OF_RANGE'],
  [
    'launch: a signal',
    () => launch({ path: 'x', signalMask: ['SIGX' as never] }),
    'ERR_UNKNOWN_SIGNAL',
  ],
  [
    'launch: a field of another action',
    () => launch({ path: 'x', actions: [{ type: 'close', fd: 3, path: 'x' } as never] }),
    'ERR_INVALID_ARG_VALUE',
  ],
  [
    'launch: a missing field',
    () => launch({ path: 'x', actions: [{ type: 'dup2', from: 3 } as never] }),
    'ERR_INVALID_ARG_TYPE',
  ],
  [
    'launch: a negative descriptor',
    () => launch({ path: 'x', actions: [{ type: 'close', fd: -1 }] }),
    'ERR_OUT_OF_RANGE',
  ],
];

test('mistakes have the codes that Node gives', () => {
  for (const [name, call, code] of WRONG) assert.throws(call, { code }, name);
});

test('a mistake in a file action says in which', () => {
  const close = { type: 'close', fd: 3 } as const;
  const wrong = { type: 'chdir', path: '/', mode: 7 } as never;
  assert.throws(
    () => launch({ path: 'x', actions: [close, wrong] }),
    /'options\.actions\[1\]\.mode'/,
  );
});

test('options that spawn does not know are ignored, as in Node', () => {
  const child = spawn(MISSING, { nonsense: 1 } as never);
  child.on('error', () => {});
});

test('arguments up to the kernel’s limit, and not beyond', async () => {
  const longest = 'x'.repeat(131071);
  assert.equal((await run('/bin/true', [longest])).exitCode, 0);
  assert.throws(() => spawn('/bin/true', [`${longest}x`]), { code: 'E2BIG', step: 'exec' });
  // The limit counts bytes.
  assert.throws(() => spawn('/bin/true', ['€'.repeat(50_000)]), { code: 'E2BIG' });
  const env = { BIG: longest };
  assert.throws(() => spawn('/bin/true', { env }), { code: 'E2BIG', step: 'exec' });
  const many = Array.from({ length: 70 }, () => 'x'.repeat(100_000));
  assert.throws(() => spawn('/bin/true', many), { code: 'E2BIG' });
  assert.equal((await run('/bin/true', many.slice(0, 15))).exitCode, 0);
});
