import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { isAtLeast } from '../../../src/controls/kernel-version.js';
import type { SpawnOptions } from '../../../src/index.js';
import { noUserNamespaces } from '../isolated.js';
import { type NamespaceFile, type Report, statusField } from './report.js';

/** What options are made of: who launches, and what there is. */
export interface Surroundings {
  /** Has the probe at its path, a directory `there`, and a directory `jail` for chroot(2). */
  readonly folder: string;
  readonly probe: string;
  readonly programFd: number;
  readonly directoryFd: number;
  /** A terminal that is nobody's; null if there is none. */
  readonly terminal: number | null;
  /** A control group; null if there can be none. */
  readonly cgroup: string | null;
  readonly isRoot: boolean;
  /** CAP_SYS_RESOURCE: root in a container may lack it. */
  readonly mayRaise: boolean;
  /** Whether everything is launched into a new user namespace. */
  readonly inUserNamespace: boolean;
}

/** One option with a value that can work, and what is seen if it does. */
export interface Sample {
  readonly name: string;
  /** Null where it cannot work, or has no effect. */
  readonly options: (here: Surroundings) => SpawnOptions | null;
  readonly check: (report: Report, here: Surroundings) => void;
}

const { EPERM, ESRCH, EACCES, ENOENT } = constants.errno;
const [SCHED_BATCH, SCHED_FIFO, SCHED_DEADLINE] = [3, 1, 6];
const SCHED_RESET_ON_FORK = 0x4000_0000;
const ADDR_NO_RANDOMIZE = 0x0004_0000;
const SECBIT_NOROOT = 1;
const { SIGUSR1, SIGUSR2, SIGCHLD, SIGTERM } = constants.signals;

const asRoot =
  (options: SpawnOptions) =>
  ({ isRoot }: Surroundings): SpawnOptions | null =>
    isRoot ? options : null;
const always = (options: SpawnOptions) => (): SpawnOptions => options;

/** Bits of a mask of /proc/PID/status, from 0 on. */
function bitsOf(report: Report, name: string): number[] {
  const set = BigInt(`0x${statusField(report, name)}`);
  return Array.from({ length: 64 }, (_, i) => i).filter((bit) => set & (1n << BigInt(bit)));
}

function has(report: Report, name: string, bit: number): void {
  assert.ok(bitsOf(report, name).includes(bit), `${name}: ${statusField(report, name)}`);
}

/** The numbers of an id, or of the groups. */
function ids(report: Report, name: string): number[] {
  return (statusField(report, name) ?? '').split(/\s+/).filter(Boolean).map(Number);
}

/** Soft and hard limit. */
function limit({ files }: Report, row: string): [string?, string?] {
  const [, soft, hard] = new RegExp(`^${row} +(\\S+) +(\\S+)`, 'm').exec(files.limits ?? '') ?? [];
  return [soft, hard];
}

function ownLink(kind: NamespaceFile): string {
  return readlinkSync(`/proc/self/ns/${kind}`);
}

const namespace = (
  name: string,
  file: NamespaceFile,
  value: NonNullable<SpawnOptions['namespaces']>,
  check: (report: Report) => void = () => {},
): Sample => ({
  name,
  options: ({ isRoot, inUserNamespace }) =>
    isRoot || (inUserNamespace && file !== 'user') ? { namespaces: value } : null,
  check(report) {
    assert.match(report.namespaces[file], /^\w+:\[\d+\]$/);
    assert.notEqual(report.namespaces[file], ownLink(file));
    check(report);
  },
});

const allowedCpu = Number.parseInt(
  /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0',
  10,
);

const policy = (report: Report): number => report.words.policy as number;

/** What the probe looks at, in a root that has nothing else. */
const seen = (folder: string): NonNullable<SpawnOptions['mounts']> => [
  { type: 'bind', source: folder, target: folder },
  { type: 'bind', source: '/dev/null', target: '/dev/null', nodev: false },
  { type: 'proc' },
];

/**
 * All options, or all that can be told from each other in a report. Those of one name begin with
 * it: two of these cannot be had together.
 */
