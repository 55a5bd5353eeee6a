import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { MOUNT_ATTR_RDONLY } from '../../src/plan/constants.js';
import { ALL_SIGNALS, type Exec, NO_SIGNALS, type Step } from '../../src/plan/plan.js';
import type { Mount } from '../../src/plan/steps/mounts.js';
import type { Report } from './foreign.js';

const O_WRONLY_CREATE_TRUNCATE = 0o1101;

/**
 * Two signals that are ignored when an image starts. qemu catches those whose default action ends
 * a process, which would undo that they are ignored.
 */
const { SIGTTOU, SIGWINCH } = constants.signals;
const { SIGPIPE, SIGTERM } = constants.signals;

/** A CPU that this process may run on. */
const allowedCpu = Number.parseInt(
  /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0',
  10,
);

/** The descriptors that an image starts with in all runs: files of these names. */
export const FILES: Readonly<Record<number, string>> = {
  0: 'zero',
  1: 'one',
  2: 'two',
  3: 'three',
  4: 'four',
  5: 'five',
  7: 'seven',
};

export interface Case {
  readonly title: string;
  readonly steps: readonly Step[];
  readonly exec?: Partial<Exec>;
  readonly root?: true;
  /** As of the plan's site. */
  readonly closeRange?: false;
  /** Of namespaces, which qemu has none of: run where the kernel runs the image. */
  readonly native?: true;
  /** What must be so on every machine; that all are the same is checked in any case. */
  readonly expect: Expectation;
}

type Expectation =
  | { readonly failure: string }
  | { readonly report: (report: Report) => void }
  /** What the script writes. */
  | { readonly written: string };

const reports = (report: (report: Report) => void): Expectation => ({ report });
/** What `failureOf` makes of it: step, system call, error number, and path or descriptor. */
const fails = (failure: string): Expectation => ({ failure });

/** The names of the files behind the descriptors. */
const names = ({ descriptors }: Report): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(descriptors).map(([fd, text]) => [fd, text.split(' ')[0]]));

const map = (pairs: Readonly<Record<number, number>>): Step => ({
  type: 'descriptors',
  map: new Map(Object.entries(pairs).map(([to, from]) => [Number(to), from])),
});
const shuffled = (pairs: Readonly<Record<number, number>>): Case => ({
  title: `descriptors ${JSON.stringify(pairs)}`,
  steps: [map(pairs)],
  expect: reports((report) => {
    const expected = Object.entries(pairs).map(([to, from]) => [to, FILES[from]]);
    assert.deepEqual(names(report), Object.fromEntries(expected));
    for (const text of Object.values(report.descriptors)) {
      assert.equal(Number.parseInt(text.split(' ')[1] as string, 8) & 0o2000000, 0);
    }
  }),
});

/** A signal in the hexadecimal mask of /proc. */
const has = (mask: string | undefined, signal: number): boolean =>
  ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;

const own: Step = {
  ...{ type: 'userNamespace', writer: 'self' },
  ...{ uidMap: `0 ${process.geteuid?.()} 1\n`, gidMap: `0 ${process.getegid?.()} 1\n` },
};
const unshare = (kind: 'mount' | 'pid'): Step => ({ type: 'unshare', kind });
const readOnly = (path: string): Mount & { type: 'bind' } => ({
  ...{ type: 'bind', source: path, target: path, recursive: true },
  ...{ attributes: MOUNT_ATTR_RDONLY, optional: true, create: true },
});

