import { InternalError, LaunchError, type LaunchFailure, PlanError } from '../errors.js';
import { EINTR, ENOSYS, EPERM, P_PIDFD, SIGKILL, WEXITED } from '../plan/constants.js';
import type { Plan } from '../plan/plan.js';
import { HEADER, HEADER_WORDS } from '../program/instruction.js';
import { instructionAt, link } from '../program/link.js';
import { Arena } from './arena.js';
import { checkArgumentSize } from './argument-size.js';
import { CompiledPlans, type StudiedPlan } from './compiled-plans.js';
import { type ErrorPipe, openErrorPipe } from './error-pipe.js';
import type { Executor } from './executor.js';
import { type Features, noPidfd } from './features.js';
import { writeImageFile } from './image-file.js';
import type { InFlight } from './in-flight.js';
import type { Kernel } from './kernel.js';
import type { Carrier, WatchSite } from './launch-program.js';
import { lostInterpreter } from './lost-interpreter.js';
import type { EnvironmentSize } from './own-environment.js';
import { failureOf, Start, type StartInput, type StartResult } from './start.js';
import type { Environment } from './vectors.js';
import type { Way } from './ways.js';

export interface LaunchRequest {
  readonly plan: Plan;
  readonly argv: readonly string[];
  readonly env: Environment;
  /** What runs the plan; undefined: the first that works here. */
  readonly executor: Executor | undefined;
  /** Whether to wait for the plan's outcome, which holds the thread until the target's exec. */
  readonly wait: boolean;
  /** The directory of the control group to start in. Default: this process's own group. */
  readonly cgroup?: number | undefined;
}

/** A process that was started. Its pidfd is in the thread's epoll set. */
export interface Launched {
  readonly pid: number;
  readonly pidfd: number;
  /** Set while the plan runs. */
  readonly pending: PendingOutcome | null;
}

/** Where a plan's outcome will be read, without blocking: who gets this closes it. It is in flight. */
export interface PendingOutcome {
  readonly fd: number;
  /** What the two words of a record say. */
  readonly explain: (address: number, result: number) => LaunchFailure;
}

/** The thread's set of watched descriptors, as far as a launch has to do with it. */
export interface WatchSet extends WatchSite {
  /** Takes a descriptor out of the set and closes it. */
  release(fd: number): void;
}

/** A request, and the way in which it is tried. */
export interface Task {
  readonly request: LaunchRequest;
  readonly studied: StudiedPlan;
  readonly way: Way;
}

interface Prepared {
  readonly start: Start;
  readonly input: StartInput;
  readonly explain: PendingOutcome['explain'];
}

