import { types } from 'node:util';
import type { Cgroup } from '../controls/cgroup-group.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import { invalidArgType, invalidArgValue, maxBufferExceeded, unknownOption } from '../errors.js';
import {
  cStrings,
  killSignalNumber,
  ownOptions,
  validateBoolean,
  validateMaxBuffer,
  validateObject,
  validateTimeout,
} from '../validate.js';
import type { ChildProcess, SpawnError } from './child-process.js';
import { endAfter, timerDelay } from './ending.js';
import type { ResourceUsage } from './exit.js';
import { SPAWN_OPTIONS, type SpawnOptions, spawn } from './spawn.js';

/** Options of run(): those of spawn(), and how output is collected. */
export interface RunOptions extends SpawnOptions {
  /** Written to the process's standard input, which is then closed. Default: nothing. */
  input?: string | Uint8Array | undefined;
  /** Encoding of the output; `buffer` gives it as Buffers. Default `utf8`. */
  encoding?: BufferEncoding | 'buffer' | undefined;
  /**
   * Bytes that stdout and stderr may have, each; with more the process is ended with `killSignal`
   * and the promise is rejected. Default 100 MiB.
   */
  maxBuffer?: number | undefined;
  /** With false, a process that fails gives a result as well, in which `error` is set. Default true. */
  reject?: boolean | undefined;
  /**
   * Milliseconds to wait, after the process ended, for others that keep its output open: a daemon
   * that it started, say. What was read by then is the result. Default: for ever.
   */
  outputTimeout?: number | undefined;
}

/** Names of run()'s options. */
export const RUN_OPTIONS: readonly string[] = [
  ...SPAWN_OPTIONS,
  'input',
  'encoding',
  'maxBuffer',
  'reject',
  'outputTimeout',
];

const MAX_BUFFER = 100 * 1024 * 1024;

/** What a process gave. `Output` is string, or Buffer with `encoding: 'buffer'`. */
export interface RunResult<Output = string> {
  /** The command as it was given, for messages. */
  readonly command: string;
  readonly stdout: Output;
  readonly stderr: Output;
  /** null if a signal ended the process, or it was not started. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the call to the end of the output, milliseconds. */
  readonly durationMs: number;
  /** null if the process was not started. */
  readonly resourceUsage: ResourceUsage | null;
  /** Whether the process was sent `killSignal` because of `timeout`, however it ended then. */
  readonly timedOut: boolean;
  /** What of a sandbox was in force; null if none was asked for. */
  readonly sandbox: SandboxInForce | null;
  /** The control group that was asked for, with its counters; null if there was none. */
  readonly cgroup: Cgroup | null;
  /** With `reject: false`: why the run failed, if it did. */
  readonly error?: RunError;
}

/** A run that failed: the result's fields, and those of the error behind it. */
export class RunError extends Error implements RunResult<string | Buffer> {
  override name = 'RunError';
  readonly command: string;
  readonly stdout: string | Buffer;
  readonly stderr: string | Buffer;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly durationMs: number;
  readonly resourceUsage: ResourceUsage | null;
  readonly timedOut: boolean;
  readonly sandbox: SandboxInForce | null;
  readonly cgroup: Cgroup | null;
  /** The exit code, or the code of the error that kept the process from running. */
  readonly code: number | string | null;
  /** Which step of the launch failed, if it did. */
  readonly step: string | undefined;
  /** The working directory that was asked for. */
  readonly cwd: string | URL | undefined;

  constructor(
    message: string,
    result: Omit<RunResult<string | Buffer>, 'error'>,
    cwd: string | URL | null | undefined,
    cause: SpawnError | null,
  ) {
    super(message, cause === null ? undefined : { cause });
    this.command = result.command;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
    this.exitCode = result.exitCode;
    this.signal = result.signal;
    this.durationMs = result.durationMs;
    this.resourceUsage = result.resourceUsage;
    this.timedOut = result.timedOut;
    this.sandbox = result.sandbox;
    this.cgroup = result.cgroup;
    this.code = cause?.code ?? result.exitCode;
    this.step = cause?.step;
    this.cwd = cwd ?? undefined;
  }
}

/** Of a process that was not started. */
const UNSTARTED = {
  ...{ exitCode: null, signal: null, resourceUsage: null, timedOut: false },
  ...{ sandbox: null, cgroup: null },
} as const;

/**
 * Runs a command to its end and collects what it writes. Rejects with RunError if it cannot be
 * started, exits with another code than 0, is ended by a signal, or writes too much; throws nothing
 * but what is wrong with its arguments, and that before anything is started.
 */
