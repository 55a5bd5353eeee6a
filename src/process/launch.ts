import type { Cgroup } from '../controls/cgroup-group.js';
import { type AcquiredControls, acquireControls, prepareControls } from '../controls/index.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import { inOrder } from '../controls/stages.js';
import { errnoCode, LaunchError } from '../errors.js';
import type { Launched } from '../launch/attempts.js';
import type { Kernel } from '../launch/kernel.js';
import { EBADF, ESRCH, F_GETFD, FD_CLOEXEC, SIG_BLOCK } from '../plan/constants.js';
import { followDescriptors, type SignalSet, type Step } from '../plan/plan.js';
import { signalNumber, validateObject } from '../validate.js';
import { engine } from './engine.js';
import { environment, searchPath } from './environment.js';
import type { Exit } from './exit.js';
import { checkedOptions, type LaunchOptions } from './launch-options.js';
import { candidatesFor } from './lookup.js';
import { checkExecutor } from './spawn.js';
import { Supervision } from './supervision.js';

/** A process that launch() started. It is reaped when it ends, whether or not that is awaited. */
export interface LaunchedProcess {
  readonly pid: number;
  /** Refers to the process and to no other, ever: pidfd_open(2). -1 once it was reaped. */
  readonly pidfd: number;
  /** The control group in which it was started, if one was asked for. */
  readonly cgroup: Cgroup | null;
  /** What of a sandbox is in force; null if none was asked for. */
  readonly sandbox: SandboxInForce | null;
  /** Settles when the process has ended. `null` if somebody else reaped it. */
  readonly exited: Promise<Exit | null>;
  /**
   * Sends a signal, default SIGTERM; 0 only asks whether that could be done. false if the process has
   * ended. Throws an error with Node's fields if the kernel refuses it, as EPERM for a process that has
   * changed its user: pidfd_send_signal(2).
   */
  kill(signal?: NodeJS.Signals | number): boolean;
  /** Keeps the event loop alive until the process ends; that is so from the start. */
  ref(): void;
  /** Lets the event loop end before the process does. It goes on then, and `exited` stays pending. */
  unref(): void;
}

/**
 * Starts a process and waits until its program runs: the thread is held until the exec, a fraction
 * of a millisecond. Throws LaunchError, whose `step` names what failed, here or in the child, and
 * then there is no process.
 */
export function launch(options: LaunchOptions): LaunchedProcess {
  validateObject(options, 'options');
  return launchChecked(checkedOptions(options));
}

function launchChecked(options: LaunchOptions): LaunchedProcess {
  const { path, argv = [path], search = false, executor } = options;
  const env = environment(options.env, argv);
  const current = engine(path);
  const asked = prepareControls(options);
  const controls = asked && acquireControls(asked, current.launcher);
  let launched: Launched;
  try {
    const plan = {
      steps: launchSteps(current.kernel, options, controls ?? {}),
      cloneFlags: controls?.cloneFlags ?? 0,
      exec: {
        candidates: search ? candidatesFor(path, searchPath(env)) : [path],
        file: path,
        fd: controls?.execFd?.fd,
        shellFallback: search,
      },
    };
    if (executor === 'direct') checkExecutor(plan);
    const cgroup = controls?.cgroup;
    launched = current.launcher.launch({ plan, argv, env, executor, wait: true, cgroup });
  } catch (error) {
    controls?.failed();
    if (error instanceof LaunchError) error.spawnargs = argv.slice(1);
    throw error;
  } finally {
    controls?.launched();
  }
  let settle: (exit: Exit | null) => void = () => {};
  const exited = new Promise<Exit | null>((resolve) => {
    settle = resolve;
  });
  const supervision = new Supervision(current, launched, {
    started: () => {},
    failed: () => {},
    exited: (exit) => {
      controls?.ended();
      settle(exit === 'lost' ? null : exit);
    },
  });
  return {
    pid: supervision.pid,
    get pidfd() {
      return supervision.pidfd;
    },
    cgroup: controls?.group ?? null,
    sandbox: controls?.sandbox ?? null,
    exited,
    kill: (signal = 'SIGTERM') => kill(supervision, signal === 0 ? 0 : signalNumber(signal)),
    ref: () => supervision.ref(),
    unref: () => supervision.unref(),
  };
}

