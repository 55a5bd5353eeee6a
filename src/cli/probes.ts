import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { arch, release, type } from 'node:os';
import { errnoCode, UnsupportedError } from '../errors.js';
import { binding } from '../launch/binding.js';
import type { Executor } from '../launch/executor.js';
import { Kernel } from '../launch/kernel.js';
import { MACHINES, machineFor } from '../machine/index.js';
import {
  AT_EMPTY_PATH,
  EBADF,
  ECHILD,
  EINVAL,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  O_WRONLY,
  P_PIDFD,
  WEXITED,
  WNOHANG,
} from '../plan/constants.js';
import { LAST_DESCRIPTOR } from '../plan/descriptors.js';
import { type LaunchedProcess, launch } from '../process/launch.js';

/** Something is not there; the message says why. */
export class Missing extends Error {}

/** One thing that the engine needs, or can use. */
export interface Probe {
  readonly name: string;
  /** What it means if it is missing. */
  readonly meaning: string;
  /** Looks, with real calls. Gives a detail worth knowing, or throws what the reason is. */
  readonly look: () => string | Promise<string>;
}

/** Linux 5.9: close_range(2), the youngest call that the engine cannot do without. */
const OLDEST_KERNEL = [5, 9] as const;
/** f_type of a proc file system; statfs(2). */
const PROC_SUPER_MAGIC = 0x9fa0;

let kernelInUse: Kernel | undefined;

function kernel(): Kernel {
  try {
    kernelInUse ??= new Kernel(binding());
    return kernelInUse;
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    throw new Missing('cannot be tried: the binding is not loaded');
  }
}

/** The result of a call; throws unless it is a success or the negated error number `expected`. */
function must(syscall: string, result: number, expected?: number): number {
  if (result < 0 && result !== expected) {
    throw new Missing(`${syscall} fails with ${errnoCode(-result)}`);
  }
  return result;
}

/** Does something with a pidfd of this very process. */
function withOwnPidfd(use: (pidfd: number) => void): void {
  const pidfd = must('pidfd_open', kernel().call('pidfd_open', process.pid));
  try {
    use(pidfd);
  } finally {
    kernel().call('close', pidfd);
  }
}

function createMemfd(flags: number): number {
  const fd = kernel().call('memfd_create', kernel().string('safeexec-doctor'), flags);
  if (fd >= 0) kernel().call('close', fd);
  return fd;
}

/** The command of a trial launch: the smallest that is there. */
function trialCommand(): string[] {
  for (const path of ['/bin/true', '/usr/bin/true']) {
    try {
      accessSync(path, constants.X_OK);
      return [path];
    } catch {}
  }
  return [process.execPath, '--version'];
}

/** What became of trial launches: why there was no process, or the command that ran. */
const trials = new Map<Executor, Promise<string>>();

/** Starts a command, looks at its pidfd, and waits for its end. */
function tryLaunch(executor: Executor): Promise<string> {
  let trial = trials.get(executor);
  if (trial === undefined) {
    trial = launchTrial(executor);
    trials.set(executor, trial);
  }
  return trial;
}

async function launchTrial(executor: Executor): Promise<string> {
  kernel();
  const argv = trialCommand();
  const [path] = argv as [string];
  const actions = [{ type: 'open', fd: 1, path: '/dev/null', flags: O_WRONLY }] as const;
  let child: LaunchedProcess;
  try {
    child = launch({ path, argv, actions, executor });
  } catch (error) {
    throw new Missing(error instanceof Error ? error.message : String(error));
  }
  const answer = kernel().call('pidfd_send_signal', child.pidfd, 0);
  const exit = await child.exited;
  if (exit === null) throw new Missing('somebody else reaped the process');
  if (exit.exitCode !== 0) {
    throw new Missing(`${path} ended with ${exit.signal ?? `code ${exit.exitCode}`}`);
  }
  must('pidfd_send_signal to the new process', answer);
  return `${argv.join(' ')} was started and ended`;
}

const NO_ENGINE = 'the engine cannot work here';

