import { AsyncResource } from 'node:async_hooks';
import { constants } from 'node:os';
import type { Cgroup } from '../controls/cgroup-group.js';
import { acquireControls, type Controls } from '../controls/index.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import { invalidArgValue, LaunchError, type LaunchFailure, PlanError } from '../errors.js';
import type { Launched } from '../launch/attempts.js';
import type { Executor } from '../launch/executor.js';
import type { Environment } from '../launch/vectors.js';
import { EMFILE, ENFILE, ESRCH } from '../plan/constants.js';
import { cStrings, validateCString, validateInteger } from '../validate.js';
import { type Engine, engine } from './engine.js';
import type { Exit } from './exit.js';
import { findCandidates } from './lookup.js';
import { spawnPlan } from './spawn-plan.js';
import {
  closeAll,
  FEW_CHILDREN,
  openStdio,
  PIPE_SIZE,
  type Stdio,
  type StdioEntry,
} from './stdio.js';
import { Supervision } from './supervision.js';

/** What Node's ChildProcess hands to its process handle. */
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
}

/** What a handle takes beyond that. */
export interface OwnOptions {
  readonly executor?: Executor | undefined;
  readonly controls?: Controls | undefined;
}

/** The same, one by one. */
type ListedOptions = [
  file: string,
  args: HandleOptions['args'],
  cwd: HandleOptions['cwd'],
  envPairs: HandleOptions['envPairs'],
  stdio: HandleOptions['stdio'],
  flags: number,
  uid: HandleOptions['uid'],
  gid: HandleOptions['gid'],
];

/** What a caller of `ChildProcess.spawn` passes: Node's method looks at some of it only. */
function checkedOptions(options: HandleOptions): HandleOptions {
  const { file, args, cwd, envPairs, detached, uid, gid, stdio } = options;
  validateCString(file, 'options.file');
  if (file === '') throw invalidArgValue('options.file', file, 'cannot be empty');
  if (cwd != null) validateCString(cwd, 'options.cwd');
  if (uid != null) validateInteger(uid, 'options.uid', -0x80000000, 0x7fffffff);
  if (gid != null) validateInteger(gid, 'options.gid', -0x80000000, 0x7fffffff);
  const argv = args === undefined ? [] : cStrings(args, 'options.args');
  return {
    file,
    args: argv.length === 0 ? [file] : argv,
    cwd: cwd || undefined,
    envPairs: envPairs === undefined ? undefined : cStrings(envPairs, 'options.envPairs'),
    detached: !!detached,
    uid,
    gid,
    stdio,
  };
}

/** Node's kProcessFlagDetached. */
const FLAG_DETACHED = 1;

function unlist([file, args, cwd, envPairs, stdio, flags, uid, gid]: ListedOptions): HandleOptions {
  return { file, args, cwd, envPairs, stdio, detached: (flags & FLAG_DETACHED) !== 0, uid, gid };
}

/** The same before Node's ChildProcess has gone through `stdio`. */
export interface StartOptions extends Omit<HandleOptions, 'stdio'>, OwnOptions {
  readonly stdio: unknown;
  readonly serialization?: 'json' | 'advanced' | undefined;
  /** Without effect on Linux; who looks at a child's options finds them as in Node. */
  readonly windowsHide?: boolean | undefined;
  readonly windowsVerbatimArguments?: boolean | undefined;
}

/** Signals that ask for an end, and do not stand for something else in many programs. */
const ENDING_SIGNALS: ReadonlySet<number> = new Set(
  (['SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGKILL', 'SIGTERM'] as const).map(
    (name) => constants.signals[name],
  ),
);

