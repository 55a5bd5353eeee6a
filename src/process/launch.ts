import type { Cgroup } from '../controls/cgroup-group.js';
import { MAX_ID } from '../controls/credentials.js';
import {
  type AcquiredControls,
  acquireControls,
  CONTROL_NAMES,
  type ControlOptions,
  prepareControls,
} from '../controls/index.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import { inOrder } from '../controls/stages.js';
import { invalidArgType, invalidArgValue, LaunchError } from '../errors.js';
import { EXECUTORS, type Executor } from '../launch/executor.js';
import type { Kernel } from '../launch/kernel.js';
import type { Launched } from '../launch/launcher.js';
import {
  EBADF,
  ENAMETOOLONG,
  F_GETFD,
  FD_CLOEXEC,
  PATH_MAX,
  SIG_BLOCK,
} from '../plan/constants.js';
import { type FileAction, followDescriptors, type SignalSet, type Step } from '../plan/plan.js';
import {
  listOf,
  ownOptions,
  signalNumber,
  validateArray,
  validateBoolean,
  validateCString,
  validateDescriptor,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import { engine } from './engine.js';
import { type EnvironmentOption, environment, searchPath } from './environment.js';
import type { Exit } from './exit.js';
import { candidatesFor } from './lookup.js';
import { checkExecutor } from './spawn.js';
import { Supervision } from './supervision.js';

/** Options of launch(). */
export interface LaunchOptions extends ControlOptions {
  /** The program: a path, or with `search` a name that is looked up in the child's PATH. */
  readonly path: string;
  /** argv, with argv[0]; at least one string. Default: [path]. */
  readonly argv?: readonly string[] | undefined;
  /** Environment. Default: this process's. */
  readonly env?: EnvironmentOption | null | undefined;
  /** Looks `path` up in PATH, and has /bin/sh run what the kernel cannot: execvp(3). Default false. */
  readonly search?: boolean | undefined;
  /**
   * What happens to descriptors and directories, in this order. Paths are those of this process's
   * root, whatever the child's root is.
   */
  readonly actions?: readonly FileAction[] | undefined;
  /**
   * The working directory, at last: in the child's root, and if it is relative, from where
   * `actions` and `root` have led. Default: there.
   */
  readonly cwd?: string | undefined;
  /**
   * Closes what was not given to the child: all but 0 to 2 and what `actions` open. Default true.
   * With false the child has, as after posix_spawn(3), also every other descriptor that is not
   * close-on-exec.
   */
  readonly closeOthers?: boolean | undefined;
  /** What runs the plan. Default `image`, and `direct` where memory must not be executed. */
  readonly executor?: Executor | undefined;
}

/** Names of launch()'s options. */
export const LAUNCH_OPTIONS: readonly (keyof LaunchOptions)[] = [
  'path',
  'argv',
  'env',
  'search',
  'actions',
  'cwd',
  'closeOthers',
  'executor',
  ...CONTROL_NAMES,
];

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
  /** Sends a signal, default SIGTERM. false if the process has ended. */
  kill(signal?: NodeJS.Signals | number): boolean;
  /** Keeps the event loop alive until the process ends; that is so from the start. */
  ref(): void;
  unref(): void;
}

/**
 * Starts a process and waits until its program runs: the thread is held until the exec, a fraction
 * of a millisecond. Throws LaunchError, whose `step` names what failed, here or in the child, and
 * then there is no process.
 */
export function launch(options: LaunchOptions): LaunchedProcess {
  validateObject(options, 'options');
  return launchChecked(checked(ownOptions(options)));
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
    kill: (signal = 'SIGTERM') => supervision.kill(signal === 0 ? 0 : signalNumber(signal)) === 0,
    ref: () => supervision.ref(),
    unref: () => supervision.unref(),
  };
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

