import {
  LANDLOCK_ACCESS_FS_WRITE_FILE,
  MOUNT_ATTR_RDONLY,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
} from '../../src/plan/constants.js';
import { ALL_SIGNALS, type Exec, NO_SIGNALS, type Plan, type Step } from '../../src/plan/plan.js';

/** What sample plans work on: paths, and open descriptors of this process. */
export interface SampleFiles {
  /** A program that ends with 0. */
  readonly target: string;
  /** A script without an interpreter line, which ends with 0. */
  readonly script: string;
  /**
   * A folder without a file `missing`, and with a file `cgroup.procs`, which takes what is written
   * as that of a control group does.
   */
  readonly folder: string;
  readonly folderDescriptor: number;
  /** Descriptors to give away: of a file, and of /dev/null. */
  readonly descriptors: readonly [number, number];
  /** A descriptor of a UTS namespace. */
  readonly namespace: number;
  /** A terminal that is nobody's controlling one. */
  readonly terminal: string;
}

/**
 * Plans that succeed, so that tests can go through all of their steps. What they open must not come
 * out in its place at once, so that it is moved there: not the lowest descriptor that is free.
 */
export interface SamplePlan {
  readonly name: string;
  readonly plan: (files: SampleFiles) => Plan;
  /** Works only as root. */
  readonly root?: boolean;
}

const simple = ({ target }: SampleFiles): Exec => ({
  candidates: [target],
  file: target,
  shellFallback: false,
});

/**
 * One list for all: every kind of step occurs in it (sample-plans.test.ts), and the fault matrix
 * makes each system call of each plan fail.
 */
