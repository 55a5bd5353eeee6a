import { InternalError, LaunchError } from '../errors.js';
import type { Step } from '../plan/plan.js';
import {
  Attempts,
  type Launched,
  type LaunchRequest,
  type Task,
  type WatchSet,
} from './attempts.js';
import type { Executor } from './executor.js';
import { canStartInCgroup, type Features } from './features.js';
import type { InFlight } from './in-flight.js';
import type { Kernel } from './kernel.js';
import { isBusy, isRefusal, noWay, type Refusal, type Way, Ways } from './ways.js';

/** Is told of each launch: the pid, or why there is none, and how long the thread was held. */
export type LaunchReport = (
  request: LaunchRequest & { readonly executor: Executor },
  outcome: number | LaunchError,
  milliseconds: number,
) => void;

/** How often a file that is busy is made anew: a few times would do, each is independent. */
const BUSY_ATTEMPTS = 16;

/** Starts processes for one thread, one at a time, in the first way that works here. */
export class Launcher {
  /** What carried the plan of the latest launch that succeeded. */
  last: Way | undefined;
  readonly #ways: Ways;
  readonly #kernel: Kernel;
  readonly #attempts: Attempts;
  readonly #report: LaunchReport | undefined;
  #startsInCgroup: boolean | undefined;

  constructor(inFlight: InFlight, features: Features, watch: WatchSet, report?: LaunchReport) {
    this.#kernel = inFlight.kernel;
    this.#report = report;
    this.#attempts = new Attempts(inFlight, features, watch);
    this.#ways = new Ways(features);
  }

  /** Starts a process, or throws LaunchError or UnsupportedError and leaves nothing behind. */
  launch(request: LaunchRequest): Launched {
    const studied = this.#attempts.study(request.plan);
    const choice = { executor: request.executor, imageOnly: studied.imageOnly };
    const refusals: Refusal[] = [];
    for (const way of this.#ways.choose(choice)) {
      try {
        const launched = this.#patiently({ request, studied, way });
        if (refusals.length > 0 && refusals.every(({ error }) => isRefusal(error))) {
          this.#ways.remember(way);
        }
        this.last = way;
        return launched;
      } catch (error) {
        const refused = error instanceof LaunchError && (isRefusal(error) || isBusy(error));
        if (!refused) throw error;
        refusals.push({ way, error });
      }
    }
    throw noWay(choice, refusals);
  }

  /** Whether the kernel can start a process in a control group: clone3(2), Linux 5.7. */
  get startsInCgroup(): boolean {
    this.#startsInCgroup ??= canStartInCgroup(this.#kernel);
    return this.#startsInCgroup;
  }

  /**
   * Why steps cannot be taken here; null if they can. Tries it, up to an exec that fails: of a
   * directory.
   */
  refusalOf(steps: readonly Step[]): string | null {
    const exec = { candidates: ['/'], file: '/', shellFallback: false };
    const request = {
      plan: { steps, exec },
      argv: ['/'],
      env: [],
      executor: undefined,
      wait: true,
    };
    try {
      this.#attempts.end(this.launch(request).pidfd);
    } catch (error) {
      if (!(error instanceof LaunchError)) throw error;
      return error.step === 'exec' ? null : error.message;
    }
    throw new InternalError('a directory was executed');
  }

  /** With a new file each time, as long as another thread's child has it open for writing. */
  #patiently(task: Task): Launched {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#reported(task);
      } catch (error) {
        const busy = error instanceof LaunchError && isBusy(error);
        if (!busy || attempt === BUSY_ATTEMPTS) throw error;
      }
    }
  }

  #reported(task: Task): Launched {
    if (this.#report === undefined) return this.#attempts.launch(task);
    const request = { ...task.request, executor: task.way.executor };
    const started = performance.now();
    try {
      const launched = this.#attempts.launch(task);
      this.#report(request, launched.pid, performance.now() - started);
      return launched;
    } catch (error) {
      if (error instanceof LaunchError) this.#report(request, error, performance.now() - started);
      throw error;
    }
  }
}
