import { promisify } from 'node:util';
import { CONTROL_NAMES, type ControlOptions } from '../controls/index.js';
import { errnoCode, invalidArgType, maxBufferExceeded } from '../errors.js';
import {
  cStrings,
  killSignalNumber,
  ownOptions,
  validateCString,
  validateFunction,
  validateMaxBuffer,
  validateObject,
  validateTimeout,
} from '../validate.js';
import type { ChildProcess, SpawnError } from './child-process.js';
import { timerDelay } from './ending.js';
import { type SpawnOptions, spawn } from './spawn.js';

/** Options of execFile(). */
export interface ExecFileOptions
  extends Pick<
    SpawnOptions,
    | keyof ControlOptions
    | 'cwd'
    | 'env'
    | 'argv0'
    | 'shell'
    | 'signal'
    | 'timeout'
    | 'killSignal'
    | 'windowsHide'
    | 'windowsVerbatimArguments'
    | 'executor'
  > {
  /** Encoding of the output; `buffer`, null or an unknown one gives Buffers. Default `utf8`. */
  encoding?: string | null | undefined;
  /** Characters or bytes that stdout and stderr may have, each. Default 1 MiB. */
  maxBuffer?: number | undefined;
}

/** Options of exec(). */
export interface ExecOptions extends Omit<ExecFileOptions, 'shell'> {
  /** The shell. Default /bin/sh. */
  shell?: string | undefined;
}

/** What exec() and execFile() report when a command fails. */
export interface ExecError extends SpawnError {
  cmd?: string;
  killed?: boolean;
  signal?: NodeJS.Signals | null;
  stdout?: string | Buffer;
  stderr?: string | Buffer;
}

export type ExecCallback = (
  error: ExecError | null,
  stdout: string | Buffer,
  stderr: string | Buffer,
) => void;

/** Default of `maxBuffer`, as in Node. */
export const MAX_BUFFER = 1024 * 1024;

/** The arguments of execFile() and execFileSync(), sorted out. */
export function sortArguments(args: unknown, options: unknown, callback?: unknown) {
  let list: readonly string[] = [];
  if (Array.isArray(args)) list = cStrings(args, 'args');
  else if (typeof args === 'function') {
    callback = args;
    options = undefined;
  } else if (args !== null && typeof args === 'object') {
    callback = options;
    options = args;
  } else if (args !== undefined && args !== null) {
    throw invalidArgType('args', 'of type object', args);
  }
  if (typeof options === 'function') {
    callback = options;
    options = undefined;
  } else if (options !== undefined && options !== null) validateObject(options, 'options');
  if (callback !== undefined && callback !== null) validateFunction(callback, 'callback');
  const given = ownOptions(options as ExecFileOptions);
  if (given.argv0 != null) validateCString(given.argv0, 'options.argv0');
  return { list, options: given, callback: callback as ExecCallback | null | undefined };
}

/**
 * Runs a file and calls back with what it wrote, as `node:child_process`'s function of that name.
 * With `util.promisify` it gives a promise of {stdout, stderr} that has the `child`.
 */
export function execFile(
  file: string,
  args?: readonly string[] | ExecFileOptions | ExecCallback | null,
  options?: ExecFileOptions | ExecCallback | null,
  callback?: ExecCallback | null,
): ChildProcess {
  const sorted = sortArguments(args, options, callback);
  const given: ExecFileOptions = ownOptions({
    encoding: 'utf8',
    timeout: 0,
    maxBuffer: MAX_BUFFER,
    killSignal: 'SIGTERM',
    ...sorted.options,
  });
  validateTimeout(given.timeout);
  validateMaxBuffer(given.maxBuffer);
  const killSignal = killSignalNumber(given.killSignal);
  const { encoding } = given;
  const isText =
    typeof encoding === 'string' && encoding !== 'buffer' && Buffer.isEncoding(encoding);
  const child = spawn(file, sorted.list, spawnOptions(given));
  new Collector(child, [file, ...sorted.list], {
    encoding: isText ? encoding : null,
    maxBuffer: given.maxBuffer ?? Infinity,
    timeout: given.timeout ?? 0,
    killSignal,
    callback: sorted.callback,
  });
  return child;
}

/** Runs a command in a shell, and otherwise as execFile(). */
export function exec(
  command: string,
  options?: ExecOptions | ExecCallback | null,
  callback?: ExecCallback | null,
): ChildProcess {
  validateCString(command, 'command');
  if (typeof options === 'function') {
    callback = options;
    options = undefined;
  }
  return execFile(command, withShell(options), callback);
}

/** Options that have the command run by a shell, whatever they say. */
export function withShell<Options extends { shell?: unknown }>(
  options: Options | null | undefined,
): Options & { shell: string | true } {
  const own = ownOptions(options);
  const shell = typeof own.shell === 'string' ? own.shell : true;
  return ownOptions({ ...own, shell }) as Options & { shell: string | true };
}

