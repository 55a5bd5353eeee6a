import { isUtf8 } from 'node:buffer';
import type { Stream } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import {
  CONTROL_NAMES,
  type ControlOptions,
  type Controls,
  prepareControls,
} from '../controls/index.js';
import { inOrder } from '../controls/stages.js';
import {
  invalidArgType,
  invalidArgValue,
  invalidForkInput,
  LaunchError,
  unknownOption,
} from '../errors.js';
import { EXECUTORS, type Executor } from '../launch/executor.js';
import { E2BIG, PATH_MAX } from '../plan/constants.js';
import { imageOnly, type Plan } from '../plan/plan.js';
import {
  cString,
  cStrings,
  killSignalNumber,
  LONGEST_STRING,
  listOf,
  ownOptions,
  validateAbortSignal,
  validateBoolean,
  validateCString,
  validateId,
  validateNoNul,
  validateObject,
  validateTimeout,
} from '../validate.js';
import { ChildProcess, start } from './child-process.js';
import { endAfter, endOnAbort } from './ending.js';
import { type EnvironmentOption, environment, pairs } from './environment.js';
import type { StartOptions } from './handle.js';

/** One element of `stdio`. */
export type StdioOption =
  | 'pipe'
  | 'overlapped'
  | 'ignore'
  | 'inherit'
  | 'ipc'
  | Stream
  | number
  | null
  | undefined;

/** Options of spawn(): those of `node:child_process`, and some of our own. */
export interface SpawnOptions extends ControlOptions {
  /** Working directory of the new process. Default: this process's. */
  cwd?: string | URL | null | undefined;
  /** Environment. Default: this process's. */
  env?: EnvironmentOption | null | undefined;
  /** argv[0]. Default: `file`. */
  argv0?: string | undefined;
  /** The child's descriptors, by number. Default `pipe` for 0 to 2; more than three are possible. */
  stdio?: 'pipe' | 'overlapped' | 'ignore' | 'inherit' | readonly StdioOption[] | undefined;
  /** Makes the process the leader of a session of its own: setsid(2). Default false. */
  detached?: boolean | undefined;
  /** How messages are serialised on an IPC channel. Default `json`. */
  serialization?: 'json' | 'advanced' | undefined;
  /** Runs the command through /bin/sh, or through the shell named. Default false. */
  shell?: boolean | string | undefined;
  /** Aborting ends the process with `killSignal`. */
  signal?: AbortSignal | undefined;
  /** Milliseconds after which the process is sent `killSignal`. Default 0: never. */
  timeout?: number | undefined;
  /** Default SIGTERM. */
  killSignal?: NodeJS.Signals | number | undefined;
  /** Accepted, and without effect on Linux. */
  windowsHide?: boolean | undefined;
  windowsVerbatimArguments?: boolean | undefined;
  /** What runs the plan. Default `image`, and `direct` where memory must not be executed. */
  executor?: Executor | undefined;
}

/** Names of spawn's options. */
export const SPAWN_OPTIONS: readonly (keyof SpawnOptions)[] = [
  'cwd',
  'env',
  'argv0',
  'stdio',
  'detached',
  'serialization',
  'shell',
  'signal',
  'timeout',
  'killSignal',
  'windowsHide',
  'windowsVerbatimArguments',
  'executor',
  ...CONTROL_NAMES,
];

const STDIO_WORDS: ReadonlySet<string> = new Set<StdioOption & string>([
  'pipe',
  'overlapped',
  'ignore',
  'inherit',
  'ipc',
]);

const KNOWN: ReadonlySet<string> = new Set(SPAWN_OPTIONS);

/**
 * Starts a process, as `node:child_process`'s function of that name, without holding the thread
 * for longer than the kernel takes to make a process that does not copy this one.
 *
 * Refuses what cannot work before anything is started. As Node's, it gives back a child without a
 * pid, and emits `error`, when the file is not there or must not be executed; it throws for most
 * other errors. What only the kernel finds out arrives as `error` in place of `spawn`.
 */