function validate(options: LaunchOptions): void {
  validateOptionNames(options, LAUNCH_OPTIONS);
  const { path, argv, actions, cwd, executor } = options;
  validatePath(path, 'options.path', 'exec');
  if (path === '') throw invalidArgValue('options.path', path, 'cannot be empty');
  if (cwd !== undefined) validatePath(cwd, 'options.cwd', 'chdir');
  if (argv !== undefined) {
    if (argv.length === 0) throw invalidArgValue('options.argv', argv, 'needs at least argv[0]');
    argv.forEach((argument, i) => {
      validateCString(argument, `options.argv[${i}]`);
    });
  }
  for (const name of ['search', 'closeOthers'] as const) {
    if (options[name] !== undefined) validateBoolean(options[name], `options.${name}`);
  }
  if (options.env != null) {
    validateObject(options.env, 'options.env');
    // Each element would be a variable.
    if (ArrayBuffer.isView(options.env)) {
      throw invalidArgType('options.env', 'of type object', options.env);
    }
  }
  // spawn() takes negative ones too, as Node's does.
  for (const name of ['uid', 'gid'] as const) {
    if (options[name] !== undefined) validateInteger(options[name], `options.${name}`, 0, MAX_ID);
  }
  if (executor !== undefined && !EXECUTORS.includes(executor)) {
    throw invalidArgValue('options.executor', executor, `must be one of: ${EXECUTORS.join(', ')}`);
  }
  actions?.forEach((action, i) => {
    validateAction(action, `options.actions[${i}]`);
  });
}

/** Options that are checked, in lists and records that are nobody else's. */
function checked(given: LaunchOptions): LaunchOptions {
  const argv = given.argv === undefined ? undefined : listOf(given.argv, 'options.argv');
  const list = given.actions === undefined ? undefined : listOf(given.actions, 'options.actions');
  const actions = list?.map((action, i) => {
    validateObject(action, `options.actions[${i}]`);
    const own = ownOptions(action as Record<string, unknown>);
    if (own.fds !== undefined) own.fds = listOf(own.fds, `options.actions[${i}].fds`);
    return own;
  });
  const options = ownOptions({ ...given, argv, actions } as LaunchOptions);
  validate(options);
  return options;
}

/** Fields of each file action besides its type; a question mark for those that may be missing. */
const ACTION_FIELDS: Readonly<Record<FileAction['type'], readonly string[]>> = {
  open: ['fd', 'path', 'flags?', 'mode?'],
  close: ['fd'],
  dup2: ['from', 'to'],
  chdir: ['path'],
  fchdir: ['fd'],
  closeFrom: ['fd'],
  closeAllBut: ['fds'],
  tcsetpgrp: ['fd'],
};

/** A path that can be one: the kernel would say the same of it, but it would have to get there. */
function validatePath(path: unknown, name: string, step: string): void {
  validateCString(path, name);
  if (path.length >= PATH_MAX) {
    const syscall = { open: 'openat', exec: 'execve' }[step] ?? step;
    throw new LaunchError({ errno: ENAMETOOLONG, syscall, step, path });
  }
}

function validateAction(action: unknown, name: string): asserts action is FileAction {
  validateObject(action, name);
  const record = action as Record<string, unknown>;
  const { type } = record;
  if (typeof type !== 'string' || !Object.hasOwn(ACTION_FIELDS, type)) {
    const known = Object.keys(ACTION_FIELDS).join(', ');
    throw invalidArgValue(`${name}.type`, type, `must be one of: ${known}`);
  }
  const fields = ACTION_FIELDS[type as FileAction['type']];
  const plain = fields.map((field) => field.replace('?', ''));
  validateOptionNames(record, ['type', ...plain]);
  for (const [i, field] of plain.entries()) {
    const value = record[field];
    const where = `${name}.${field}`;
    if (value === undefined && fields[i] !== field) continue;
    if (field === 'path') validatePath(value, where, type);
    else if (field === 'fds') {
      validateArray(value, where);
      for (const [n, fd] of value.entries()) validateDescriptor(fd, `${where}[${n}]`);
    } else if (field === 'flags' || field === 'mode') validateInteger(value, where, 0, 0x7fffffff);
    else if (value === undefined) throw invalidArgType(where, 'of type number', value);
    else validateDescriptor(value, where);
  }
}
