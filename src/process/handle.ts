import { AsyncResource } from 'node:async_hooks';
import { constants } from 'node:os';
import { LaunchError, type LaunchFailure } from '../errors.js';
import type { Executor } from '../launch/executor.js';
import type { Environment } from '../launch/vectors.js';
import { ENOSYS } from '../plan/constants.js';
import { ALL_SIGNALS, NO_SIGNALS, type Plan, type Step } from '../plan/plan.js';
import { engine } from './engine.js';
import { searchPath } from './environment.js';
import type { Exit, ResourceUsage } from './exit.js';
import { candidatesFor, lookAhead } from './lookup.js';
import { closeAll, openStdio, type StdioEntry } from './stdio.js';
import { Supervision } from './supervision.js';

/** What Node's ChildProcess hands to its process handle, and what ours takes beyond that. */
export interface HandleOptions {
  readonly file: string;
  /** argv, with argv[0]. */
  readonly args: readonly string[];
  readonly cwd?: string | null | undefined;
  /** `NAME=value` strings; without them the process's own environment. */
  readonly envPairs?: readonly string[] | undefined;
  readonly detached?: boolean | undefined;
  readonly uid?: number | null | undefined;
  readonly gid?: number | null | undefined;
  readonly stdio: readonly StdioEntry[];
  readonly executor?: Executor | undefined;
}

/** What a handle tells its ChildProcess. */
export interface HandleEvents {
  /** The target runs now; spawn() did not know yet. */
  spawned(): void;
  /** The process ended, or could not be started: then `failure` says why. */
  ended(exit: Exit | 'lost' | null, failure: LaunchFailure | null): void;
}

/**
 * The process handle of a ChildProcess: it has the methods of Node's own (`process_wrap`), on
 * which all of Node's JavaScript for child processes rests, and starts processes with the engine.
 */
export class ProcessHandle extends AsyncResource {
  /** As in Node's handle: undefined unless a process was started. */
  pid: number | undefined = undefined;
  /** Node's JavaScript calls this for errors that spawn() returned. */
  onexit: (errno: number) => void = (errno) => this.#events.ended(null, this.failureFor(errno));
  /** Why spawn() returned an error. */
  failure: LaunchFailure | null = null;
  resourceUsage: ResourceUsage | null = null;
  /** Whether the outcome of the plan is still to come. */
  pending = false;
  readonly #events: HandleEvents;
  #supervision: Supervision | null = null;

  constructor(events: HandleEvents) {
    super('SAFEEXECPROCESS', { requireManualDestroy: false });
    this.#events = events;
  }

  /** Starts the process: 0, or a negated error number. */
  spawn(options: HandleOptions): number {
    const current = engine();
    const { kernel, launcher } = current;
    const env: Environment = options.envPairs ?? 'inherit';
    const cwd = options.cwd ?? undefined;
    const { file } = options;
    try {
      let candidates = candidatesFor(file, file.includes('/') ? '' : searchPath(env));
      const found = lookAhead(kernel, candidates, file, cwd);
      if (!('index' in found)) throw new LaunchError(found);
      candidates = candidates.slice(found.index);

      const stdio = openStdio(kernel, options.stdio);
      let left = [...stdio.ours];
      try {
        const plan = spawnPlan(options, candidates, stdio.map, stdio.opens);
        const executor = options.executor ?? 'image';
        const launched = launcher.launch({ plan, argv: options.args, env, executor, wait: false });
        this.pid = launched.pid;
        this.pending = launched.pending !== null;
        this.#supervision = new Supervision(current, launched, {
          started: () => {
            this.pending = false;
            this.runInAsyncScope(() => this.#events.spawned());
          },
          failed: (failure) => this.#ended(null, failure),
          exited: (exit) => this.#ended(exit, null),
        });
        for (const { fd, handle } of stdio.ours) {
          if (handle.open(fd) === 0) left = left.filter((end) => end.fd !== fd);
          else this.kill(constants.signals.SIGKILL);
        }
      } finally {
        closeAll(kernel, stdio.theirs);
        closeAll(
          kernel,
          left.map(({ fd }) => fd),
        );
      }
      return 0;
    } catch (error) {
      if (!(error instanceof LaunchError)) throw error;
      const { errno, syscall, step, path } = error;
      this.failure = { errno: -errno, syscall, step, path };
      return errno;
    }
  }

  kill(signal: number): number {
    return this.#supervision === null ? -ENOSYS : this.#supervision.kill(signal);
  }

  ref(): void {
    this.#supervision?.ref();
  }

  unref(): void {
    this.#supervision?.unref();
  }

  hasRef(): boolean {
    return this.#supervision?.hasRef ?? false;
  }

  close(): void {
    this.#supervision?.unref();
  }

  failureFor(errno: number): LaunchFailure {
    return this.failure ?? { errno: -errno, syscall: 'spawn', step: 'spawn' };
  }

  #ended(exit: Exit | 'lost' | null, failure: LaunchFailure | null): void {
    this.pending = false;
    if (exit !== null && exit !== 'lost') this.resourceUsage = exit.resourceUsage;
    this.runInAsyncScope(() => this.#events.ended(exit, failure));
  }
}

/** The plan of a spawn, its steps in the order in which Node's own has them. */
function spawnPlan(
  { file, cwd, detached, uid, gid }: HandleOptions,
  candidates: readonly string[],
  map: ReadonlyMap<number, number>,
  opens: readonly Step[],
): Plan {
  const steps: Step[] = [{ type: 'signalDefaults', signals: ALL_SIGNALS }];
  if (detached) steps.push({ type: 'setsid' });
  steps.push({ type: 'descriptors', map }, ...opens);
  if (cwd != null) steps.push({ type: 'chdir', path: cwd });
  if (uid != null || gid != null) steps.push({ type: 'dropGroups' });
  if (gid != null) steps.push({ type: 'setgid', gid });
  if (uid != null) steps.push({ type: 'setuid', uid });
  steps.push({ type: 'signalMask', signals: NO_SIGNALS });
  return { steps, exec: { candidates, file, shellFallback: true } };
}
