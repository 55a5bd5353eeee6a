import { readFileSync } from 'node:fs';
import { type Observation, type Probe, statField, statusLine, statusSet } from './observation.js';

export type Answer = 'yes' | 'partial' | 'no';

/** Something that may be asked for of a new process, or be seen of one. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** What a run shows. */
  judge(seen: Observation): Answer | boolean;
  /** How the peer is started: with signals blocked and ignored, at a terminal, … */
  readonly setting?:
    | 'signals'
    | 'terminal'
    | 'ownTerminal'
    | 'traced'
    | 'withoutSetuid'
    | 'cgroup'
    | 'cgroupLimits';
}

export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}

const SIGPIPE = 1n << 12n;
const SIGUSR1 = 1n << 9n;
const SIGUSR2 = 1n << 11n;
const KILL = 1n << 5n;
const NOBODY = '65534 65534 65534 65534';

// Root in a container may lack CAP_SYS_RESOURCE, and these are 0 as a rule: then they stay so.
const canRaise = (effectiveCapabilities() & (1n << 24n)) !== 0n;

/** Soft and hard values of the row `limits`: none is usual, and no two are the same. */
export const LIMITS: Readonly<Record<string, readonly [number, number]>> = {
  as: [2 ** 33, 2 ** 34],
  core: [4096, 8192],
  cpu: [1001, 1002],
  data: [2 ** 31, 2 ** 32],
  fsize: [10_001_000, 10_002_000],
  locks: [1003, 1004],
  memlock: [65_536, 131_072],
  msgqueue: [40_960, 81_920],
  nice: canRaise ? [5, 6] : [0, 0],
  nofile: [501, 502],
  nproc: [5001, 5002],
  rss: [1_048_576, 2_097_152],
  rtprio: canRaise ? [7, 8] : [0, 0],
  rttime: [900_001, 900_002],
  sigpending: [601, 602],
  stack: [4_194_304, 8_388_608],
};

const LIMIT_NAMES: Readonly<Record<string, string>> = {
  as: 'address space',
  core: 'core file size',
  cpu: 'cpu time',
  data: 'data size',
  fsize: 'file size',
  locks: 'file locks',
  memlock: 'locked memory',
  msgqueue: 'msgqueue size',
  nice: 'nice priority',
  nofile: 'open files',
  nproc: 'processes',
  rss: 'resident set',
  rtprio: 'realtime priority',
  rttime: 'realtime timeout',
  sigpending: 'pending signals',
  stack: 'stack size',
};

function effectiveCapabilities(): bigint {
  return statusSet({ status: readFileSync('/proc/self/status', 'latin1') }, 'CapEff');
}

function hasLimits({ limits }: Probe): boolean {
  return Object.entries(LIMITS).every(([name, [soft, hard]]) =>
    new RegExp(`^Max ${LIMIT_NAMES[name]}\\s+${soft}\\s+${hard}\\s`, 'm').test(limits),
  );
}

function mountAt({ probe, scratch }: Observation): string {
  const lines = probe.mountinfo.split('\n');
  return lines.find((line) => line.split(' ')[4] === `${scratch}/target`) ?? '';
}

/** Whether a new root is there, and whether who may call chroot(2) can leave it. */
function newRoot({ probe }: Observation): 'closed' | 'open' | null {
  if (!probe.root.includes('inside')) return null;
  return probe.chroot === 1 && probe.escaped?.includes('inside') ? 'closed' : 'open';
}

function namespace(id: string, kind: string, title: string): Row {
  return {
    id,
    title,
    judge: ({ probe, here }) => probe.ns[kind] !== undefined && probe.ns[kind] !== here.ns[kind],
  };
}

const MENTIONS = {
  chdir: /chdir|cwd|\/missing/i,
  setuid: /setuid|set[ -]user|\buid\b|--userns/i,
};

