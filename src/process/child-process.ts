import { ChildProcess as NodeChildProcess } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { Cgroup } from '../controls/cgroup-group.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import { errnoCode, type LaunchFailure, lacks } from '../errors.js';
import { SIGCONT, SIGKILL } from '../plan/constants.js';
import type { Exit, ResourceUsage } from './exit.js';
import { ProcessHandle, type StartOptions } from './handle.js';

/** An error of a child process: Node's fields, and the step of the plan that failed. */
export interface SpawnError extends NodeJS.ErrnoException {
  /** Which step failed: `exec`, `chdir`, `stdio`, `clone` … */
  step?: string;
  /** What the program's first line, or its ELF header, names to run it, if that is what is missing. */
  interpreter?: string;
  spawnargs?: string[];
}

/** Fields and methods that Node's JavaScript for child processes works with. */
interface Internals {
  _handle: ProcessHandle | null;
  _closesNeeded: number;
  _closesGot: number;
}

/** Where Node announces every child process: tools that trace programs listen there. */
const created = channel('child_process');

/**
 * A child process that the engine started. It is an instance of `node:child_process`'s
 * `ChildProcess`, with the same methods, streams, channel and events, and differs from Node's own
 * in what is behind it: the process handle.
 *
 * `spawn` is emitted once the target runs, which is known a moment after the call; when a step of
 * the plan fails, `error` comes in its place, and the error's `step` names it.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the prototype set below has the rest
export class ChildProcess extends EventEmitter {
  /** What the process used; null until it was reaped. */
  resourceUsage: ResourceUsage | null = null;

  readonly #handle: ProcessHandle;
  #failed = false;

  constructor() {
    super();
    // The fields that Node's constructor sets. That itself is not called: it would make a handle
    // of libuv's, which is never freed unless a process was started with it.
    const handle = new ProcessHandle({
      spawned: () => super.emit('spawn'),
      ended: (exit, failure) => this.#ended(exit, failure),
    });
    Object.assign(this, {
      _closesNeeded: 1,
      _closesGot: 0,
      connected: false,
      signalCode: null,
      exitCode: null,
      killed: false,
      spawnfile: null,
      _handle: handle,
    });
    this.#handle = handle;
    if (created.hasSubscribers) created.publish({ process: this });
  }

  /** The control group in which the process was started, if one was asked for. */
  get cgroup(): Cgroup | null {
    return this.#handle.group;
  }

  /** What of a sandbox is in force; null if none was asked for. */
  get sandbox(): SandboxInForce | null {
    return this.#handle.sandbox;
  }

  /** Node announces the spawn right after its call; here that may be too early to know. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'spawn' && this.#failed) return false;
    const handle = event === 'spawn' ? (this as unknown as Internals)._handle : null;
    if (handle?.pending) {
      if (this.listenerCount('spawn') > 0) handle.awaitSpawn();
      return false;
    }
    return super.emit(event, ...args);
  }

  /**
   * Waits until the process has ended, also one that is stopped, and before that sends it SIGTERM,
   * unless it was sent SIGTERM, SIGINT, SIGQUIT, SIGABRT or SIGKILL. One that ignores these is
   * waited for.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this as unknown as NodeChildProcess & Internals;
    const { _handle: handle } = child;
    if (handle === null || child.pid === undefined) return;
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      // An aborted signal is an error too, and the process is still there.
      child.on('error', () => {
        if (child._handle === null) resolve();
      });
    });
    if (!handle.wasAskedToEnd) child.kill();
    // A stopped process takes no other signal than SIGKILL until it is continued.
    handle.kill(SIGCONT);
    await ended;
  }

  #ended(exit: Exit | 'lost' | null, failure: LaunchFailure | null): void {
    const child = this as unknown as NodeChildProcess & Internals & { exitCode: number | null };
    const handle = child._handle as ProcessHandle;
    this.#failed = failure !== null;
    if (exit === null) child.exitCode = -(failure as LaunchFailure).errno;
    else if (exit !== 'lost') {
      Object.assign(child, { exitCode: exit.exitCode, signalCode: exit.signal });
      this.resourceUsage = exit.resourceUsage;
    }
    child.stdin?.destroy();
    handle.close();
    child._handle = null;

    if (failure === null) this.emit('exit', child.exitCode, child.signalCode);
    else this.emit('error', spawnError(failure, child.spawnfile, child.spawnargs));

    // Streams that nobody reads are drained, so that they can close. On the next tick: a listener
    // of `exit` may still want to start reading.
    process.nextTick(() => {
      for (const stream of (child.stdio ?? []) as (Readable | Writable | null)[]) {
        if (stream && 'resume' in stream && stream.readable && !isGivenAway(stream)) {
          stream.resume();
        }
      }
    });
    if (++child._closesGot === child._closesNeeded) {
      this.emit('close', child.exitCode, child.signalCode);
    }
  }
}

// Behind our own methods come Node's: spawn, kill, ref, unref, send … and `instanceof` holds.
Object.setPrototypeOf(ChildProcess.prototype, NodeChildProcess.prototype);

export interface ChildProcess extends Omit<NodeChildProcess, keyof EventEmitter> {}

/** Whether Node has marked a stream as the standard stream of another child: that one reads it. */
function isGivenAway(stream: object): boolean {
  return Object.getOwnPropertySymbols(stream).some(
    ({ description }) => description === 'kIsUsedAsStdio',
  );
}

/** Acts once the program runs, after the listeners of `spawn`; not if it cannot be started. */
export function afterSpawn(child: ChildProcess, act: () => void): void {
  const { _handle: handle } = child as unknown as Internals;
  if (!handle?.pending) {
    act();
    return;
  }
  child.once('spawn', act);
  handle.announce();
}

/** Starts the process of a child. Throws what Node's would, with the step. */
export function start(child: ChildProcess, options: StartOptions): void {
  const { _handle: handle } = child as unknown as Internals;
  if (handle) Object.assign(handle, { own: options, checked: true });
  try {
    (child as unknown as { spawn(options: StartOptions): number }).spawn(options);
  } catch (error) {
    // A stream of the caller's that throws does so when the process is there already.
    if (handle?.pid !== undefined) handle.kill(SIGKILL);
    if (handle?.failure) annotate(error as SpawnError, handle.failure);
    throw error;
  }
}

/** The error that Node would give for a failed spawn, and which step it was. */
export function spawnError(
  failure: LaunchFailure,
  file: string,
  argv: readonly string[],
): SpawnError {
  const code = errnoCode(failure.errno);
  const syscall = file ? `spawn ${file}` : 'spawn';
  const error: SpawnError = Object.assign(new Error(`${syscall} ${code}`), {
    errno: -failure.errno,
    code,
    syscall,
  });
  if (file) error.path = file;
  error.spawnargs = argv.slice(1);
  annotate(error, failure);
  return error;
}

/** Adds to an error which step failed, and on what. */
export function annotate(
  error: SpawnError,
  { step, path, fd, interpreter }: Pick<LaunchFailure, 'step' | 'path' | 'fd' | 'interpreter'>,
): void {
  error.step = step;
  if (interpreter !== undefined) {
    error.interpreter = interpreter;
    error.message += `: ${lacks(interpreter)}`;
  }
  if (step === 'exec') return;
  const object = path !== undefined ? ` '${path}'` : fd !== undefined ? ` of descriptor ${fd}` : '';
  error.message += `: ${step}${object} failed`;
}