export function spawn(file: string, options?: SpawnOptions): ChildProcess;
export function spawn(
  file: string,
  args?: readonly string[] | null,
  options?: SpawnOptions,
): ChildProcess;
export function spawn(
  file: string,
  args?: readonly string[] | SpawnOptions | null,
  options?: SpawnOptions,
): ChildProcess {
  const normal = normalize(file, args, options);
  validateTimeout(normal.timeout);
  validateAbortSignal(normal.signal, 'options.signal');
  const killSignal = killSignalNumber(normal.killSignal);
  const serialization: unknown = normal.serialization;
  if (serialization !== undefined && serialization !== 'json' && serialization !== 'advanced') {
    const known = "must be one of: undefined, 'json', 'advanced'";
    throw invalidArgValue('options.serialization', serialization, known);
  }
  checkWords(normal.stdio);

  const child = new ChildProcess();
  // Before the start: what is no signal must not come out when the process runs.
  const abortion = normal.signal && endOnAbort(child, normal.signal, killSignal);
  try {
    start(child, normal);
  } catch (error) {
    abortion?.cancel();
    throw error;
  }
  abortion?.begin();
  if (normal.timeout) endAfter(child, normal.timeout, killSignal);
  return child;
}

/** Options with every value checked and every default filled in. */
export interface NormalOptions extends StartOptions {
  readonly timeout: number | null | undefined;
  readonly signal: AbortSignal | undefined;
  readonly killSignal: unknown;
}

export function normalize(file: unknown, args: unknown, given: unknown): NormalOptions {
  validateCString(file, 'file');
  if (file.length === 0) throw invalidArgValue('file', file, 'cannot be empty');
  let list: string[] = [];
  if (Array.isArray(args)) list = cStrings(args, 'args');
  else if (args !== undefined && args !== null) {
    if (typeof args !== 'object') throw invalidArgType('args', 'of type object', args);
    given = args;
  }
  if (given !== undefined) validateObject(given, 'options');
  const options = ownOptions(given as SpawnOptions);
  checkOptions(options);
  const { shell, argv0, cwd, env } = options;
  // As in Node: what is nothing, as the false of `quiet && 'ignore'`, is the default.
  const stdio: unknown = options.stdio || undefined;

  let command = file;
  if (shell) {
    validateNoNul(shell, 'options.shell');
    if (list.length > 0) warnOfShell();
    command = typeof shell === 'string' ? shell : '/bin/sh';
    list = ['-c', joined([file, ...list], command)];
  }
  const vector = environment(env, list);
  const entries: unknown = Array.isArray(stdio) ? listOf(stdio, 'options.stdio') : stdio;
  const usesChannel = Array.isArray(entries) && entries.includes('ipc');
  return {
    file: command,
    args: [argv0 ?? command, ...list],
    // An empty one is none, as in Node.
    cwd: cwd == null ? undefined : pathOf(cwd, 'options.cwd') || undefined,
    // Node adds the channel's variables to a list that is there.
    envPairs: vector !== 'inherit' ? [...vector] : usesChannel ? pairs(process.env) : undefined,
    stdio: entries,
    detached: !!options.detached,
    windowsHide: !!options.windowsHide,
    windowsVerbatimArguments: !!options.windowsVerbatimArguments,
    uid: options.uid,
    gid: options.gid,
    serialization: options.serialization,
    executor: options.executor,
    controls: checkControls(options),
    timeout: options.timeout,
    signal: options.signal,
    killSignal: options.killSignal,
  };
}

/** Refuses words that `stdio` does not know. Node would quote them, however long they are. */
function checkWords(stdio: unknown): void {
  const isKnown = (each: unknown): boolean => typeof each !== 'string' || STDIO_WORDS.has(each);
  if (!isKnown(stdio)) throw invalidArgValue('stdio', stdio);
  if (!Array.isArray(stdio)) return;
  for (const each of stdio) if (!isKnown(each)) throw invalidForkInput(each);
}