/** Errors that Node's ChildProcess reports by an event; it throws others. */
const REPORTED: ReadonlySet<string> = new Set(['EACCES', 'EAGAIN', 'EMFILE', 'ENFILE', 'ENOENT']);

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
  onexit: (errno: number) => void = (errno) => this.#events.ended(null, this.#failureFor(errno));
  /** Why spawn() returned an error. */
  failure: LaunchFailure | null = null;
  /** Whether the outcome of the plan is still to come. */
  pending = false;
  /** The control group in which the process was started. */
  group: Cgroup | null = null;
  /** What of a sandbox is in force. */
  sandbox: SandboxInForce | null = null;
  /** Whether the options come from our own spawn(), and not from a caller of Node's method. */
  checked = false;
  /** Whether it was sent a signal that is there to end it. */
  wasAskedToEnd = false;
  /** What Node does not hand over. */
  own: OwnOptions = {};
  readonly #events: HandleEvents;
  #supervision: Supervision | null = null;

  constructor(events: HandleEvents) {
    super('SAFEEXECPROCESS', { requireManualDestroy: false });
    this.#events = events;
  }

  /**
   * Starts the process: 0, or a negated error number. Node hands over the options as one object,
   * or one by one (24.22 does).
   */
  spawn(...given: [HandleOptions] | ListedOptions): number {
    const unchecked = given.length === 1 ? given[0] : unlist(given);
    const options = this.checked ? unchecked : checkedOptions(unchecked);
    const current = engine(options.file);
    let stdio: Stdio | undefined;
    try {
      const pipeSize = current.watcher.size < FEW_CHILDREN ? PIPE_SIZE : null;
      stdio = openStdio(current.inFlight, options.stdio, pipeSize);
      this.#launch(current, options, stdio);
      return 0;
    } catch (error) {
      if (!(error instanceof LaunchError)) throw error;
      if (error instanceof PlanError && !REPORTED.has(error.code)) {
        this.#failLater(error.failure);
        return 0;
      }
      this.failure = error.failure;
      return error.errno;
    } finally {
      if (stdio !== undefined) {
        closeAll(current.inFlight, stdio.theirs);
        // Also after a failure: the child's streams are there in any case, and end at once. Not so
        // where descriptors are short, for then Node makes no streams of its handles.
        const errno = this.failure?.errno ?? 0;
        const isShort = errno === EMFILE || errno === ENFILE;
        for (const { fd, handle } of stdio.ours) {
          if (handle === undefined || isShort) current.inFlight.close(fd);
          else current.inFlight.handOver(fd, handle);
        }
      }
    }
  }

  #launch(current: Engine, options: HandleOptions, { map, actions }: Stdio): void {
    const { file, args } = options;
    const { executor, controls: asked } = this.own;
    const env: Environment = options.envPairs ?? 'inherit';
    const candidates = findCandidates(current.kernel, file, env, {
      cwd: options.cwd,
      controls: asked,
    });
    const controls = asked && acquireControls(asked, current.launcher);
    let launched: Launched;
    try {
      const attributes = controls === undefined ? options : { ...options, controls };
      const plan = spawnPlan(attributes, candidates, map, actions);
      const cgroup = controls?.cgroup;
      launched = current.launcher.launch({ plan, argv: args, env, executor, wait: false, cgroup });
    } catch (error) {
      controls?.failed();
      throw error;
    } finally {
      controls?.launched();
    }
    this.group = controls?.group ?? null;
    this.sandbox = controls?.sandbox ?? null;
    this.pid = launched.pid;
    this.pending = launched.pending !== null;
    this.#supervision = new Supervision(current, launched, {
      started: () => {
        this.pending = false;
        this.runInAsyncScope(() => this.#events.spawned());
      },
      failed: (failure) => {
        controls?.failed();
        this.#ended(null, failure);
      },
      exited: (exit) => {
        controls?.ended();
        this.#ended(exit, null);
      },
    });
  }

  /** As if it had not been known yet: whether it is, is a matter of chance. */
  #failLater(failure: LaunchFailure): void {
    this.pending = true;
    process.nextTick(() => this.#ended(null, failure));
  }

  kill(signal: number): number {
    if (this.#supervision === null) return -ESRCH;
    const result = this.#supervision.kill(signal);
    if (result === 0 && ENDING_SIGNALS.has(signal)) this.wasAskedToEnd = true;
    return result;
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

  /** Has `spawned` called as soon as the target runs. */
  announce(): void {
    this.#supervision?.announce();
  }

  /** The same, and at once if that is soon. */
  awaitSpawn(): void {
    this.#supervision?.awaitOutcome();
  }

  close(): void {
    this.#supervision?.unref();
  }

  #failureFor(errno: number): LaunchFailure {
    return this.failure ?? { errno: -errno, syscall: 'spawn', step: 'spawn' };
  }

  #ended(exit: Exit | 'lost' | null, failure: LaunchFailure | null): void {
    this.pending = false;
    this.runInAsyncScope(() => this.#events.ended(exit, failure));
  }
}