function kill(supervision: Supervision, signal: number): boolean {
  const result = supervision.kill(signal);
  if (result === 0) return true;
  if (supervision.pidfd < 0 || result === -ESRCH) return false;
  const code = errnoCode(-result);
  throw Object.assign(new Error(`kill ${code}`), { errno: result, code, syscall: 'kill' });
}

/** The steps: those of one stage in the order of posix_spawn(3), then those of controls. */
function launchSteps(
  kernel: Kernel,
  { actions = [], closeOthers = true, cwd }: LaunchOptions,
  { steps: asked = {}, cwdFd, execFd }: Partial<AcquiredControls>,
): Step[] {
  const descriptors: Step[] = [];
  const directory: Step[] = cwd === undefined ? [] : [{ type: 'chdir', path: cwd }];
  const standard = [0, 1, 2].filter((fd) => descriptorFlags(kernel, fd) !== null);
  // Node marks its own 0 to 2 close-on-exec; a duplicate on the same number is not.
  if (!closeOthers) {
    for (const fd of standard) descriptors.push({ type: 'dup2', from: fd, to: fd });
  }
  for (const action of actions) descriptors.push(action);
  const { open } = followDescriptors(inOrder(asked, { descriptors: actions }), standard);
  // These must outlive the closing, and are closed by the exec unless the child was given them.
  const held = new Set<number>();
  if (cwdFd !== undefined) {
    held.add(cwdFd);
    directory.push({ type: 'fchdir', fd: cwdFd });
  }
  if (execFd !== undefined) {
    held.add(execFd.fd);
    directory.push({ type: 'dup2', from: execFd.fd, to: execFd.fd });
  }
  const kept = execFd?.keepOpen ? execFd.fd : undefined;
  const closing = [...held].filter((fd) => !open.has(fd) && fd !== kept);
  if (closing.length > 0) directory.push({ type: 'closeOnExec', fds: closing });

  const used = inOrder(asked, { descriptors: actions, directory });
  const closeOnExec: number[] = [];
  for (const fd of followDescriptors(used, standard).sources) {
    const flags = descriptorFlags(kernel, fd);
    if (flags === null) {
      throw new LaunchError({ errno: EBADF, syscall: 'fcntl', step: 'descriptors', fd });
    }
    if (flags & FD_CLOEXEC && !open.has(fd)) closeOnExec.push(fd);
  }
  if (closeOthers) descriptors.push({ type: 'closeAllBut', fds: [...open, ...held] });
  // These had to reach the helper, and must not go on to the target.
  else descriptors.push({ type: 'closeOnExec', fds: closeOnExec });
  const inherits = asked.mask?.every(({ type }) => type !== 'signalMask') ?? true;
  const mask: Step[] = inherits ? [{ type: 'signalMask', signals: currentMask(kernel) }] : [];
  return inOrder({ descriptors, directory, mask }, asked);
}

/** Flags of a descriptor; null if it is not open. */
function descriptorFlags(kernel: Kernel, fd: number): number | null {
  const flags = kernel.call('fcntl', fd, F_GETFD);
  if (flags >= 0) return flags;
  if (flags === -EBADF) return null;
  throw new LaunchError({ errno: -flags, syscall: 'fcntl', step: 'descriptors', fd });
}

function currentMask(kernel: Kernel): SignalSet {
  const { memory, scratchAt, scratchAddress } = kernel;
  const result = kernel.call('rt_sigprocmask', SIG_BLOCK, 0, scratchAddress, 8);
  if (result < 0) {
    throw new LaunchError({ errno: -result, syscall: 'rt_sigprocmask', step: 'signalMask' });
  }
  return [memory.int32(scratchAt) >>> 0, memory.int32(scratchAt + 4) >>> 0];
}