export const SAMPLE_PLANS: readonly SamplePlan[] = [
  {
    name: 'spawn',
    plan: (files) => {
      const [first, second] = files.descriptors;
      const steps: Step[] = [
        { type: 'signalDefaults', signals: ALL_SIGNALS },
        { type: 'setsid' },
        {
          // A swap, another copy, and holes.
          type: 'descriptors',
          map: new Map([
            [first, second],
            [second, first],
            [2, second],
          ]),
        },
        { type: 'open', fd: 1, path: '/dev/null', flags: O_RDWR },
        { type: 'statusFlags', fd: 1, flags: O_NONBLOCK },
        { type: 'chdir', path: files.folder },
        { type: 'signalMask', signals: NO_SIGNALS },
      ];
      const candidates = [`${files.folder}/missing`, files.target];
      return { steps, exec: { candidates, file: 'target', shellFallback: true } };
    },
  },
  {
    name: 'launch',
    plan: (files) => {
      const [first] = files.descriptors;
      const steps: Step[] = [
        { type: 'signalDefaults', signals: [1 << 12, 0] },
        { type: 'setpgid', group: 0 },
        { type: 'umask', mask: 0o22 },
        { type: 'dup2', from: first, to: 0 },
        { type: 'dup2', from: 0, to: 0 },
        { type: 'open', fd: 5, path: '/dev/null', flags: O_RDWR },
        { type: 'fchdir', fd: files.folderDescriptor },
        { type: 'close', fd: files.folderDescriptor },
        { type: 'closeOnExec', fds: [first] },
        { type: 'closeAllBut', fds: [0, 2, 5] },
        { type: 'closeFrom', fd: 4 },
        { type: 'signalMask', signals: [0, 1] },
      ];
      return { steps, exec: simple(files) };
    },
  },
  {
    name: 'script',
    plan: ({ script }) => ({
      steps: [{ type: 'open', fd: 5, path: '/dev/null' }],
      exec: { candidates: [script], file: script, shellFallback: true },
    }),
  },
  {
    name: 'cgroup',
    plan: (files) => ({
      steps: [{ type: 'joinCgroup', fd: files.folderDescriptor, path: files.folder }],
      exec: simple(files),
    }),
  },
  {
    name: 'terminal',
    plan: (files) => ({
      steps: [
        { type: 'setsid' },
        // Becomes the controlling terminal of the new session.
        { type: 'open', fd: 5, path: files.terminal, flags: O_RDWR },
        { type: 'tcsetpgrp', fd: 5 },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'filter',
    plan: (files) => ({
      // One instruction: return SECCOMP_RET_ALLOW.
      steps: [
        { type: 'noNewPrivileges' },
        { type: 'seccomp', filter: { program: [6, 0, 0, 0, 0, 0, 255, 127] }, log: false },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'attributes',
    plan: (files) => ({
      steps: [
        { type: 'ignoredSignals', signals: [1 << 12, 0] },
        { type: 'affinity', cpus: Array.from({ length: 1024 }, (_, cpu) => cpu) },
        { type: 'scheduler', policy: 'batch', priority: 0, resetOnFork: false },
        { type: 'nice', value: 19 },
        { type: 'ioPriority', class: 'idle', level: 0 },
        { type: 'timerSlack', nanoseconds: 100_000 },
        { type: 'oomScoreAdjust', value: 1000 },
        { type: 'parentDeathSignal', signal: 15, parent: process.pid },
        { type: 'personality', persona: 0x0040000 },
        { type: 'hardLimit', resource: 'core', hard: 1_000_000 },
        { type: 'limit', resource: 'core', soft: 0, hard: null },
        { type: 'limit', resource: 'locks', soft: 1000, hard: 1000 },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'controlling terminal',
    plan: (files) => ({
      steps: [
        { type: 'setsid' },
        { type: 'open', fd: 5, path: files.terminal, flags: O_RDWR | O_NOCTTY },
        { type: 'controllingTerminal', fd: 5 },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'deadline',
    root: true,
    plan: (files) => ({
      steps: [{ type: 'deadline', runtime: 1e6, deadline: 1e8, period: 1e8, resetOnFork: false }],
      exec: simple(files),
    }),
  },
  {
    // Only an image may do this.
    name: 'huge pages',
    plan: (files) => ({
      steps: [{ type: 'transparentHugePages', enabled: false }],
      exec: simple(files),
    }),
  },
  {
    name: 'landlock',
    plan: (files) => ({
      steps: [
        { type: 'noNewPrivileges' },
        {
          type: 'landlock',
          files: LANDLOCK_ACCESS_FS_WRITE_FILE,
          network: 0,
          scopes: 0,
          paths: [
            { path: files.folder, access: LANDLOCK_ACCESS_FS_WRITE_FILE },
            {
              path: '/dev',
              access: LANDLOCK_ACCESS_FS_WRITE_FILE,
              fileAccess: LANDLOCK_ACCESS_FS_WRITE_FILE,
            },
            {
              path: `${files.folder}/missing`,
              access: LANDLOCK_ACCESS_FS_WRITE_FILE,
              optional: true,
            },
          ],
          ports: [],
          streams: { read: 0, write: LANDLOCK_ACCESS_FS_WRITE_FILE },
          flags: 0,
        },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'namespaces',
    root: true,
    plan: (files) => ({
      steps: [
        { type: 'joinNamespaces', fd: files.namespace, kinds: ['uts'] },
        { type: 'unshare', kind: 'uts' },
        { type: 'hostname', name: 'sample' },
        { type: 'domainname', name: 'example' },
        { type: 'unshare', kind: 'network' },
        { type: 'loopback' },
        { type: 'unshare', kind: 'time' },
        { type: 'timeOffsets', offsets: 'monotonic 10 0\n' },
        { type: 'unshare', kind: 'mount' },
        { type: 'privateMounts' },
        {
          type: 'mounts',
          root: null,
          mounts: [
            {
              type: 'bind',
              source: files.folder,
              target: '/mnt',
              recursive: false,
              attributes: MOUNT_ATTR_RDONLY,
              optional: false,
              create: false,
            },
            {
              type: 'filesystem',
              filesystem: 'tmpfs',
              target: '/mnt',
              flags: 0,
              options: '',
              create: false,
            },
            { type: 'mkdir', target: '/mnt/directory', mode: 0o755 },
            { type: 'symlink', target: '/mnt/link', to: 'directory' },
            { type: 'file', target: '/mnt/file', content: 'x', mode: 0o644 },
            { type: 'remountReadOnly', target: '/mnt', recursive: false },
          ],
        },
        { type: 'endWithMonitor' },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'capabilities',
    root: true,
    plan: (files) => ({
      steps: [
        { type: 'setgroups', groups: [1] },
        { type: 'keepCapabilities' },
        { type: 'setuid', uid: 1 },
        { type: 'capset', effective: 'permitted', inheritable: 'permitted' },
        { type: 'ambientSet', capabilities: 'permitted' },
        { type: 'ambientSet', capabilities: [0] },
        { type: 'boundingSet', keep: [0] },
        { type: 'securebits', bits: 1 },
      ],
      exec: simple(files),
    }),
  },
  {
    name: 'credentials',
    root: true,
    plan: (files) => ({
      steps: [{ type: 'dropGroups' }, { type: 'setgid', gid: 1 }, { type: 'setuid', uid: 1 }],
      exec: simple(files),
    }),
  },
];