let warnedOfShell = Number.parseInt(process.versions.node, 10) < 24;

/** Node's warning, which it has from release 24 on: the arguments are not quoted for the shell. */
function warnOfShell(): void {
  if (warnedOfShell) return;
  warnedOfShell = true;
  const message =
    'Passing args to a child process with shell option true can lead to security ' +
    'vulnerabilities, as the arguments are not escaped, only concatenated.';
  process.emitWarning(message, 'DeprecationWarning', 'DEP0190');
}

function checkOptions(options: SpawnOptions): void {
  for (const name in options) {
    // Node ignores options that it does not know, and programs rely on it; but not on this.
    if (KNOWN.has(name)) continue;
    const lower = name.toLowerCase();
    if (SPAWN_OPTIONS.some((known) => known.toLowerCase() === lower)) {
      throw unknownOption(name, SPAWN_OPTIONS);
    }
  }
  for (const name of ['detached', 'windowsHide', 'windowsVerbatimArguments'] as const) {
    if (options[name] != null) validateBoolean(options[name], `options.${name}`);
  }
  for (const name of ['uid', 'gid'] as const) {
    if (options[name] != null) validateId(options[name], `options.${name}`);
  }
  const { shell, argv0, executor } = options;
  if (shell != null && typeof shell !== 'boolean' && typeof shell !== 'string') {
    throw invalidArgType('options.shell', 'one of type boolean or string', shell);
  }
  const env: unknown = options.env;
  // Of a typed array each element would be a variable.
  if (env && (typeof env !== 'object' || ArrayBuffer.isView(env))) {
    throw invalidArgType('options.env', 'of type object', env);
  }
  if (argv0 != null) validateCString(argv0, 'options.argv0');
  if (executor !== undefined && !EXECUTORS.includes(executor)) {
    throw invalidArgValue('options.executor', executor, `must be one of: ${EXECUTORS.join(', ')}`);
  }
}

/** What the control options ask for, if the executor can do it. */
function checkControls(options: SpawnOptions): Controls | undefined {
  const controls = prepareControls(options);
  if (options.executor === 'direct' && controls !== undefined) {
    checkExecutor({ steps: inOrder(controls.steps), cloneFlags: controls.cloneFlags });
  }
  return controls;
}

/** Refuses `direct` for what only the image executor can do. */
export function checkExecutor(plan: Pick<Plan, 'steps' | 'cloneFlags'>): void {
  const reason = imageOnly(plan);
  if (reason !== undefined) {
    throw invalidArgValue('options.executor', 'direct', `must be image where ${reason}`);
  }
}

/** A command line for a shell. */
function joined(words: readonly string[], shell: string): string {
  let length = 0;
  for (const word of words) length += word.length + 1;
  if (length <= LONGEST_STRING) return words.join(' ');
  // Nor could it be joined, if it were longer than any string.
  throw new LaunchError({ errno: E2BIG, syscall: 'execve', step: 'exec', path: shell });
}

/** A path given as a string, as a file: URL or, as Node takes it too, as bytes. */
export function pathOf(value: unknown, name: string): string {
  if (types.isProxy(value)) throw invalidArgType(name, 'of type string or a URL', value);
  // Others would come out as the path of something else.
  if (types.isUint8Array(value) && value.length < PATH_MAX && isUtf8(value)) {
    value = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  }
  // A URL can have a NUL in it, as %00.
  if (value instanceof URL) value = fileURLToPath(cString(value, name));
  if (typeof value !== 'string') {
    throw invalidArgType(name, 'of type string or an instance of Buffer or URL', value);
  }
  validateNoNul(value, name, 'string, Uint8Array, or URL');
  return value;
}