export function run(
  file: string,
  args: readonly string[] | undefined,
  options: RunOptions & { encoding: 'buffer' },
): Promise<RunResult<Buffer>>;
export function run(
  file: string,
  args?: readonly string[],
  options?: RunOptions,
): Promise<RunResult<string>>;
export function run(
  file: string,
  options: RunOptions & { encoding: 'buffer' },
): Promise<RunResult<Buffer>>;
export function run(file: string, options?: RunOptions): Promise<RunResult<string>>;
export async function run(
  file: string,
  args?: readonly string[] | RunOptions,
  given?: RunOptions,
): Promise<RunResult<string | Buffer>> {
  if (args !== undefined && !Array.isArray(args)) {
    given = args as RunOptions;
    args = [];
  }
  if (given != null) validateObject(given, 'options');
  // Read once: what is checked is what is used.
  const options = ownOptions(given);
  validate(options);
  const { input, encoding = 'utf8', maxBuffer = MAX_BUFFER, reject = true } = options;
  const { outputTimeout, cwd, timeout } = options;
  const killSignal = killSignalNumber(options.killSignal);
  const list = cStrings(args ?? [], 'args');
  const started = performance.now();
  // The timer is ours, to know whether it was what ended the process.
  const conclude = (
    result: RunResult<string | Buffer>,
    failure: SpawnError | null,
  ): RunResult<string | Buffer> => {
    const reason = describe(result, failure);
    if (reason === null) return result;
    const error = new RunError(`${reason}: ${result.command}`, result, cwd, failure);
    if (reject) throw error;
    return { ...result, error };
  };
  // What is no string is only found out by spawn().
  const commandLine = (): string => [file, ...list].map(quote).join(' ');
  let child: ChildProcess;
  try {
    child = spawn(file, list, { ...options, timeout: undefined });
  } catch (error) {
    // What is wrong with the arguments has no system call.
    const failure = error as SpawnError;
    if (failure.syscall === undefined) throw error;
    const durationMs = performance.now() - started;
    const output = encoding === 'buffer' ? Buffer.alloc(0) : '';
    const command = commandLine();
    return conclude({ ...UNSTARTED, command, stdout: output, stderr: output, durationMs }, failure);
  }
  let timedOut = false;
  if (timeout) {
    endAfter(child, timeout, killSignal, () => {
      timedOut = true;
    });
  }
  if (input !== undefined || options.stdio === undefined) feed(child, input ?? '');

  let failure: SpawnError | null = null;
  const tooMuch = (name: string) => (): void => {
    failure ??= maxBufferExceeded(name);
    child.kill(killSignal as NodeJS.Signals | undefined);
  };
  const stdout = collect(child.stdout, maxBuffer, tooMuch('stdout'));
  const stderr = collect(child.stderr, maxBuffer, tooMuch('stderr'));
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.on('error', (error: SpawnError) => {
      failure ??= error;
      if (child.pid === undefined || child.exitCode !== null) resolve();
    });
    child.once('exit', () => {
      if (outputTimeout === undefined) return;
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve();
      }, timerDelay(outputTimeout));
      child.once('close', () => clearTimeout(timer));
    });
  });

  const decode = (bytes: Buffer): string | Buffer =>
    encoding === 'buffer' ? bytes : bytes.toString(encoding);
  const durationMs = performance.now() - started;
  const { exitCode, signalCode } = child;
  const result = {
    command: commandLine(),
    stdout: decode(stdout()),
    stderr: decode(stderr()),
    exitCode: exitCode !== null && exitCode < 0 ? null : exitCode,
    signal: signalCode,
    durationMs,
    resourceUsage: child.resourceUsage,
    timedOut,
    sandbox: child.sandbox,
    cgroup: child.cgroup,
  };
  return conclude(result, failure);
}

function validate(options: RunOptions): void {
  for (const name of Object.keys(options)) {
    if (!RUN_OPTIONS.includes(name)) throw unknownOption(name, RUN_OPTIONS);
  }
  const { input, encoding, maxBuffer, reject, outputTimeout } = options;
  if (input !== undefined && typeof input !== 'string' && !types.isUint8Array(input)) {
    throw invalidArgType('options.input', 'a string or an instance of Uint8Array', input);
  }
  if (encoding !== undefined && encoding !== 'buffer' && !Buffer.isEncoding(encoding)) {
    throw invalidArgValue('options.encoding', encoding, 'must be an encoding or "buffer"');
  }
  validateMaxBuffer(maxBuffer);
  validateTimeout(options.timeout);
  validateTimeout(outputTimeout, 'options.outputTimeout');
  if (reject !== undefined) validateBoolean(reject, 'options.reject');
}

function feed(child: ChildProcess, input: string | Uint8Array): void {
  // A process that does not read its input is no error.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
}

function collect(
  stream: NodeJS.ReadableStream | null | undefined,
  limit: number,
  exceeded: () => void,
): () => Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('error', () => {});
  stream?.on('data', (chunk: Buffer) => {
    const room = limit - size;
    size += chunk.length;
    if (room <= 0) return;
    chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    if (size > limit) exceeded();
  });
  return () => Buffer.concat(chunks);
}

function describe(
  { exitCode, signal, timedOut }: Pick<RunResult, 'exitCode' | 'signal' | 'timedOut'>,
  failure: SpawnError | null,
): string | null {
  if (timedOut) return `Command timed out${signal === null ? '' : `, and was ended by ${signal}`}`;
  if (failure !== null) return `Command failed: ${failure.message}`;
  if (signal !== null) return `Command was ended by ${signal}`;
  if (exitCode === null)
    return 'Command ended in a way nobody knows: another part of this process reaped it';
  return exitCode === 0 ? null : `Command failed with exit code ${exitCode}`;
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