export const PROBES: readonly Probe[] = [
  {
    name: 'operating system',
    meaning: 'the engine works on Linux only; explain works everywhere',
    look: () => {
      if (process.platform !== 'linux') throw new Missing(`${process.platform} is not Linux`);
      return type();
    },
  },
  {
    name: 'architecture',
    meaning: `the engine has code for ${Object.keys(MACHINES).join(', ')}`,
    look: () => {
      try {
        return machineFor(process.arch).name;
      } catch {
        throw new Missing(`there is no code for ${arch()}`);
      }
    },
  },
  {
    name: 'kernel version',
    meaning: 'unless its distributor has added what is missing, the engine cannot work here',
    look: () => {
      const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat);
      const [oldest, minorOldest] = OLDEST_KERNEL;
      if (major < oldest || (major === oldest && minor < minorOldest)) {
        throw new Missing(`${release()} is older than ${OLDEST_KERNEL.join('.')}`);
      }
      return release();
    },
  },
  {
    name: 'native binding',
    meaning: NO_ENGINE,
    look: () => {
      const { source } = binding();
      const from = source === 'emitted' ? 'emitted, for want of its file' : `file ${source}`;
      return `Node-API ${process.versions.napi}, ${from}`;
    },
  },
  {
    name: 'memfd_create',
    meaning: 'the image executor cannot work; direct can',
    look: () => {
      must('memfd_create', createMemfd(MFD_CLOEXEC | MFD_ALLOW_SEALING));
      return 'with sealing';
    },
  },
  {
    name: 'MFD_EXEC',
    meaning: 'nothing, where it is for want of Linux 6.3: before that every memfd may be executed',
    look: () => {
      const fd = createMemfd(MFD_CLOEXEC | MFD_EXEC);
      if (fd === -EINVAL) throw new Missing('the kernel does not know it');
      must('memfd_create', fd);
      return 'known to the kernel';
    },
  },
  {
    name: 'execveat',
    meaning: 'the image executor cannot work; direct can',
    look: () => {
      // A descriptor that is not open: were it open, this process would become another.
      const empty = kernel().string('');
      must('execveat', kernel().call('execveat', -1, empty, 0, 0, AT_EMPTY_PATH), -EBADF);
      return 'of a descriptor';
    },
  },
  {
    name: 'executable memfd',
    meaning: 'the image executor cannot work; direct can',
    look: async () => {
      const sysctl = memfdNoexec();
      if (sysctl === '2') throw new Missing('vm.memfd_noexec is 2, which forbids it');
      await tryLaunch('image');
      return sysctl === null ? 'there is no vm.memfd_noexec' : `vm.memfd_noexec is ${sysctl}`;
    },
  },
  {
    name: 'CLONE_PIDFD',
    meaning: NO_ENGINE,
    look: async () => {
      // Whichever executor works: the clone is the same.
      await tryLaunch('image').catch(() => tryLaunch('direct'));
      return 'clone gave a pidfd';
    },
  },
  {
    name: 'waitid(P_PIDFD)',
    meaning: NO_ENGINE,
    look: () => {
      // This process is no child of its own.
      withOwnPidfd((pidfd) => {
        const result = kernel().call('waitid', P_PIDFD, pidfd, 0, WEXITED | WNOHANG);
        must('waitid', result, -ECHILD);
      });
      return 'takes a pidfd';
    },
  },
  {
    name: 'pidfd_send_signal',
    meaning: NO_ENGINE,
    look: () => {
      withOwnPidfd((pidfd) => {
        must('pidfd_send_signal', kernel().call('pidfd_send_signal', pidfd, 0));
      });
      return 'takes a pidfd';
    },
  },
  {
    name: 'close_range',
    meaning: NO_ENGINE,
    look: () => {
      must('close_range', kernel().call('close_range', LAST_DESCRIPTOR, LAST_DESCRIPTOR));
      return 'up to the last descriptor';
    },
  },
  {
    name: '/proc',
    meaning: 'the binding must be there as a file; run may send a signal of the terminal twice',
    look: () => {
      let found: number;
      try {
        found = statfsSync('/proc').type;
      } catch (error) {
        throw new Missing((error as Error).message);
      }
      if (found !== PROC_SUPER_MAGIC) throw new Missing('no proc file system is mounted there');
      return 'mounted';
    },
  },
  {
    name: 'image executor',
    meaning: 'processes are started only where the direct executor is asked for',
    look: () => tryLaunch('image'),
  },
  {
    name: 'direct executor',
    meaning: 'only the image executor can be used',
    look: () => tryLaunch('direct'),
  },
];

/** vm.memfd_noexec, or null where there is none: Linux before 6.3. */
function memfdNoexec(): string | null {
  try {
    return readFileSync('/proc/sys/vm/memfd_noexec', 'utf8').trim();
  } catch {
    return null;
  }
}
