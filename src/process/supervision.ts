import { setImmediate } from 'node:timers';
import { isMainThread } from 'node:worker_threads';
import type { LaunchFailure } from '../errors.js';
import type { Launched, PendingOutcome } from '../launch/attempts.js';
import { POLLIN } from '../plan/constants.js';
import type { Engine } from './engine.js';
import { type Exit, reap } from './exit.js';

/** Seconds for which the thread is held, at most, for those who listen for `spawn`. */
const SPAWN_WAIT = 1;

/** What a supervised process reports. Each is called at most once, and `ended` last. */
export interface Reports {
  /** The target runs. */
  started(): void;
  /** The plan failed; there is no process any more. */
  failed(failure: LaunchFailure): void;
  /** The process ended and was reaped. */
  exited(exit: Exit | 'lost'): void;
}

/**
 * Looks after a started process until it is reaped: reads its plan's outcome, sees its exit, and
 * closes the descriptors that stand for it.
 */
export class Supervision {
  readonly pid: number;
  readonly #engine: Engine;
  readonly #reports: Reports;
  #pidfd: number;
  #pending: PendingOutcome | null;
  #announced = false;
  #settling = false;
  #referenced = false;

  constructor(engine: Engine, launched: Launched, reports: Reports) {
    this.pid = launched.pid;
    this.#engine = engine;
    this.#reports = reports;
    this.#pidfd = launched.pidfd;
    this.#pending = launched.pending;
    engine.watcher.handle(this.#pidfd, () => this.#onExit());
    if (this.#pending !== null) {
      // A Worker may end at any time, and then only what is in the set is closed.
      if (isMainThread) engine.watcher.checkNowAndThen(() => this.#onOutcome());
      else this.announce();
    }
    this.ref();
  }

  /** The pidfd; -1 once the process was reaped. */
  get pidfd(): number {
    return this.#pidfd;
  }

  get hasRef(): boolean {
    return this.#referenced;
  }

  /** Sends a signal; 0, or a negated error number. Cannot hit another process. */
  kill(signal: number): number {
    return this.#engine.kernel.call('pidfd_send_signal', this.#pidfd, signal);
  }

  ref(): void {
    if (this.#referenced || this.#pidfd < 0) return;
    this.#referenced = true;
    this.#engine.watcher.ref();
  }

  unref(): void {
    if (!this.#referenced) return;
    this.#referenced = false;
    this.#engine.watcher.unref();
  }

  /**
   * Has the start reported as soon as it is known. Without this it is, in the main thread, when
   * something else happens: nobody waits for it, and a wake-up costs more than reading it. A plan
   * that fails is known by the process's end, in any case.
   */
  announce(): void {
    if (this.#pending === null || this.#announced) return;
    this.#engine.watcher.add(this.#pending.fd, () => this.#onOutcome());
    this.#announced = true;
  }

  /**
   * Reports the start now. Who listens for it may count on Node's order, where it comes before any
   * event of the same or of another process: before output, say, that would be lost to a pipe made
   * in that listener. Node's own spawn() holds the thread for this in any case, and without end.
   */
  awaitOutcome(): void {
    const { memory, scratchAt, scratchAddress } = this.#engine.kernel;
    const pending = this.#pending;
    if (pending === null) return;
    memory.setInt32(scratchAt, pending.fd);
    memory.setInt32(scratchAt + 4, POLLIN);
    // A struct timespec behind the one descriptor.
    memory.setWord(scratchAt + 16, SPAWN_WAIT);
    memory.setWord(scratchAt + 16 + memory.wordSize, 0);
    this.#engine.kernel.call('ppoll', scratchAddress, 1, scratchAddress + 16);
    if (!this.#onOutcome()) this.announce();
  }

  /** Reads the outcome, if it is there; whether it is known now. */
  #onOutcome(): boolean {
    const pending = this.#pending;
    if (pending === null) return true;
    const { kernel, inFlight, watcher } = this.#engine;
    const { memory, scratchAt, scratchAddress } = kernel;
    const size = kernel.call('read', pending.fd, scratchAddress, 2 * memory.wordSize);
    if (size < 0) return false;
    const address = memory.word(scratchAt);
    const result = memory.signedWord(scratchAt + memory.wordSize);
    this.#pending = null;
    if (this.#announced) watcher.release(pending.fd);
    else inFlight.close(pending.fd);
    if (size === 0) {
      if (this.#announced) this.#settle();
      this.#reports.started();
      return true;
    }
    // It wrote its record and is about to exit.
    reap(kernel, this.#pidfd, true);
    this.#close();
    this.#reports.failed(pending.explain(address, result));
    return true;
  }

  /**
   * Who awaits the start has to get a turn before the process is reported to have ended, also if
   * both are seen at once: with Node's own there is a turn of the event loop between the two.
   */
  #settle(): void {
    this.#settling = true;
    setImmediate(() => {
      this.#settling = false;
      if (this.#pidfd >= 0) this.#onExit();
    });
  }

  #onExit(): void {
    // The outcome comes first, also if both are there at once.
    this.#onOutcome();
    if (this.#pidfd < 0 || this.#settling) return;
    const exit = reap(this.#engine.kernel, this.#pidfd);
    if (exit === null) return;
    this.#close();
    this.#reports.exited(exit);
  }

  #close(): void {
    this.#engine.watcher.release(this.#pidfd);
    this.#pidfd = -1;
    this.unref();
  }
}