/** Starts processes for one thread, one at a time, each in the way that it is told. */
export class Attempts {
  readonly #inFlight: InFlight;
  readonly #kernel: Kernel;
  readonly #watch: WatchSet;
  readonly #plans: CompiledPlans;
  readonly #memfdFlags: number;
  readonly #starts: Readonly<Record<Carrier, (Start | undefined)[]>> = {
    memfd: [],
    file: [],
    direct: [],
  };
  readonly #arena: Arena;
  /** Whether an image in a memfd was started, so that one can be expected to be. */
  #proved = false;
  /** Whether a child can share our memory while we go on: not in an emulator. First it is tried. */
  #canShare: boolean | undefined;
  /** Whether one may still be doing so. */
  #shared = false;

  constructor(inFlight: InFlight, features: Features, watch: WatchSet) {
    this.#inFlight = inFlight;
    this.#kernel = inFlight.kernel;
    this.#watch = watch;
    this.#plans = new CompiledPlans(this.#kernel.binding, features.closeRange);
    this.#memfdFlags = features.memfdFlags;
    this.#arena = new Arena(this.#kernel);
  }

  study(plan: Plan): StudiedPlan {
    return this.#plans.study(plan);
  }

  /**
   * The first launch by an image in a memfd takes until its exec, which tells whether that can be
   * done here. Those after it do not wait, unless they are asked to.
   */
  launch(task: Task): Launched {
    const { way } = task;
    const { wait, cgroup, env } = task.request;
    const inMemfd = way.image === 'memfd';
    const goesOn = !wait && cgroup === undefined && (env !== 'inherit' || this.#arena.ownIsStill);
    if (inMemfd && goesOn && this.#proved && this.#canShare !== false) {
      try {
        const launched = this.#attempt(task, true);
        // Waits for this one, once.
        this.#canShare ??= this.#inFlight.isToldOf(launched.pending?.fd ?? -1);
        return launched;
      } catch (error) {
        const unknown =
          error instanceof LaunchError && error.step === 'clone' && error.code === 'EINVAL';
        if (!unknown) throw error;
      }
      const launched = this.#attempt(task, false);
      this.#canShare = false;
      return launched;
    }
    const launched = this.#attempt(task, false);
    this.#proved ||= inMemfd;
    return launched;
  }

  /** `sharing`: goes on while the child still shares our memory. */
  #attempt(task: Task, sharing: boolean): Launched {
    const { plan, wait, env, argv } = task.request;
    // What the child may read later is copied: setting a variable would change, or free it.
    const own = sharing && env === 'inherit' ? this.#arena.measureOwn() : null;
    checkArgumentSize(this.#kernel, argv, env, own, plan.exec.file);
    const pipe = openErrorPipe(this.#inFlight, task.studied.highest, wait);
    let prepared: Prepared;
    try {
      prepared = this.#prepare(task, pipe, sharing, own);
    } catch (error) {
      this.#inFlight.close(pipe.read);
      this.#inFlight.close(pipe.write);
      throw error;
    }
    this.#shared = sharing;
    const result = prepared.start.run(prepared.input);
    this.#inFlight.landed(pipe.write);
    this.#inFlight.landed(prepared.input.image?.file ?? -1);
    return this.#conclude(result, pipe.read, prepared.explain, wait);
  }

  /** Makes all ready that the new process needs. */
  #prepare(
    { request, studied, way }: Task,
    pipe: ErrorPipe,
    sharing: boolean,
    own: EnvironmentSize | null,
  ): Prepared {
    const { plan, argv, env, cgroup = -1 } = request;
    const { machine } = this.#kernel.binding;
    const { wordSize } = machine;
    const compiled = this.#plans.compile(plan, studied, way.executor, pipe.write, argv.length);
    const { program, size, image } = compiled;
    const given = image ? [...studied.sources, pipe.write] : studied.sources;

    // The latest child may still be reading there.
    if (this.#shared) this.#inFlight.settle();
    const contents = this.#arena.write(given, argv, env, own, image ? 0 : size);
    const { at } = contents;
    const { memory } = this.#arena;
    const base = image ? this.#plans.imageProgramAddress : memory.address + at;
    if (!image) {
      link(program, machine, base, memory.bytes.subarray(at));
      // As if the word before argv were the stack pointer.
      memory.setWord(at + HEADER.stack * wordSize, contents.argv - wordSize);
      memory.setWord(at + HEADER.env * wordSize, contents.envp);
    }
    const start = this.#start(way.image ?? 'direct', cgroup >= 0, sharing);
    // Last, for from here on it is the launch program's to close.
    const file =
      image && way.image === 'file'
        ? writeImageFile(this.#inFlight, way.folder, { address: image.address, size })
        : -1;
    const input = {
      plan: image ? 0 : base + HEADER_WORDS * wordSize,
      descriptors: contents.descriptors,
      descriptorsEnd: contents.descriptorsEnd,
      errorRead: pipe.read,
      errorWrite: pipe.write,
      cloneFlags: plan.cloneFlags ?? 0,
      cgroup,
      errorSlot: this.#inFlight.slotOf(pipe.write),
      imageSlot: this.#inFlight.slotOf(file),
      image: image && {
        memfdFlags: this.#memfdFlags,
        address: image.address,
        size,
        file,
        argv: contents.argv,
        envp: contents.envp,
      },
    };
    const explain = (address: number, result: number): LaunchFailure => {
      const instruction = instructionAt(program, wordSize, base, address);
      if (instruction) {
        const failure = failureOf(instruction.name, instruction.step, result);
        if (failure.step !== 'exec') return failure;
        return { ...failure, interpreter: lostInterpreter(plan, failure.errno) };
      }
      const failure = start.explain(address, result);
      // Next time it is found out in time for another way.
      this.#proved = false;
      if (failure === undefined) throw new InternalError('the error record names no instruction');
      return failure;
    };
    return { start, input, explain };
  }

  #conclude(
    { failure, pid, pidfd, outcome, record }: StartResult,
    errorRead: number,
    explain: PendingOutcome['explain'],
    wait: boolean,
  ): Launched {
    const kernel = this.#kernel;
    if (failure !== null) {
      this.#inFlight.close(errorRead);
      if (pid > 0) {
        this.end(pidfd);
        kernel.call('close', pidfd);
      }
      const { step, errno } = failure;
      if (step === 'pidfd_open' && (errno === ENOSYS || errno === EPERM)) {
        throw noPidfd('clone(CLONE_PIDFD) fails, and pidfd_open(2)', '5.3', -errno);
      }
      throw new LaunchError(failure);
    }
    if (outcome < 0 && !wait) return { pid, pidfd, pending: { fd: errorRead, explain } };

    let [address, result] = record;
    const { memory, scratchAt } = kernel;
    while (outcome === -EINTR) {
      outcome = kernel.call('read', errorRead, kernel.scratchAddress, 2 * memory.wordSize);
      address = memory.word(scratchAt);
      result = memory.signedWord(scratchAt + memory.wordSize);
    }
    this.#inFlight.close(errorRead);
    if (outcome === 0) return { pid, pidfd, pending: null };
    this.end(pidfd);
    this.#watch.release(pidfd);
    if (outcome < 0) {
      throw new LaunchError({ errno: -outcome, syscall: 'read', step: 'error pipe' });
    }
    throw new PlanError(explain(address, result));
  }

  /** Ends a child that cannot be used, and reaps it. */
  end(pidfd: number): void {
    this.#kernel.call('pidfd_send_signal', pidfd, SIGKILL);
    while (this.#kernel.call('waitid', P_PIDFD, pidfd, 0, WEXITED) === -EINTR);
  }

  #start(carrier: Carrier, intoCgroup: boolean, shares: boolean): Start {
    const starts = this.#starts[carrier];
    const index = (intoCgroup ? 2 : 0) + (shares ? 1 : 0);
    let start = starts[index];
    if (start === undefined) {
      const sharing = shares ? this.#inFlight.sharing : null;
      start = new Start(this.#kernel, { carrier, intoCgroup, sharing }, this.#watch);
      starts[index] = start;
    }
    return start;
  }
}
