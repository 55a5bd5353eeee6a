import { constants } from 'node:os';
import { getSystemErrorName, inspect } from 'node:util';
import { EBADFD, ELIBBAD, ENOPKG, ENOTBLK, EUSERS } from './plan/constants.js';

/** A fault in safeexec itself: never the consequence of what a caller passed. */
export class InternalError extends Error {
  override name = 'InternalError';
  readonly code: string = 'ERR_SAFEEXEC_INTERNAL';
}

/** What was asked for cannot be had on this platform; `missing` names what it lacks. */
export class UnsupportedError extends Error {
  override name = 'UnsupportedError';
  readonly code = 'ERR_SAFEEXEC_UNSUPPORTED';
  readonly missing: string;

  constructor(message: string, missing: string, cause?: unknown) {
    super(`safeexec: ${message}`, cause === undefined ? undefined : { cause });
    this.missing = missing;
  }
}

/** What an error of a launch is made of. */
export interface LaunchFailure {
  /** Positive error number. */
  readonly errno: number;
  /** The system call that failed. */
  readonly syscall: string;
  /** The step of the plan, or of the launch itself, that failed: `chdir`, `exec`, `clone` … */
  readonly step: string;
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
  /** The interpreter of the program, if that is what is missing. */
  readonly interpreter?: string | undefined;
}

/**
 * A process could not be started. `code`, `errno` (negative), `syscall`, `path` and `spawnargs` are
 * as in Node's errors; `step` says which step of the plan failed, in the parent or in the helper.
 */
export class LaunchError extends Error {
  override name = 'LaunchError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly step: string;
  path?: string;
  /** The descriptor that the step is about, if it is about one. */
  fd?: number;
  /** What the program's first line, or its ELF header, names to run it, if that is what is missing. */
  interpreter?: string;
  spawnargs?: string[];
  readonly #failure: LaunchFailure;

  constructor(failure: LaunchFailure) {
    const code = errnoCode(failure.errno);
    super(describe(code, failure));
    this.code = code;
    this.errno = -failure.errno;
    this.syscall = failure.syscall;
    this.step = failure.step;
    if (failure.path !== undefined) this.path = failure.path;
    if (failure.fd !== undefined) this.fd = failure.fd;
    if (failure.interpreter !== undefined) this.interpreter = failure.interpreter;
    this.#failure = failure;
  }

  /** What it was made of. @internal */
  get failure(): LaunchFailure {
    return this.#failure;
  }
}

/** A step of the plan failed, in the new process, and that was known at once. */
export class PlanError extends LaunchError {}

/** `ENOENT` for 2, and so on. */
export function errnoCode(errno: number): string {
  const name = getSystemErrorName(-errno);
  if (!name.startsWith('Unknown')) return name;
  // libuv has no name for some that execve(2) and clone(2) give, as ENOEXEC.
  const known = Object.entries({ ...constants.errno, ENOTBLK, ENOPKG, EBADFD, ELIBBAD, EUSERS });
  return known.find(([, number]) => number === errno)?.[0] ?? `E${errno}`;
}

/** Characters of a path or name in a message: as long as a path can be. */
const LONGEST_SHOWN = 4096;

/** Why a program that is there cannot be executed. */
export function lacks(interpreter: string): string {
  return `its interpreter '${interpreter.slice(0, LONGEST_SHOWN)}' is missing`;
}

/** One line that says what failed, and on what. */
export function describe(
  code: string,
  { syscall, step, path, fd, interpreter }: LaunchFailure,
): string {
  const shown = path?.slice(0, LONGEST_SHOWN);
  const object = path !== undefined ? ` '${shown}'` : fd !== undefined ? ` descriptor ${fd}` : '';
  const call = syscall === step ? step : `${step} (${syscall})`;
  const reason = interpreter === undefined ? '' : `: ${lacks(interpreter)}`;
  return `${code}: ${call}${object} failed${reason}`;
}

type Constructor = new (message: string) => Error;

function coded(Base: Constructor, code: string, message: string): Error & { code: string } {
  const error = Object.assign(new Base(message), { code });
  Object.defineProperty(error, 'toString', {
    value: () => `${error.name} [${code}]: ${message}`,
    enumerable: false,
  });
  // As Node's own: the code stands in the stack's first line, not in the name.
  error.stack = `${error.name} [${code}]: ${message}${error.stack?.slice(error.stack.indexOf('\n')) ?? ''}`;
  return error;
}

/** A value of the wrong type: TypeError with Node's code. */
export function invalidArgType(name: string, expected: string, value: unknown): TypeError {
  const noun = name.includes('.') ? 'property' : 'argument';
  const message = `The "${name}" ${noun} must be ${expected}. Received ${show(value)}`;
  return coded(TypeError, 'ERR_INVALID_ARG_TYPE', message);
}

