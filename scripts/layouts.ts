// Sizes and offsets of the kernel's structs, as the sources have them, for comparison with headers.
import type { Machine } from '../src/machine/machine.js';
import { SIGSET_SIZE } from '../src/machine/structs.js';
import {
  ARCH,
  argumentOffset,
  NR,
  SECCOMP_DATA_SIZE,
  SOCK_FILTER_SIZE,
} from '../src/seccomp/filter.js';

/** What it is, what the sources say of it on a machine, and how C says it. */
export type LayoutRow = readonly [
  what: string,
  ours: (machine: Machine) => number,
  expression: string,
];

const size = (type: string): string => `sizeof(${type})`;
const offset = (type: string, member: string): string => `__builtin_offsetof(${type}, ${member})`;

/** Layouts that differ between machines: those of `machine.structs`, and the word. */
const OF_MACHINES: readonly LayoutRow[] = [
  ['epollEvent.size', ({ structs }) => structs.epollEvent.size, size('struct epoll_event')],
  [
    'epollEvent.data',
    ({ structs }) => structs.epollEvent.data,
    offset('struct epoll_event', 'data'),
  ],
  ['siginfo.size', ({ structs }) => structs.siginfo.size, size('siginfo_t')],
  ['siginfo.code', ({ structs }) => structs.siginfo.code, offset('siginfo_t', 'si_code')],
  ['siginfo.pid', ({ structs }) => structs.siginfo.pid, offset('siginfo_t', 'si_pid')],
  ['siginfo.status', ({ structs }) => structs.siginfo.status, offset('siginfo_t', 'si_status')],
  ['rusage.size', ({ structs }) => structs.rusage.size, size('struct rusage')],
  ['sigaction.size', ({ structs }) => structs.sigaction.size, size('struct kernel_sigaction')],
  ['SIGSET_SIZE', () => SIGSET_SIZE, 'sizeof(((struct kernel_sigaction *)0)->mask)'],
  ['wordSize', ({ wordSize }) => wordSize, size('void *')],
];

/** Structs that are written with numbers where they are used: in bytes, or in words. */
const inBytes = (type: string, members: Readonly<Record<string, number>>): LayoutRow[] =>
  Object.entries(members).map(([member, at]) => [
    `${type}.${member}`,
    () => at,
    member === 'size' ? size(type) : offset(type, member),
  ]);
const inWords = (type: string, members: Readonly<Record<string, number>>): LayoutRow[] =>
  inBytes(type, members).map(([what, at, expression]) => [
    what,
    (machine) => at(machine) * machine.wordSize,
    expression,
  ]);

const IN_PLACE: readonly LayoutRow[] = [
  // src/process/pump.ts, supervision.ts, src/launch/settle.ts: of the calls with times of a word.
  ...inBytes('struct pollfd', { size: 8, fd: 0, events: 4, revents: 6 }),
  ...inWords('struct __kernel_old_timespec', { size: 2, tv_sec: 0, tv_nsec: 1 }),
  // src/process/exit.ts
  ...inWords('struct rusage', {
    ...{ 'ru_utime.tv_sec': 0, 'ru_utime.tv_usec': 1, 'ru_stime.tv_sec': 2, 'ru_stime.tv_usec': 3 },
    ...{ ru_maxrss: 4, ru_minflt: 8, ru_majflt: 9, ru_inblock: 11, ru_oublock: 12 },
    ...{ ru_nvcsw: 16, ru_nivcsw: 17 },
  }),
  // src/launch/clone.ts, features.ts
  ...inBytes('struct clone_args', { flags: 0, pidfd: 8, exit_signal: 32, cgroup: 80 }),
  // src/plan/steps
  ...inBytes('struct rlimit64', { size: 16, rlim_cur: 0, rlim_max: 8 }),
  ...inBytes('struct sched_param', { size: 4 }),
  ...inBytes('struct sched_attr', { size: 56, sched_policy: 4, sched_flags: 8 }),
  ...inBytes('struct sched_attr', { sched_runtime: 24, sched_deadline: 32, sched_period: 40 }),
  ...inBytes('struct mount_attr', { size: 32, attr_set: 0 }),
  ...inBytes('struct landlock_ruleset_attr', { handled_access_fs: 0 }),
  ...inBytes('struct landlock_path_beneath_attr', { size: 12, allowed_access: 0, parent_fd: 8 }),
  ...inBytes('struct __user_cap_header_struct', { size: 8, version: 0, pid: 4 }),
  ...inBytes('struct __user_cap_data_struct', { size: 12 }),
  ...inBytes('struct __user_cap_data_struct', { effective: 0, permitted: 4, inheritable: 8 }),
  ...inWords('struct sock_fprog', { size: 2, len: 0, filter: 1 }),
  // src/seccomp
  ...inBytes('struct sock_filter', { size: SOCK_FILTER_SIZE, code: 0, jt: 2, jf: 3, k: 4 }),
  ...inBytes('struct seccomp_data', {
    ...{ size: SECCOMP_DATA_SIZE, nr: NR, arch: ARCH, args: argumentOffset(0, false) },
  }),
];

export const LAYOUTS: readonly LayoutRow[] = [...OF_MACHINES, ...IN_PLACE];