function spawnOptions(options: ExecFileOptions): SpawnOptions {
  const controls = CONTROL_NAMES.map((name) => [name, options[name]]);
  return {
    ...Object.fromEntries(controls),
    cwd: options.cwd,
    env: options.env,
    shell: options.shell,
    signal: options.signal,
    windowsHide: !!options.windowsHide,
    windowsVerbatimArguments: !!options.windowsVerbatimArguments,
    executor: options.executor,
  };
}

interface CollectorOptions {
  readonly encoding: BufferEncoding | null;
  readonly maxBuffer: number;
  readonly timeout: number;
  readonly killSignal: number | undefined;
  readonly callback: ExecCallback | null | undefined;
}

/** Collects the output of a child, within limits, and calls back once. */
class Collector {
  readonly #child: ChildProcess;
  readonly #command: readonly string[];
  readonly #options: CollectorOptions;
  readonly #chunks = { stdout: [] as (string | Buffer)[], stderr: [] as (string | Buffer)[] };
  #timer: NodeJS.Timeout | undefined;
  #error: ExecError | null = null;
  #killed = false;
  #done = false;

  constructor(child: ChildProcess, command: readonly string[], options: CollectorOptions) {
    this.#child = child;
    this.#command = command;
    this.#options = options;
    if (options.timeout > 0)
      this.#timer = setTimeout(() => this.#kill(), timerDelay(options.timeout));
    this.#collect('stdout');
    this.#collect('stderr');
    child.addListener('close', (code: number | null, signal: NodeJS.Signals | null) =>
      this.#finish(code, signal),
    );
    child.addListener('error', (error: ExecError) => {
      this.#error = error;
      child.stdout?.destroy();
      child.stderr?.destroy();
      this.#finish(null, null);
    });
  }

  #collect(name: 'stdout' | 'stderr'): void {
    const stream = this.#child[name];
    if (!stream) return;
    const { encoding, maxBuffer } = this.#options;
    const chunks = this.#chunks[name];
    let length = 0;
    if (encoding) stream.setEncoding(encoding);
    stream.on('data', (chunk: string | Buffer) => {
      const { readableEncoding } = stream;
      const size =
        typeof chunk === 'string'
          ? Buffer.byteLength(chunk, readableEncoding ?? undefined)
          : chunk.length;
      length += size;
      if (length <= maxBuffer) {
        chunks.push(chunk);
        return;
      }
      chunks.push(chunk.slice(0, maxBuffer - (length - size)));
      this.#error = maxBufferExceeded(name);
      this.#kill();
    });
  }

  #kill(): void {
    const child = this.#child;
    child.stdout?.destroy();
    child.stderr?.destroy();
    this.#killed = true;
    try {
      child.kill(this.#options.killSignal as NodeJS.Signals | undefined);
    } catch (error) {
      this.#error = error as ExecError;
      this.#finish(null, null);
    }
  }

  #output(name: 'stdout' | 'stderr'): string | Buffer {
    const chunks = this.#chunks[name];
    const isText = this.#options.encoding || this.#child[name]?.readableEncoding;
    return isText ? chunks.join('') : Buffer.concat(chunks as Buffer[]);
  }

  #finish(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    const { callback } = this.#options;
    if (!callback) return;
    const stdout = this.#output('stdout');
    const stderr = this.#output('stderr');
    let error = this.#error;
    if (error === null && code === 0 && signal === null) {
      callback(null, stdout, stderr);
      return;
    }
    const cmd = this.#command.join(' ');
    error ??= Object.assign(new Error(`Command failed: ${cmd}\n${stderr}`), {
      code: code !== null && code < 0 ? errnoCode(-code) : code,
      killed: this.#child.killed || this.#killed,
      signal,
    }) as unknown as ExecError;
    error.cmd = cmd;
    callback(error, stdout, stderr);
  }
}

/** The promise form: {stdout, stderr}, or the error with both; the promise has the `child`. */
function promiseForm<Args extends unknown[]>(
  start: (...args: [...Args, ExecCallback]) => ChildProcess,
) {
  return (...args: Args) => {
    let settle: ExecCallback = () => {};
    const promise = new Promise((resolve, reject) => {
      settle = (error, stdout, stderr) => {
        if (error === null) resolve({ stdout, stderr });
        else reject(Object.assign(error, { stdout, stderr }));
      };
    });
    // Wrong arguments are thrown, not rejected.
    const child = start(...args, (...result) => settle(...result));
    return Object.assign(promise, { child });
  };
}

for (const form of [exec, execFile] as const) {
  Object.defineProperty(form, promisify.custom, {
    enumerable: false,
    // By the name that Node 25 and later give it.
    value: Object.defineProperty(
      promiseForm(form as (...args: unknown[]) => ChildProcess),
      'name',
      { value: form.name },
    ),
  });
}