export const SAMPLES: readonly Sample[] = [
  {
    name: 'umask',
    options: always({ umask: 0o025 }),
    check: (report) => assert.equal(statusField(report, 'Umask'), '0025'),
  },
  {
    name: 'group: setsid',
    options: always({ setsid: true }),
    check: ({ words }) => assert.equal(words.session, words.pid),
  },
  {
    name: 'group: detached',
    options: always({ detached: true }),
    check: ({ words }) => assert.equal(words.session, words.pid),
  },
  {
    name: 'group: setpgid',
    options: always({ setpgid: 0 }),
    check({ words }) {
      assert.equal(words.group, words.pid);
      assert.notEqual(words.session, words.pid);
    },
  },
  {
    name: 'group: controllingTerminal',
    options: ({ terminal }) =>
      terminal === null
        ? null
        : {
            ...{ setsid: true, controllingTerminal: 3 },
            stdio: ['ignore', 'pipe', 'inherit', terminal],
          },
    check({ files, words }) {
      const fields = (files.stat ?? '').split(') ')[1]?.split(' ') ?? [];
      assert.notEqual(fields[4], '0', 'it has a terminal');
      assert.equal(Number(fields[5]), Number(fields[2]), 'it is in the foreground');
      assert.equal(words.session, words.pid);
    },
  },
  {
    name: 'cgroup',
    options: ({ cgroup }) => (cgroup === null ? null : { cgroup }),
    check({ files, namespaces }, { cgroup }) {
      const name = (cgroup as string).split('/').at(-1) as string;
      const path = /^0::(.*)$/m.exec(files.cgroup ?? '')?.[1] ?? '';
      if (namespaces.cgroup !== ownLink('cgroup')) assert.equal(path, '/');
      else assert.ok(path.endsWith(`/${name}`), path);
    },
  },
  {
    name: 'nice',
    options: ({ isRoot }) => ({ nice: isRoot ? -7 : 7 }),
    check: ({ words }, { isRoot }) => assert.equal(20 - (words.nice as number), isRoot ? -7 : 7),
  },
  {
    name: 'scheduling: batch, for itself',
    options: always({ scheduling: { policy: 'batch', resetOnFork: true } }),
    check: (report) => assert.equal(policy(report), SCHED_BATCH | SCHED_RESET_ON_FORK),
  },
  {
    name: 'scheduling: fifo',
    options: asRoot({ scheduling: { policy: 'fifo', priority: 2 } }),
    check: (report) => assert.equal(policy(report), SCHED_FIFO),
  },
  {
    name: 'scheduling: fifo, for itself',
    options: asRoot({ scheduling: { policy: 'fifo', priority: 2, resetOnFork: true } }),
    check: (report) => assert.equal(policy(report), SCHED_FIFO | SCHED_RESET_ON_FORK),
  },
  {
    name: 'scheduling: deadline',
    options: asRoot({
      scheduling: { policy: 'deadline', runtime: 1_000_000, deadline: 100_000_000 },
    }),
    check: (report) => assert.equal(policy(report), SCHED_DEADLINE),
  },
  {
    name: 'cpus',
    options: always({ cpus: [allowedCpu] }),
    check: (report) => assert.equal(statusField(report, 'Cpus_allowed_list'), String(allowedCpu)),
  },
  {
    name: 'ioPriority',
    options: always({ ioPriority: { class: 'best-effort', level: 6 } }),
    check: ({ words }) => assert.equal(words.ioPriority, (2 << 13) | 6),
  },
  {
    name: 'timerSlack',
    options: always({ timerSlack: 123_456 }),
    check: ({ words }) => assert.equal(words.timerSlack, 123_456),
  },
  {
    name: 'oomScoreAdjust',
    options: ({ mayRaise }) => ({ oomScoreAdjust: mayRaise ? -321 : 987 }),
    check: ({ files }, { mayRaise }) =>
      assert.equal(files.oom_score_adj, mayRaise ? '-321\n' : '987\n'),
  },
  {
    name: 'transparentHugePages',
    options: always({ transparentHugePages: false }),
    check: ({ words }) => assert.equal(words.hugePagesOff, 1),
  },
  {
    name: 'addressRandomization',
    options: always({ addressRandomization: false }),
    check: ({ words }) => assert.ok((words.personality as number) & ADDR_NO_RANDOMIZE),
  },
  {
    name: 'limits: lower',
    options: always({ limits: { core: 0, fsize: { soft: 65_536 }, sigpending: 9 } }),
    check(report) {
      assert.deepEqual(limit(report, 'Max core file size'), ['0', '0']);
      assert.equal(limit(report, 'Max file size')[0], '65536');
      assert.deepEqual(limit(report, 'Max pending signals'), ['9', '9']);
    },
  },
  {
    name: 'limits: nofile',
    // Less than what is open while a plan runs.
    options: always({ limits: { nofile: 1 } }),
    check: (report) => assert.deepEqual(limit(report, 'Max open files'), ['1', '1']),
  },
  {
    name: 'limits: higher',
    options: ({ mayRaise }) =>
      mayRaise ? { limits: { rtprio: { soft: 3, hard: 17 }, nofile: 1_048_570 } } : null,
    check(report) {
      assert.deepEqual(limit(report, 'Max realtime priority'), ['3', '17']);
      assert.deepEqual(limit(report, 'Max open files'), ['1048570', '1048570']);
    },
  },
  namespace('user namespace', 'user', { user: true }),
  namespace('mount namespace', 'mnt', { mount: true }),
  namespace('pid namespace', 'pid', { pid: true }, ({ words }) => assert.equal(words.pid, 2)),
  namespace('network namespace', 'net', { network: true }),
  namespace('ipc namespace', 'ipc', { ipc: true }),
  namespace('uts namespace', 'uts', { uts: { hostname: 'pair' } }, ({ hostname }) =>
    assert.equal(hostname, 'pair'),
  ),
  namespace('cgroup namespace', 'cgroup', { cgroup: true }),
  // Before Linux 6.2 it takes a namespace of pids.
  namespace('time namespace', 'time', {
    ...(isAtLeast('6.2') ? {} : { pid: true }),
    time: { monotonic: 1000 },
  }),
  {
    name: 'root: tmpfs',
    options: ({ isRoot, inUserNamespace, folder }) =>
      isRoot || inUserNamespace
        ? { root: { type: 'tmpfs', readOnly: true }, mounts: seen(folder) }
        : null,
    check: ({ files }) => assert.match(files.mountinfo ?? '', / \/ \/ ro,.* - tmpfs/),
  },
  {
    name: 'root: pivotRoot',
    options: ({ isRoot, inUserNamespace, folder }) =>
      isRoot || inUserNamespace ? { root: `${folder}/jail`, mounts: seen(folder) } : null,
    check: ({ words }) => assert.ok((words.marker as number) >= 0),
  },
  {
    name: 'root: chroot',
    options: ({ isRoot, inUserNamespace, folder }) =>
      isRoot || inUserNamespace
        ? { root: { type: 'chroot', path: `${folder}/jail` }, mounts: seen(folder) }
        : null,
    check: ({ words }) => assert.ok((words.marker as number) >= 0),
  },
  {
    name: 'mounts',
    options: (here) =>
      here.isRoot || here.inUserNamespace
        ? { mounts: [{ type: 'tmpfs', target: `${here.folder}/there`, size: 8192 }] }
        : null,
    check: ({ files }) => assert.match(files.mountinfo ?? '', /\/there .* - tmpfs/),
  },
  {
    name: 'cwd',
    options: ({ folder }) => ({ cwd: `${folder}/there` }),
    check: ({ cwd }, { folder }) => assert.equal(cwd, `${folder}/there`),
  },
  {
    name: 'cwdFd',
    options: ({ directoryFd }) => ({ cwdFd: directoryFd }),
    // It may be outside of the root, or below a mount of another namespace.
    check: ({ cwd }) => assert.match(cwd, /\/there$|^\(unreachable\)\/$/),
  },
  {
    name: 'execFd',
    options: ({ programFd }) => ({ execFd: programFd, argv0: 'by descriptor' }),
    check: ({ files }) => assert.equal(files.cmdline, 'by descriptor\0'),
  },
  {
    name: 'uid',
    options: asRoot({ uid: 1234 }),
    check: (report) => assert.deepEqual(ids(report, 'Uid'), [1234, 1234, 1234, 1234]),
  },
  {
    name: 'gid',
    options: asRoot({ gid: 4321 }),
    check: (report) => assert.deepEqual(ids(report, 'Gid'), [4321, 4321, 4321, 4321]),
  },
  {
    name: 'groups: some',
    options: asRoot({ groups: [7, 8] }),
    check: (report) => assert.deepEqual(ids(report, 'Groups'), [7, 8]),
  },
  {
    name: 'groups: none',
    // Where there are none to begin with, this shows no more than that it is possible.
    options: asRoot({ groups: [] }),
    check: (report) => assert.deepEqual(ids(report, 'Groups'), []),
  },
  {
    name: 'bounding set',
    options: ({ isRoot, inUserNamespace }) =>
      isRoot || inUserNamespace ? { capabilities: { bounding: ['chown', 'kill'] } } : null,
    check: (report) => assert.deepEqual(bitsOf(report, 'CapBnd'), [0, 5]),
  },
  {
    name: 'ambient set',
    options: ({ isRoot, inUserNamespace }) =>
      isRoot || inUserNamespace ? { capabilities: { ambient: ['chown'] } } : null,
    check(report) {
      assert.deepEqual(bitsOf(report, 'CapAmb'), [0]);
      has(report, 'CapEff', 0);
    },
  },
  {
    name: 'securebits',
    options: ({ isRoot, inUserNamespace }) =>
      isRoot || inUserNamespace ? { securebits: ['noroot'] } : null,
    check: ({ words }) => assert.equal(words.securebits, SECBIT_NOROOT),
  },
  {
    name: 'noNewPrivileges',
    options: always({ noNewPrivileges: true }),
    check: (report) => assert.equal(statusField(report, 'NoNewPrivs'), '1'),
  },
  {
    name: 'killOnParentExit',
    options: always({ killOnParentExit: 'SIGTERM' }),
    check({ words, namespaces }) {
      // Of a pid namespace it is the monitor that has it.
      if (namespaces.pid !== ownLink('pid')) return;
      // The kernel writes an int.
      assert.equal((words.parentDeathSignal as number) & 0xff, SIGTERM);
    },
  },
  {
    name: 'landlock',
    options: always({
      // Older kernels have no scopes.
      landlock: { paths: [{ path: '/', access: 'execute' }], scopes: ['signal'], bestEffort: true },
    }),
    check: ({ words }) => assert.equal(words.writing, -EACCES),
  },
  {
    name: 'seccomp: default',
    options: always({ seccomp: 'default' }),
    check(report) {
      assert.equal(statusField(report, 'Seccomp'), '2');
      assert.equal(report.words.tracing, -EPERM);
    },
  },
  {
    name: 'seccomp: a rule',
    options: always({
      seccomp: {
        default: 'allow',
        rules: [{ syscalls: ['ptrace'], action: { errno: 'ENOENT' } }],
      },
    }),
    check: ({ words }) => assert.equal(words.tracing, -ENOENT),
  },
  {
    name: 'sandbox',
    options: ({ inUserNamespace, folder }) =>
      inUserNamespace || noUserNamespaces !== false ? null : { sandbox: { write: [folder] } },
    check(report) {
      for (const kind of ['user', 'mnt', 'pid', 'net', 'cgroup'] as const) {
        assert.notEqual(report.namespaces[kind], ownLink(kind));
      }
      assert.equal(statusField(report, 'NoNewPrivs'), '1');
      assert.equal(statusField(report, 'Seccomp'), '2');
      assert.deepEqual(bitsOf(report, 'CapBnd'), []);
    },
  },
  {
    name: 'signalMask',
    options: always({ signalMask: ['SIGUSR1'] }),
    check: (report) => assert.deepEqual(bitsOf(report, 'SigBlk'), [SIGUSR1 - 1]),
  },
  {
    name: 'ignoredSignals',
    options: always({ ignoredSignals: ['SIGUSR2', 'SIGCHLD'] }),
    check(report) {
      has(report, 'SigIgn', SIGUSR2 - 1);
      has(report, 'SigIgn', SIGCHLD - 1);
    },
  },
  {
    name: 'signalDefaults',
    options: always({ signalDefaults: ['SIGTERM'] }),
    // What Node ignores stays so.
    check: (report) => has(report, 'SigIgn', constants.signals.SIGPIPE - 1),
  },
];

/** What holds for each launch, whatever its options. */
export function checkAll(report: Report, options: SpawnOptions): void {
  const terminal = options.controllingTerminal === undefined ? [] : [3];
  assert.deepEqual(report.open, [0, 1, 2, ...terminal], 'descriptors');
  if (options.seccomp === undefined && !options.sandbox) assert.equal(report.words.tracing, -ESRCH);
  if (options.signalMask === undefined) assert.deepEqual(bitsOf(report, 'SigBlk'), []);
}
