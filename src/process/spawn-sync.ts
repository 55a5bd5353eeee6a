import { constants } from 'node:os';
import type { Stream } from 'node:stream';
import type { Cgroup } from '../controls/cgroup-group.js';
import { type AcquiredControls, acquireControls } from '../controls/index.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import {
  channelError,
  errnoCode,
  invalidArgType,
  invalidArgValue,
  LaunchError,
  unknownEncoding,
} from '../errors.js';
import type { Launched } from '../launch/attempts.js';
import {
  killSignalNumber,
  ownOptions,
  validateCString,
  validateMaxBuffer,
  validateTimeout,
} from '../validate.js';
import { annotate, type SpawnError } from './child-process.js';
import { type Engine, engine } from './engine.js';
import { MAX_BUFFER, sortArguments, withShell } from './exec-file.js';
import type { Exit } from './exit.js';
import { findCandidates } from './lookup.js';
import { type Channel, PUMPED_PIPE_SIZE, Pump } from './pump.js';
import { type NormalOptions, normalize, type SpawnOptions } from './spawn.js';
import { spawnPlan } from './spawn-plan.js';
import { closeAll, openStdio, type StdioEntry } from './stdio.js';

/** Options of spawnSync() and execFileSync(). */
export interface SpawnSyncOptions extends Omit<SpawnOptions, 'signal' | 'serialization'> {
  /** What the process reads from its standard input. Default: nothing. */
  input?: string | NodeJS.ArrayBufferView | undefined;
  /** Encoding of the output; `buffer` or nothing gives Buffers. */
  encoding?: string | null | undefined;
  /** Bytes that all the output may have together; 0 for no limit. Default 1 MiB. */
  maxBuffer?: number | undefined;
}

/** Options of execSync(). */
export interface ExecSyncOptions extends Omit<SpawnSyncOptions, 'shell'> {
  /** The shell. Default /bin/sh. */
  shell?: string | undefined;
}

type Output = string | Buffer;

export interface SpawnSyncResult {
  /** 0 if the process could not be started. */
  pid: number;
  /** For each descriptor of the child what it wrote there; null for those that were no pipes. */
  output: (Output | null)[] | null;
  stdout: Output | null;
  stderr: Output | null;
  /** The exit code; null if a signal ended the process, or it was not started. */
  status: number | null;
  signal: NodeJS.Signals | null;
  error?: SpawnError;
  /** What of a sandbox was in force, if one was asked for. */
  sandbox?: SandboxInForce;
  /** The control group that was asked for, with its counters. */
  cgroup?: Cgroup;
}

const NO_OUTPUT = { stdout: null, stderr: null } as const;

/**
 * Runs a process to its end while this thread waits, as `node:child_process`'s function of that
 * name. Nothing else happens on the thread meanwhile, and it sleeps while there is nothing to do.
 */
export function spawnSync(
  file: string,
  args?: readonly string[] | SpawnSyncOptions | null,
  options?: SpawnSyncOptions,
): SpawnSyncResult {
  const isOptions = args !== null && typeof args === 'object' && !Array.isArray(args);
  // Read once, for both: what is checked is what is used.
  const given = snapshotOptions((isOptions ? args : options) as SpawnSyncOptions | undefined);
  const normal = normalize(file, isOptions ? [] : args, given);
  validateTimeout(given.timeout);
  validateMaxBuffer(given.maxBuffer);
  const killSignal = killSignalNumber(given.killSignal) || constants.signals.SIGTERM;
  const entries = syncStdio((normal.stdio ?? 'pipe') as NonNullable<SpawnOptions['stdio']>);
  const input = inputBytes(given);
  const { encoding } = given;
  const engineNow = engine(normal.file);
  let result: SpawnSyncResult;
  try {
    const { launched, channels, controls } = start(engineNow, normal, entries, input);
    const pump = new Pump(engineNow.inFlight, launched.pidfd, channels.filter(isPresent), {
      timeout: given.timeout ?? 0,
      killSignal,
      // As in Node: none, when it is given as nothing.
      maxBuffer: Object.hasOwn(given, 'maxBuffer') ? given.maxBuffer || Infinity : MAX_BUFFER,
    });
    const { exit, errno } = pump.run();
    engineNow.watcher.release(launched.pidfd);
    controls?.ended();
    const failed = errno === 0 ? undefined : { error: syncError(errno, normal) };
    result = { ...failed, ...gather(launched.pid, exit, channels) };
    // Not there where nobody asked: the result is Node's then.
    if (controls?.sandbox) result.sandbox = controls.sandbox;
    if (controls?.group) result.cgroup = controls.group;
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    const failed = syncError(-error.errno, normal);
    annotate(failed, error);
    result = { error: failed, status: null, signal: null, output: null, pid: 0, ...NO_OUTPUT };
  }
  if (result.output !== null) {
    if (encoding && encoding !== 'buffer') {
      // As Node, which does not look before there is something to decode.
      const isNeeded = result.output.some((bytes) => bytes !== null && bytes.length > 0);
      if (isNeeded && !Buffer.isEncoding(encoding)) throw unknownEncoding(encoding);
      result.output = result.output.map((bytes) =>
        bytes instanceof Buffer && bytes.length > 0
          ? bytes.toString(encoding as BufferEncoding)
          : bytes && '',
      );
    }
    result.stdout = result.output[1] ?? null;
    result.stderr = result.output[2] ?? null;
  }
  return result;
}

/** Runs a file to its end and gives what it wrote; throws if it fails. */
export function execFileSync(
  file: string,
  args?: readonly string[] | SpawnSyncOptions | null,
  options?: SpawnSyncOptions | null,
): Output | null {
  // There is nobody to call back; Node refuses it in this place only.
  if (typeof options === 'function') throw invalidArgType('options', 'of type object', options);
  const sorted = sortArguments(args, options);
  const given = sorted.options as SpawnSyncOptions;
  const result = spawnSync(file, sorted.list, given);
  return settle(result, given, [given.argv0 || file, ...sorted.list].join(' '));
}