/** A value of the right type that cannot be used: TypeError with Node's code. */
export function invalidArgValue(name: string, value: unknown, reason = 'is invalid'): TypeError {
  const noun = name.includes('.') ? 'property' : 'argument';
  const message = `The ${noun} '${name}' ${reason}. Received ${quote(value)}`;
  return coded(TypeError, 'ERR_INVALID_ARG_VALUE', message);
}

/** A number outside its range: RangeError with Node's code. */
export function outOfRange(name: string, range: string, value: unknown): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${quote(value)}`;
  return coded(RangeError, 'ERR_OUT_OF_RANGE', message);
}

/** More output than `maxBuffer` allows: RangeError with Node's code. */
export function maxBufferExceeded(name: string): RangeError {
  const message = `${name} maxBuffer length exceeded`;
  return coded(RangeError, 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER', message);
}

/** Data in the array `stdio` of a form that does not wait: TypeError with Node's code. */
export function invalidForkInput(value: unknown): TypeError {
  const kinds = 'Buffer, TypedArray, DataView or string';
  const message = `Asynchronous forks do not support ${kinds} input: ${quote(value)}`;
  return coded(TypeError, 'ERR_INVALID_SYNC_FORK_INPUT', message);
}

/** A channel for messages where there can be none, or none where there must be one. */
export function channelError(code: 'ERR_IPC_SYNC_FORK' | 'ERR_CHILD_PROCESS_IPC_REQUIRED'): Error {
  const message =
    code === 'ERR_IPC_SYNC_FORK'
      ? 'IPC cannot be used with synchronous forks'
      : "Forked processes must have an IPC channel, missing value 'ipc' in options.stdio";
  return coded(Error, code, message);
}

/** The error that Node gives when a signal aborts something; `cause` is the signal's reason. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR';
  override name = 'AbortError';

  constructor(cause: unknown) {
    super('The operation was aborted', { cause });
  }
}

export function unknownSignal(signal: unknown): TypeError {
  return coded(TypeError, 'ERR_UNKNOWN_SIGNAL', `Unknown signal: ${asIs(signal)}`);
}

export function unknownEncoding(encoding: unknown): TypeError {
  return coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${asIs(encoding)}`);
}

/** Node's error where its permission model forbids to start processes. */
export function accessDenied(file: string): Error & { code: string } {
  const advice = 'Use --allow-child-process to manage permissions.';
  const message = `Access to this API has been restricted. ${advice}`;
  const error = coded(Error, 'ERR_ACCESS_DENIED', message);
  return Object.assign(error, { permission: 'ChildProcess', resource: file });
}

/** An option that does not exist: TypeError with the code of an invalid value. */
export function unknownOption(
  name: string,
  known: readonly string[],
  where = 'options',
): TypeError {
  const near = known.find((other) => other.toLowerCase() === name.toLowerCase());
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`;
  const message = `The property '${where}.${name}' is not an option; ${hint}`;
  return coded(TypeError, 'ERR_INVALID_ARG_VALUE', message);
}

/** Characters of a value in a message, as in Node. */
const LONGEST_QUOTED = 128;

/** A value as it is, where that is short; of an object, what it is. */
function asIs(value: unknown): string {
  const isObject = typeof value === 'object' || typeof value === 'function';
  return isObject ? show(value) : String(value).slice(0, LONGEST_SHOWN);
}

/** A value as Node writes it where its type is right; of an object, what it is. */
function quote(value: unknown): string {
  if (typeof value === 'object' || typeof value === 'function') return show(value);
  // More of a string than is left of it, for it is quoted.
  const text = inspect(typeof value === 'string' ? value.slice(0, LONGEST_QUOTED + 1) : value);
  return text.length > LONGEST_QUOTED ? `${text.slice(0, LONGEST_QUOTED)}...` : text;
}

/** As Node shortens what it quotes. */
function shortened(text: string): string {
  return text.length > 28 ? `${text.slice(0, 25)}...` : text;
}

/** A few words on a value. Gives some for every one, also for such as throw when they are looked at. */
function show(value: unknown): string {
  try {
    if (value === null || value === undefined) return String(value);
    if (typeof value === 'function') return `function ${String(value.name)}`;
    if (typeof value === 'object') {
      const name = (value as object).constructor?.name;
      return name ? `an instance of ${String(name)}` : 'an object without a prototype';
    }
    if (typeof value === 'string') return `type string (${inspect(shortened(value))})`;
    return `type ${typeof value} (${shortened(inspect(value))})`;
  } catch {
    return `type ${typeof value}`;
  }
}
