import { hasLimits } from './limits.js';
import { type Observation, statField, statusLine, statusSet } from './observation.js';
import { PARENT_SECTION } from './parent-rows.js';
import type { Row, Section } from './row.js';

const SIGPIPE = 1n << 12n;
const SIGUSR1 = 1n << 9n;
const SIGUSR2 = 1n << 11n;
const KILL = 1n << 5n;
const NOBODY = '65534 65534 65534 65534';

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
  PARENT_SECTION,
];

export const ROWS: readonly Row[] = SECTIONS.flatMap(({ rows }) => rows);