/** Runs a command in a shell to its end, and otherwise as execFileSync(). */
export function execSync(command: string, options?: ExecSyncOptions | null): Output | null {
  validateCString(command, 'command');
  const given = withShell(options);
  return settle(spawnSync(command, given as SpawnSyncOptions), given, command);
}

/** The own properties of options; what are none stays what it is, to be refused. */
function snapshotOptions(options: SpawnSyncOptions | undefined): SpawnSyncOptions {
  const isRecord = typeof options === 'object' && options !== null && !Array.isArray(options);
  return isRecord || options === undefined ? ownOptions(options) : options;
}

/** The output of a command that succeeded, or its error. */
function settle(
  result: SpawnSyncResult,
  { stdio }: Pick<SpawnSyncOptions, 'stdio'>,
  command: string,
): Output | null {
  const { error, status, stderr } = result;
  // Who says nothing of stdio sees the errors of the command as his own.
  if (!stdio && stderr) process.stderr.write(stderr);
  if (error) throw Object.assign(error, { ...result, error });
  if (status === 0) return result.stdout;
  const detail = stderr && stderr.length > 0 ? `\n${stderr.toString()}` : '';
  throw Object.assign(new Error(`Command failed: ${command}${detail}`), result);
}

interface Started {
  readonly launched: Launched;
  readonly channels: (Channel | null)[];
  readonly controls: AcquiredControls | undefined;
}

function start(
  { kernel, inFlight, launcher }: Engine,
  options: NormalOptions,
  entries: readonly StdioEntry[],
  input: Uint8Array,
): Started {
  const { file, args: argv, executor } = options;
  const env = options.envPairs ?? 'inherit';
  const { map, actions, theirs, ours } = openStdio(inFlight, entries, PUMPED_PIPE_SIZE);
  let controls: AcquiredControls | undefined;
  try {
    const candidates = findCandidates(kernel, file, env, options);
    controls = options.controls && acquireControls(options.controls, launcher);
    const plan = spawnPlan({ ...options, controls }, candidates, map, actions);
    const cgroup = controls?.cgroup;
    const launched = launcher.launch({ plan, argv, env, executor, wait: true, cgroup });
    const channels: (Channel | null)[] = entries.map(() => null);
    for (const { fd, index } of ours) {
      channels[index] = { fd, input: index === 0 ? input : null, chunks: [] };
    }
    return { launched, channels, controls };
  } catch (error) {
    controls?.failed();
    for (const { fd } of ours) inFlight.close(fd);
    throw error;
  } finally {
    controls?.launched();
    closeAll(inFlight, theirs);
  }
}

function gather(
  pid: number,
  exit: Exit | 'lost',
  channels: readonly (Channel | null)[],
): SpawnSyncResult {
  const output = channels.map((channel) =>
    channel === null || channel.input !== null ? null : Buffer.concat(channel.chunks),
  );
  const status = exit === 'lost' ? null : exit.exitCode;
  const signal = exit === 'lost' ? null : exit.signal;
  return { status, signal, output, pid, ...NO_OUTPUT };
}

/** What `stdio` asks for, for a thread that waits: no streams of ours, and no channel. */
function syncStdio(stdio: NonNullable<SpawnOptions['stdio']>): StdioEntry[] {
  if (typeof stdio === 'string') {
    if (!['pipe', 'overlapped', 'ignore', 'inherit'].includes(stdio)) {
      throw invalidArgValue('stdio', stdio);
    }
    stdio = [stdio, stdio, stdio];
  } else if (!Array.isArray(stdio)) throw invalidArgValue('stdio', stdio);
  const list = [...stdio] as unknown[];
  while (list.length < 3) list.push(undefined);
  return list.map((item, fd): StdioEntry => {
    if (item === null || item === undefined) return fd < 3 ? { type: 'pipe' } : { type: 'ignore' };
    if (item === 'ignore') return { type: 'ignore' };
    if (item === 'pipe' || item === 'overlapped' || (typeof item === 'number' && item < 0)) {
      return { type: 'pipe' };
    }
    if (item === 'inherit') return { type: 'inherit', fd };
    if (item === 'ipc') throw channelError('ERR_IPC_SYNC_FORK');
    if (typeof item === 'number') return { type: 'fd', fd: item };
    const stream = item as Stream & { fd?: unknown; _handle?: { fd?: unknown } };
    const own = typeof stream.fd === 'number' ? stream.fd : stream._handle?.fd;
    if (typeof own !== 'number') throw invalidArgValue('stdio', item);
    return { type: 'fd', fd: own };
  });
}

function inputBytes({ input, encoding }: SpawnSyncOptions): Uint8Array {
  if (!input) return new Uint8Array(0);
  if (typeof input === 'string') {
    const known = encoding && Buffer.isEncoding(encoding) ? encoding : 'utf8';
    return Buffer.from(input, known);
  }
  if (!ArrayBuffer.isView(input)) {
    const expected = 'of type string or an instance of Buffer, TypedArray, or DataView';
    throw invalidArgType('options.stdio[0]', expected, input);
  }
  return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
}

function syncError(errno: number, { file, args }: NormalOptions): SpawnError {
  const code = errnoCode(errno);
  const syscall = `spawnSync ${file}`;
  return Object.assign(new Error(`${syscall} ${code}`), {
    errno: -errno,
    code,
    syscall,
    path: file,
    spawnargs: args.slice(1),
  });
}

function isPresent<T>(value: T | null): value is T {
  return value !== null;
}