export const SECTIONS: readonly Section[] = [
  {
    title: 'Program, descriptors, signals',
    rows: [
      {
        id: 'cwd',
        title: 'Working directory',
        judge: ({ probe, scratch }) => probe.cwd === `${scratch}/folder`,
      },
      {
        id: 'directoryDescriptor',
        title: 'Working directory by descriptor',
        judge: ({ probe, scratch }) => probe.cwd === `${scratch}/folder`,
      },
      {
        id: 'env',
        title: "Environment, and nothing else of the parent's",
        judge: ({ probe }) =>
          /(^|\0)OPTION=here\0/.test(probe.environ ?? '') && !probe.environ?.includes('SCRATCH='),
      },
      {
        id: 'argv0',
        title: 'argv[0]',
        judge: ({ probe }) => probe.cmdline.startsWith('another-name\0'),
      },
      {
        id: 'execDescriptor',
        title: 'Program by descriptor',
        judge: ({ probe }) => probe.cmdline.startsWith('by-descriptor\0'),
      },
      {
        id: 'descriptors',
        title: 'Descriptors above 2',
        judge: ({ probe }) => probe.third === 'third',
      },
      {
        id: 'closeDescriptors',
        title: 'All other descriptors closed, also those without close-on-exec',
        judge: ({ probe, scratch }) => !Object.values(probe.fds).includes(`${scratch}/leak`),
      },
      {
        id: 'signalMask',
        title: 'No signals blocked that the parent has blocked',
        setting: 'signals',
        judge: ({ probe }) => (statusSet(probe, 'SigBlk') & SIGUSR2) === 0n,
      },
      {
        id: 'ignoredSignals',
        title: 'No signals ignored that the parent ignores',
        setting: 'signals',
        judge: ({ probe }) => {
          const ignored = statusSet(probe, 'SigIgn');
          if ((ignored & SIGPIPE) !== 0n) return 'no';
          return (ignored & SIGUSR1) === 0n ? 'yes' : 'partial';
        },
      },
    ],
  },
  {
    title: 'Process attributes',
    rows: [
      { id: 'umask', title: 'umask', judge: ({ probe }) => probe.umask === 0o123 },
      {
        id: 'newGroup',
        title: 'New process group',
        judge: ({ probe }) => statField(probe, 5) === probe.pid,
      },
      {
        id: 'joinGroup',
        title: 'Joining a process group',
        judge: ({ probe, here }) => ![probe.pid, here.group].includes(statField(probe, 5)),
      },
      {
        id: 'session',
        title: 'New session',
        judge: ({ probe }) => statField(probe, 6) === probe.pid || statField(probe, 6) === 0,
      },
      {
        id: 'controllingTerminal',
        title: 'Controlling terminal',
        setting: 'terminal',
        judge: ({ probe }) => statField(probe, 6) === probe.pid && statField(probe, 7) !== 0,
      },
      {
        id: 'foreground',
        title: "Terminal's foreground group",
        setting: 'ownTerminal',
        judge: ({ probe }) => statField(probe, 8) === probe.pid,
      },
      { id: 'nice', title: 'Nice value', judge: ({ probe }) => statField(probe, 19) === 7 },
      {
        id: 'policy',
        title: 'Scheduling policy',
        judge: ({ probe }) => statField(probe, 41) === 3,
      },
      {
        id: 'affinity',
        title: 'CPU affinity',
        judge: ({ probe }) => statusLine(probe, 'Cpus_allowed_list') === '0',
      },
      {
        id: 'ioPriority',
        title: 'I/O priority',
        judge: ({ probe }) => probe.ioPriority === ((2 << 13) | 6),
      },
      {
        id: 'timerSlack',
        title: 'Timer slack',
        judge: ({ probe }) => Number(probe.timerslack_ns) === 123_456,
      },
      {
        id: 'oomScore',
        title: 'OOM score adjustment',
        judge: ({ probe }) => Number(probe.oom_score_adj) === 321,
      },
      {
        id: 'hugePages',
        title: 'No transparent huge pages',
        judge: ({ probe }) => statusLine(probe, 'THP_enabled') === '0',
      },
      {
        id: 'randomization',
        title: 'No address randomization',
        judge: ({ probe }) => (Number.parseInt(String(probe.personality), 16) & 0x40000) !== 0,
      },
      {
        id: 'limits',
        title: 'All 16 resource limits, soft and hard',
        judge: ({ probe }) => hasLimits(probe),
      },
      {
        id: 'parentDeathSignal',
        title: "Signal at the parent's death",
        judge: ({ probe }) => (probe.parentDeathSignal ?? 0) !== 0,
      },
    ],
  },
  {
    title: 'Credentials',
    rows: [
      {
        id: 'ids',
        title: 'User and group id, real, effective and saved',
        judge: ({ probe }) =>
          ['Uid', 'Gid'].every((name) => statusLine(probe, name).replaceAll('\t', ' ') === NOBODY),
      },
      {
        id: 'groups',
        title: 'Supplementary groups',
        judge: ({ probe }) => statusLine(probe, 'Groups') === '1 2',
      },
      {
        id: 'bounding',
        title: 'Capabilities: bounding set',
        judge: ({ probe }) => statusSet(probe, 'CapBnd') === KILL,
      },
      {
        id: 'ambient',
        title: 'Capabilities: ambient set',
        judge: ({ probe }) => statusSet(probe, 'CapAmb') === KILL,
      },
      {
        id: 'capabilitySets',
        title: 'Capabilities: inheritable, permitted, effective',
        judge: ({ probe }) => {
          const held = ['CapPrm', 'CapEff'].every((name) => statusSet(probe, name) === KILL);
          if (!held) return 'no';
          return statusSet(probe, 'CapInh') === KILL ? 'yes' : 'partial';
        },
      },
      { id: 'securebits', title: 'securebits', judge: ({ probe }) => probe.securebits === 1 },
      {
        id: 'noNewPrivileges',
        title: 'no_new_privs',
        judge: ({ probe }) => statusLine(probe, 'NoNewPrivs') === '1',
      },
    ],
  },
  {
    title: 'Namespaces, root, mounts',
    rows: [
      namespace('userNamespace', 'user', 'User namespace'),
      namespace('mountNamespace', 'mnt', 'Mount namespace'),
      namespace('pidNamespace', 'pid', 'PID namespace'),
      namespace('networkNamespace', 'net', 'Network namespace'),
      namespace('ipcNamespace', 'ipc', 'IPC namespace'),
      namespace('utsNamespace', 'uts', 'UTS namespace'),
      namespace('cgroupNamespace', 'cgroup', 'Cgroup namespace'),
      namespace('timeNamespace', 'time', 'Time namespace'),
      {
        id: 'joinNamespaces',
        title: 'Joining namespaces',
        judge: ({ probe, here }) =>
          ['uts', 'user'].some((kind) => probe.ns[kind] !== here.ns[kind]),
      },
      { id: 'chroot', title: 'chroot', judge: (seen) => newRoot(seen) === 'open' },
      {
        id: 'pivotRoot',
        title: 'A new root that chroot(2) does not get out of (pivot_root)',
        judge: (seen) => newRoot(seen) === 'closed',
      },
      {
        id: 'bind',
        title: 'Bind mounts, read-only',
        judge: (seen) => /^(\S+ ){5}ro\b/.test(mountAt(seen)),
      },
      { id: 'tmpfs', title: 'tmpfs', judge: (seen) => / - tmpfs /.test(mountAt(seen)) },
    ],
  },
  {
    title: 'Filters and control groups',
    rows: [
      {
        id: 'seccomp',
        title: 'seccomp filter',
        judge: ({ probe }) => statusLine(probe, 'Seccomp') === '2' && probe.made === 1,
      },
      {
        id: 'landlock',
        title: 'Landlock',
        judge: ({ probe }) => probe.secret === 13 && probe.open === 0,
      },
      {
        id: 'cgroup',
        title: 'Starting in a control group',
        setting: 'cgroup',
        judge: ({ probe, group }) => group.endsWith(/^0::(.+)$/m.exec(probe.cgroup)?.[1] ?? 'none'),
      },
      {
        id: 'cgroupLimits',
        title: 'Limits of a control group made for the process',
        setting: 'cgroupLimits',
        judge: ({ probe, group }) => {
          const path = /^0::(.+)$/m.exec(probe.cgroup)?.[1] ?? '';
          return path.includes(`/${group.split('/').at(-1)}/`);
        },
      },
    ],
  },
  {
    title: 'In the parent',
    rows: [
      {
        id: 'pidfd',
        title: 'pidfd of the child',
        judge: ({ report }) => report.pid !== undefined && report.pid === report.pidOfDescriptor,
      },
      {
        id: 'killRace',
        title: 'kill through the pidfd: never another process',
        setting: 'traced',
        judge: ({ trace }) => /pidfd_send_signal\(\d+, SIG/.test(trace),
      },
      { id: 'timeout', title: 'Timeout', judge: ({ report }) => /^SIG/.test(report.ended ?? '') },
      {
        id: 'abort',
        title: 'Abort by a signal or context',
        judge: ({ report }) => /^SIG/.test(report.ended ?? ''),
      },
      {
        id: 'outputLimit',
        title: 'Collected output, with a limit',
        judge: ({ report }) => (report.collected ?? 1e9) <= 262_144 && report.exceeded != null,
      },
      {
        id: 'usage',
        title: "The child's own resource usage",
        judge: ({ report }) => (report.maxRSS ?? 0) > 0,
      },
      {
        id: 'channel',
        title: 'Channel for messages',
        judge: ({ report }) => report.answer === 'ping',
      },
      {
        id: 'failingStep',
        title: 'Errors tell which step failed',
        setting: 'withoutSetuid',
        judge: ({ report: { chdir, exec, setuid } }) => {
          // Each must be an error, and the exec's not taken for the others.
          if (!chdir || !exec || !setuid || !MENTIONS.chdir.test(chdir)) return 'no';
          if (MENTIONS.chdir.test(exec)) return 'no';
          return MENTIONS.setuid.test(setuid) && !MENTIONS.setuid.test(exec) ? 'yes' : 'partial';
        },
      },
      {
        id: 'badInput',
        title: 'Bad input (a NUL in an argument) refused before anything is started',
        setting: 'traced',
        judge: ({ report, trace }) => Boolean(report.refused) && creation(trace) === null,
      },
      {
        id: 'noFork',
        title: 'No fork: the size of the parent does not matter',
        setting: 'traced',
        judge: ({ trace }) => {
          const call = creation(trace);
          return call !== null && (call.includes('CLONE_VM') || call.includes('vfork('));
        },
      },
    ],
  },
];

export const ROWS: readonly Row[] = SECTIONS.flatMap(({ rows }) => rows);

/** The system call that made the process that ran the probe; null if none did. */
function creation(trace: string): string | null {
  const pid = /^(\d+)\s+execve(?:at)?\(.*probe\.pl.*(?:= 0|unfinished.*)$/m.exec(trace)?.[1];
  if (pid === undefined) return null;
  // A call that others interrupted has its result on a line of its own.
  const lines = trace.split('\n');
  const end = lines.findIndex((line) =>
    new RegExp(`(clone|clone3|fork|vfork).* = ${pid}$`).test(line),
  );
  const line = lines[end];
  if (line === undefined || !line.includes('resumed')) return line ?? null;
  const caller = line.split(' ')[0];
  const start = lines
    .slice(0, end)
    .findLast((each) =>
      new RegExp(`^${caller}\\s+(clone|clone3|fork|vfork)\\(.*unfinished`).test(each),
    );
  return `${start} ${line}`;
}
