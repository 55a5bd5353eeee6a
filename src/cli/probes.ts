import { readFileSync, statfsSync } from 'node:fs';
import { arch, endianness, release, type } from 'node:os';
import { currentPersonality, requireOomScore } from '../controls/memory.js';
import { binding } from '../launch/binding.js';
import { nameOf } from '../launch/ways.js';
import { MACHINES, ownMachine } from '../machine/index.js';
import {
  ADDR_NO_RANDOMIZE,
  AT_EMPTY_PATH,
  EBADF,
  EINVAL,
  IOPRIO_WHO_PROCESS,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  P_PIDFD,
  PR_GET_THP_DISABLE,
  PROC_SUPER_MAGIC,
  SECCOMP_GET_ACTION_AVAIL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRAP,
  WEXITED,
  WNOHANG,
} from '../plan/constants.js';

import { LAST_DESCRIPTOR } from '../plan/descriptors.js';
import { mayStartProcesses } from '../process/permission.js';
import { CONTROL_PROBES } from './control-probes.js';
import { NAMESPACE_PROBES } from './namespace-probes.js';
import { kernel, Missing, must, tryLaunch } from './trial.js';

/** One thing that the engine needs, or can use. */
export interface Probe {
  readonly name: string;
  /** What it means if it is missing. */
  readonly meaning: string;
  /** Looks, with real calls. Gives a detail worth knowing, or throws what the reason is. */
  readonly look: () => string | Promise<string>;
}

/** Linux 5.4: waitid(P_PIDFD), the youngest call that the engine cannot do without. */
const OLDEST_KERNEL = [5, 4] as const;
/** A descriptor that is certainly not open. */
const NONE = 0x7fffffff;

function createMemfd(flags: number): number {
  const fd = kernel().call('memfd_create', kernel().string('safeexec-doctor'), flags);
  if (fd >= 0) kernel().call('close', fd);
  return fd;
}

/** The actions of policies. */
const SECCOMP_ACTIONS = {
  allow: SECCOMP_RET_ALLOW,
  log: SECCOMP_RET_LOG,
  errno: SECCOMP_RET_ERRNO,
  trap: SECCOMP_RET_TRAP,
  kill: SECCOMP_RET_KILL_PROCESS,
  killThread: SECCOMP_RET_KILL_THREAD,
} as const;

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
        return ownMachine().name;
      } catch {
        throw new Missing(`there is no code for ${arch()} (byte order ${endianness()})`);
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
    name: 'permission',
    meaning: NO_ENGINE,
    look: () => {
      const { permission } = process;
      if (permission === undefined) return 'node runs without --permission';
      if (!mayStartProcesses()) {
        throw new Missing('node runs under --permission without --allow-child-process');
      }
      return permission.has('child')
        ? 'node runs with --allow-child-process'
        : 'node runs with --permission-audit';
    },
  },
  {
    name: 'memfd_create',
    meaning: 'the image of the helper goes into a file',
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
    meaning: 'the image of the helper goes into a file',
    look: async () => {
      const sysctl = memfdNoexec();
      if (sysctl === '2') throw new Missing('vm.memfd_noexec is 2, which forbids it');
      const { way } = await tryLaunch('image');
      if (way.image !== 'memfd') throw new Missing('the kernel, or a filter, refuses it');
      return sysctl === null ? 'there is no vm.memfd_noexec' : `vm.memfd_noexec is ${sysctl}`;
    },
  },
  {
    name: 'executable file',
    meaning: 'where memfds are refused too, the image executor cannot work',
    look: async () => {
      const { way } = await tryLaunch('image');
      return way.image === 'file' ? `without a name, in ${way.folder}` : 'not needed';
    },
  },
  {
    name: 'pidfd of a child',
    meaning: NO_ENGINE,
    look: async () => {
      await tryLaunch();
      return 'by CLONE_PIDFD or pidfd_open';
    },
  },
  {
    name: 'pidfd_open',
    meaning: 'nothing, where clone(CLONE_PIDFD) works',
    look: () => {
      // Process 0 is none.
      must('pidfd_open', kernel().call('pidfd_open', 0), -EINVAL);
      return 'of a process';
    },
  },
  {
    name: 'waitid(P_PIDFD)',
    meaning: NO_ENGINE,
    look: () => {
      const result = kernel().call('waitid', P_PIDFD, NONE, 0, WEXITED | WNOHANG);
      must('waitid', result, -EBADF);
      return 'takes a pidfd';
    },
  },
  {
    name: 'pidfd_send_signal',
    meaning: NO_ENGINE,
    look: () => {
      must('pidfd_send_signal', kernel().call('pidfd_send_signal', -1), -EBADF);
      return 'takes a pidfd';
    },
  },
  {
    name: 'close_range',
    meaning: 'descriptors are closed one by one, which takes longer, and needs /proc',
    look: () => {
      must('close_range', kernel().call('close_range', LAST_DESCRIPTOR, LAST_DESCRIPTOR));
      return 'up to the last descriptor';
    },
  },
  {
    name: '/proc',
    meaning: 'nothing with close_range; run may send a signal of the terminal twice',
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
  ...NAMESPACE_PROBES,
  {
    name: 'seccomp',
    meaning: 'the option seccomp cannot be used, or not all of its actions',
    look: () => {
      const kinds = Object.entries(SECCOMP_ACTIONS);
      for (const [name, action] of kinds) {
        kernel().memory.setWord(kernel().scratchAt, action);
        const address = kernel().scratchAddress;
        const result = kernel().call('seccomp', SECCOMP_GET_ACTION_AVAIL, 0, address);
        must(`seccomp, asked for the action ${name},`, result);
      }
      return kinds.map(([name]) => name).join(', ');
    },
  },
  {
    name: 'oom_score_adj',
    meaning: 'oomScoreAdjust is refused',
    look: () => {
      requireOomScore();
      return 'in /proc';
    },
  },
  {
    name: 'personality',
    meaning: 'addressRandomization is refused',
    look: () => {
      const persona = currentPersonality();
      return `randomized: ${persona & ADDR_NO_RANDOMIZE ? 'no, this process is not' : 'yes'}`;
    },
  },
  {
    name: 'ioprio_set',
    meaning: 'a launch with ioPriority fails',
    look: () => {
      must('ioprio_get', kernel().call('ioprio_get', IOPRIO_WHO_PROCESS, 0));
      return 'priorities of input and output can be set';
    },
  },
  {
    name: 'PR_SET_THP_DISABLE',
    meaning: 'a launch with transparentHugePages fails',
    look: () => {
      must('prctl', kernel().call('prctl', PR_GET_THP_DISABLE, 0, 0, 0, 0));
      return 'huge pages can be turned off';
    },
  },
  {
    name: 'image executor',
    meaning: 'direct takes its place, but not for what changes credentials or makes namespaces',
    look: async () => {
      const { command, way } = await tryLaunch('image');
      return `${command} was started and ended, by ${nameOf(way)}`;
    },
  },
  {
    name: 'direct executor',
    meaning: 'only the image executor can be used',
    look: async () => {
      const { command } = await tryLaunch('direct');
      return `${command} was started and ended`;
    },
  },
  ...CONTROL_PROBES,
];

/** vm.memfd_noexec, or null where there is none: Linux before 6.3. */
function memfdNoexec(): string | null {
  try {
    return readFileSync('/proc/sys/vm/memfd_noexec', 'utf8').trim();
  } catch {
    return null;
  }
}