/** What is run on every machine, with files in `folder` and an executable `target`. */
export function imageCases(folder: string, target: string): readonly Case[] {
  const inFolder = (name: string): string => join(folder, name);
  return [
    {
      title: 'no steps: arguments and environment get there',
      steps: [],
      expect: reports(({ argv, env, exe, status }) => {
        assert.deepEqual(argv.slice(1), ['first', '', 'third argument']);
        assert.ok(env.includes('VARIABLE=of the test'));
        assert.equal(exe, target);
        assert.ok(has(status.SigIgn, SIGTTOU) && has(status.SigIgn, SIGWINCH));
      }),
    },
    {
      title: 'setsid',
      steps: [{ type: 'setsid' }],
      expect: reports((report) => assert.ok(report.sessionLeader && report.groupLeader)),
    },
    {
      title: 'setpgid',
      steps: [{ type: 'setpgid', group: 0 }],
      expect: reports((report) => assert.ok(!report.sessionLeader && report.groupLeader)),
    },
    {
      title: 'umask',
      steps: [{ type: 'umask', mask: 0o135 }],
      expect: reports(({ status }) => assert.equal(status.Umask, '0135')),
    },
    {
      title: 'ignoredSignals',
      steps: [
        { type: 'signalDefaults', signals: ALL_SIGNALS },
        { type: 'ignoredSignals', signals: [1 << (SIGTTOU - 1), 0] },
      ],
      expect: reports(({ status }) => {
        assert.ok(has(status.SigIgn, SIGTTOU) && !has(status.SigIgn, SIGWINCH));
      }),
    },
    {
      title: 'affinity',
      steps: [{ type: 'affinity', cpus: [allowedCpu] }],
      expect: reports(({ status }) => assert.equal(status.Cpus_allowed_list, `${allowedCpu}`)),
    },
    {
      // Each would be refused, had the one before it not left the other half as it was.
      title: 'one half of a limit leaves the other as it was',
      steps: [
        { type: 'limit', resource: 'sigpending', soft: 20, hard: 30 },
        { type: 'limit', resource: 'sigpending', soft: 30, hard: null },
        { type: 'limit', resource: 'sigpending', soft: null, hard: 30 },
        { type: 'limit', resource: 'sigpending', soft: 10, hard: null },
      ],
      expect: reports(() => {}),
    },
    {
      title: 'scheduling, nice, ioPriority, timerSlack, oomScoreAdjust',
      steps: [
        { type: 'scheduler', policy: 'batch', priority: 0, resetOnFork: false },
        { type: 'nice', value: 19 },
        { type: 'ioPriority', class: 'best-effort', level: 5 },
        { type: 'timerSlack', nanoseconds: 4_000_000_000 },
        { type: 'oomScoreAdjust', value: 1000 },
      ],
      expect: reports(() => {}),
    },
    shuffled({ 0: 0, 1: 1, 2: 2 }),
    shuffled({}),
    shuffled({ 0: 1, 1: 0, 2: 2 }),
    shuffled({ 0: 2, 1: 0, 2: 1, 4: 3, 3: 4 }),
    shuffled({ 0: 7, 1: 7, 2: 5, 20: 0 }),
    shuffled({ 3: 4, 4: 5, 5: 7, 7: 3 }),
    {
      title: 'open, to a new descriptor and to one that is in use',
      steps: [
        { type: 'umask', mask: 0o027 },
        {
          type: 'open',
          fd: 9,
          path: inFolder('made'),
          flags: O_WRONLY_CREATE_TRUNCATE,
          mode: 0o777,
        },
        { type: 'open', fd: 0, path: inFolder('five') },
        { type: 'closeAllBut', fds: [0, 9] },
      ],
      expect: reports((report) => assert.deepEqual(names(report), { 0: 'five', 9: 'made' })),
    },
    {
      title: 'open of the number that comes next by chance',
      steps: [
        { type: 'closeFrom', fd: 0 },
        { type: 'open', fd: 0, path: inFolder('three') },
      ],
      expect: reports((report) => assert.deepEqual(names(report), { 0: 'three' })),
    },
    {
      title: 'dup2, to another descriptor and to itself',
      steps: [
        { type: 'dup2', from: 3, to: 1 },
        { type: 'dup2', from: 4, to: 4 },
        { type: 'closeAllBut', fds: [1, 4] },
      ],
      expect: reports((report) => assert.deepEqual(names(report), { 1: 'three', 4: 'four' })),
    },
    {
      title: 'close, of an open descriptor and of one that is not',
      steps: [
        { type: 'close', fd: 1 },
        { type: 'close', fd: 6 },
        { type: 'closeFrom', fd: 3 },
      ],
      expect: reports((report) => assert.deepEqual(names(report), { 0: 'zero', 2: 'two' })),
    },
    {
      title: 'closeFrom',
      steps: [{ type: 'closeFrom', fd: 4 }],
      expect: reports((report) =>
        assert.deepEqual(names(report), { 0: 'zero', 1: 'one', 2: 'two', 3: 'three' }),
      ),
    },
    {
      title: 'closeFrom, one by one, below the error pipe and above it',
      steps: [
        { type: 'dup2', from: 3, to: 130 },
        { type: 'closeFrom', fd: 4 },
      ],
      closeRange: false,
      expect: reports((report) =>
        assert.deepEqual(names(report), { 0: 'zero', 1: 'one', 2: 'two', 3: 'three' }),
      ),
    },
    {
      title: 'chdir',
      steps: [{ type: 'chdir', path: inFolder('directory') }],
      expect: reports(({ cwd }) => assert.equal(cwd, inFolder('directory'))),
    },
    {
      title: 'fchdir',
      steps: [
        { type: 'open', fd: 9, path: inFolder('directory') },
        { type: 'fchdir', fd: 9 },
        { type: 'closeFrom', fd: 3 },
      ],
      expect: reports(({ cwd }) => assert.equal(cwd, inFolder('directory'))),
    },
    {
      title: 'signalDefaults, all',
      steps: [{ type: 'signalDefaults', signals: ALL_SIGNALS }],
      expect: reports(({ status }) => assert.equal(BigInt(`0x${status.SigIgn}`), 0n)),
    },
    {
      title: 'signalDefaults, some',
      steps: [{ type: 'signalDefaults', signals: [1 << (SIGWINCH - 1), 0] }],
      expect: reports(({ status }) => {
        assert.ok(has(status.SigIgn, SIGTTOU) && !has(status.SigIgn, SIGWINCH));
      }),
    },
    {
      // No real-time signals: qemu moves them, because its own C library keeps some.
      title: 'signalMask',
      steps: [{ type: 'signalMask', signals: [(1 << (SIGTERM - 1)) | (1 << (SIGPIPE - 1)), 0] }],
      expect: reports(({ status }) => {
        const mask = (1n << BigInt(SIGTERM - 1)) | (1n << BigInt(SIGPIPE - 1));
        assert.equal(BigInt(`0x${status.SigBlk}`), mask);
      }),
    },
    {
      title: 'signalMask, none',
      steps: [{ type: 'signalMask', signals: NO_SIGNALS }],
      expect: reports(({ status }) => assert.equal(BigInt(`0x${status.SigBlk}`), 0n)),
    },
    {
      title: 'dropGroups, setgid, setuid',
      root: true,
      steps: [
        { type: 'dropGroups' },
        { type: 'setgid', gid: 65533 },
        { type: 'setuid', uid: 65534 },
      ],
      expect: reports(({ status }) => {
        assert.equal(status.Uid, '65534\t65534\t65534\t65534');
        assert.equal(status.Gid, '65533\t65533\t65533\t65533');
        assert.equal(status.Groups?.trim(), '');
      }),
    },
    {
      title: 'groups, capability sets, ids, securebits, no_new_privs',
      root: true,
      steps: [
        { type: 'boundingSet', keep: [5, 13, 34] },
        { type: 'keepCapabilities' },
        { type: 'setgroups', groups: [7, 3_000_000_000] },
        { type: 'setgid', gid: 65533 },
        { type: 'setuid', uid: 65534 },
        { type: 'capset', effective: 'permitted', inheritable: [5, 34] },
        { type: 'ambientSet', capabilities: [5, 34] },
        { type: 'securebits', bits: 1 },
        { type: 'capset', permitted: [5, 34], effective: [5, 34] },
        { type: 'noNewPrivileges' },
      ],
      expect: reports(({ status }) => {
        assert.equal(status.Uid, '65534\t65534\t65534\t65534');
        assert.equal(status.Gid, '65533\t65533\t65533\t65533');
        assert.equal(status.Groups?.trim(), '7 3000000000');
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
          assert.equal(BigInt(`0x${status[set]}`), 0x400000020n, set);
        }
        assert.equal(BigInt(`0x${status.CapBnd}`), 0x400002020n);
        assert.equal(status.NoNewPrivs, '1');
      }),
    },
    {
      title: 'a capability that is not there fails',
      root: true,
      steps: [
        { type: 'boundingSet', keep: [] },
        { type: 'capset', inheritable: [5] },
      ],
      expect: fails('capabilities: capset EPERM'),
    },
    {
      title: 'exec: the candidate that is there',
      steps: [],
      exec: {
        candidates: [inFolder('none'), inFolder('zero/idle'), inFolder('not-executable'), target],
      },
      expect: reports(({ exe }) => assert.equal(exe, target)),
    },
    {
      title: 'exec: a file without an interpreter line is run by the shell',
      steps: [],
      exec: { candidates: [inFolder('none'), inFolder('script')], shellFallback: true },
      expect: { written: `${inFolder('script')}\nfirst\n\nthird argument\n` },
    },
    {
      title: 'namespaces: ids, names, clocks, pids, mounts, and an empty root',
      native: true,
      steps: [
        own,
        ...(['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'time'] as const).map(
          (kind): Step => ({ type: 'unshare', kind }),
        ),
        { type: 'privateMounts' },
        { type: 'hostname', name: 'inner' },
        { type: 'domainname', name: 'domain' },
        { type: 'loopback' },
        { type: 'timeOffsets', offsets: 'boottime 7 5\n' },
        { type: 'forkIntoPidNamespace', init: true },
        {
          type: 'mounts',
          root: { type: 'tmpfs', options: { mode: '755', size: '65536' }, readOnly: true },
          mounts: [
            ...['/usr', '/bin', '/lib', '/lib64', '/none'].map(readOnly),
            readOnly(folder),
            // What is written must reach the outside.
            { ...readOnly(inFolder('directory')), attributes: 0 },
            {
              ...{ type: 'filesystem', filesystem: 'proc', target: '/proc' },
              ...{ flags: 0, options: '', create: true },
            },
            { type: 'mkdir', target: '/made/here', mode: 0o700 },
            { type: 'symlink', target: '/made/link', to: 'here' },
            { type: 'file', target: '/made/here/file', content: 'content', mode: 0o600 },
          ],
        },
        { type: 'chdir', path: '/made/link' },
      ],
      exec: { candidates: [inFolder('look-around')], shellFallback: true },
      expect: { written: '2\ninner\ncontentboottime            7         5\n' },
    },
    {
      title: 'a user namespace whose maps are written from outside',
      ...{ native: true, root: true },
      steps: [
        {
          ...{ type: 'userNamespace', writer: 'parent' },
          ...{ uidMap: '3 100003 1\n', gidMap: '4 100004 1\n', become: { uid: 3, gid: 4 } },
        },
      ],
      expect: reports(({ status }) => {
        assert.equal(status.Uid, Array(4).fill(100_003).join('\t'));
        assert.equal(status.Gid, Array(4).fill(100_004).join('\t'));
      }),
    },

    // Every step that can fail.
    {
      title: 'a map from outside fails',
      ...{ native: true, root: true },
      steps: [{ type: 'userNamespace', uidMap: '0 0 1\n', gidMap: '0 x 1\n', writer: 'parent' }],
      expect: fails('gid map: write EINVAL /proc/self/gid_map'),
    },
    {
      title: 'a bind mount fails',
      native: true,
      steps: [
        ...[own, unshare('mount'), unshare('pid'), { type: 'privateMounts' } as const],
        { type: 'forkIntoPidNamespace', init: true },
        {
          ...{ type: 'mounts', root: null },
          mounts: [{ ...readOnly(inFolder('none')), optional: false }],
        },
      ],
      expect: fails('bind: open_tree ENOENT none'),
    },
    {
      title: 'joining fails',
      native: true,
      steps: [{ type: 'joinNamespaces', fd: 3, kinds: ['mount', 'uts'] }],
      expect: fails('join namespace: setns EINVAL 3'),
    },
    {
      title: 'setsid fails in a group leader',
      steps: [{ type: 'setpgid', group: 0 }, { type: 'setsid' }],
      expect: fails('setsid: setsid EPERM'),
    },
    {
      title: 'setpgid fails',
      steps: [{ type: 'setpgid', group: 0x7ffffff0 }],
      expect: fails('setpgid: setpgid EPERM'),
    },
    {
      title: 'affinity fails',
      steps: [{ type: 'affinity', cpus: [8191] }],
      expect: fails('affinity: sched_setaffinity EINVAL'),
    },
    {
      title: 'limit fails: a hard limit was lowered before',
      steps: [
        { type: 'limit', resource: 'sigpending', soft: 20, hard: 50 },
        { type: 'hardLimit', resource: 'sigpending', hard: 30 },
        { type: 'limit', resource: 'sigpending', soft: 31, hard: null },
      ],
      expect: fails('limit sigpending: prlimit64 EINVAL'),
    },
    {
      title: 'a hard limit below the soft one is left to the limit behind it',
      steps: [
        { type: 'limit', resource: 'sigpending', soft: 20, hard: 50 },
        { type: 'hardLimit', resource: 'sigpending', hard: 10 },
        { type: 'limit', resource: 'sigpending', soft: 31, hard: null },
      ],
      expect: reports(() => {}),
    },
    {
      title: 'limit fails: a soft limit above the hard one that is kept',
      steps: [
        { type: 'limit', resource: 'sigpending', soft: 20, hard: 30 },
        { type: 'limit', resource: 'sigpending', soft: 31, hard: null },
      ],
      expect: fails('limit sigpending: prlimit64 EINVAL'),
    },
    {
      title: 'limit fails: a hard limit below the soft one that is kept',
      steps: [
        { type: 'limit', resource: 'sigpending', soft: 20, hard: 30 },
        { type: 'limit', resource: 'sigpending', soft: null, hard: 19 },
      ],
      expect: fails('limit sigpending: prlimit64 EINVAL'),
    },
    {
      title: 'controllingTerminal fails',
      steps: [{ type: 'setsid' }, { type: 'controllingTerminal', fd: 0 }],
      expect: fails('controllingTerminal: ioctl ENOTTY 0'),
    },
    {
      title: 'descriptors fail: a source is not open',
      steps: [map({ 0: 6 })],
      expect: fails('descriptors: dup3 EBADF 0'),
    },
    {
      title: 'descriptors fail: a source that must be moved is not open',
      steps: [map({ 0: 6, 9: 0 })],
      expect: fails('descriptors: fcntl EBADF 6'),
    },
    {
      title: 'open fails',
      steps: [{ type: 'open', fd: 0, path: inFolder('none') }],
      expect: fails('open: openat ENOENT none'),
    },
    {
      title: 'dup2 fails',
      steps: [{ type: 'dup2', from: 6, to: 0 }],
      expect: fails('dup2: dup3 EBADF 6'),
    },
    {
      title: 'dup2 to itself fails',
      steps: [{ type: 'dup2', from: 6, to: 6 }],
      expect: fails('dup2: fcntl EBADF 6'),
    },
    {
      title: 'chdir fails',
      steps: [{ type: 'chdir', path: inFolder('zero') }],
      expect: fails('chdir: chdir ENOTDIR zero'),
    },
    {
      title: 'fchdir fails',
      steps: [{ type: 'fchdir', fd: 3 }],
      expect: fails('fchdir: fchdir ENOTDIR 3'),
    },
    {
      title: 'tcsetpgrp fails on what is no terminal',
      steps: [{ type: 'tcsetpgrp', fd: 3 }],
      expect: fails('tcsetpgrp: ioctl ENOTTY 3'),
    },
    {
      title: 'setgid and setuid fail',
      root: true,
      steps: [
        { type: 'setuid', uid: 65534 },
        { type: 'setgid', gid: 65533 },
      ],
      expect: fails('setgid: setgid EPERM'),
    },
    {
      title: 'setuid fails',
      root: true,
      steps: [
        { type: 'setuid', uid: 65534 },
        { type: 'setuid', uid: 0 },
      ],
      expect: fails('setuid: setuid EPERM'),
    },
    {
      title: 'exec fails: nothing is there',
      steps: [],
      exec: { candidates: [inFolder('none'), inFolder('zero/idle')] },
      expect: fails('exec: execve ENOTDIR wanted'),
    },
    {
      title: 'exec fails: EACCES was seen',
      steps: [],
      exec: { candidates: [inFolder('not-executable'), inFolder('none')] },
      expect: fails('exec: execve EACCES wanted'),
    },
    {
      title: 'exec fails: no interpreter line, and no shell wanted',
      steps: [],
      exec: { candidates: [inFolder('script'), target] },
      expect: fails('exec: execve ENOEXEC wanted'),
    },
  ];
}
