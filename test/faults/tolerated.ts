import type { Cell, Site } from './cells.js';

/** Calls that are not made to fail, and why. */
interface Exclusion {
  readonly where: (site: Site, errno: string) => boolean;
  readonly why: string;
}

const EXCLUDED: readonly Exclusion[] = [
  {
    where: ({ syscall, by }) => syscall === 'close' && by !== 'child',
    why: 'not tried: the descriptor is closed whatever close(2) says',
  },
  {
    where: ({ syscall, handled, by }) =>
      syscall === 'rt_sigprocmask' && handled === false && by !== 'child',
    why: 'not tried: the same arguments have just been accepted',
  },
  {
    where: ({ syscall }, errno) => syscall === 'epoll_create1' && errno === 'EINVAL',
    why: 'not tried: its one flag is as old as the call',
  },
  {
    // Node would go on with streams that have no descriptor, and these report ENOTCONN.
    where: ({ by }, errno) =>
      by === 'process/stdio: statusFlags' && ['EACCES', 'EAGAIN'].includes(errno),
    why: 'not tried: F_GETFL of fcntl(2) gives EBADF and nothing else',
  },
  {
    // launch/sharing.test.ts has it.
    where: ({ step, executor, operation }, errno) =>
      step === 'clone' && executor !== 'direct' && operation.endsWith('()') && errno === 'EINVAL',
    why: 'not tried: after it the thread makes its launches with other calls, for good',
  },
];

export function reasonToExclude({ site, errno }: Cell): string | undefined {
  return EXCLUDED.find(({ where }) => where(site, errno))?.why;
}

/** Errors after which a launch succeeds all the same: what makes the call, which, and how. */
export interface Tolerance {
  /** Who makes the call, or the step. */
  readonly at: string;
  readonly syscall: string;
  /** Default: all. */
  readonly errnos?: readonly string[];
  readonly executor?: Site['executor'];
  readonly how: string;
  /** What the target may end with. Default 0. */
  readonly exit?: readonly (number | null)[];
}

const forbidden = ['EACCES', 'EPERM', 'ENOSYS', 'ENOEXEC'];

const TOLERATED: readonly Tolerance[] = [
  {
    at: 'memfd_create',
    syscall: 'memfd_create',
    errnos: forbidden,
    how: 'takes the image from a file',
  },
  {
    at: 'start helper',
    syscall: 'execveat',
    errnos: forbidden,
    how: 'takes the image from another file',
  },
  { at: 'start helper', syscall: 'execveat', errnos: ['ETXTBSY'], how: 'makes the image anew' },
  {
    at: 'launch/image-file: open',
    syscall: 'openat',
    how: 'takes a file with a name, or elsewhere',
  },
  { at: 'launch/image-file: openUnnamed', syscall: 'fchmod', how: 'leaves it as the mask has it' },
  {
    at: 'launch/image-file: writeImageFile',
    syscall: 'write',
    how: 'writes again, or elsewhere',
  },
  { at: 'clone', syscall: 'clone', errnos: ['EINVAL'], how: 'clones without CLONE_PIDFD' },
  {
    at: 'exec',
    syscall: 'execve',
    errnos: ['EACCES', 'ENOENT', 'ENOTDIR'],
    how: 'tries the next candidate',
  },
  { at: 'exec', syscall: 'execve', errnos: ['ENOEXEC'], how: 'has /bin/sh run it', exit: [0, 2] },
  {
    at: 'process/launch: descriptorFlags',
    syscall: 'fcntl',
    errnos: ['EBADF'],
    how: 'takes it for closed',
  },
  { at: 'landlock', syscall: 'landlock_add_rule', how: 'asks again, as for a file' },
  { at: 'landlock', syscall: 'writev', how: 'takes the stream for closed' },
  { at: 'landlock', syscall: 'openat', how: 'opens again what may be missing' },
  { at: 'mkdir', syscall: 'mkdirat', how: 'makes it again, if it is not there' },
  // The working directory by its name once more, after mounts.
  { at: 'child', syscall: 'chdir', how: 'goes on in /' },
  { at: 'pthread_create', syscall: 'clone3', errnos: ['ENOSYS'], how: 'libc takes clone' },
  { at: 'process/stdio: enlarge', syscall: 'fcntl', how: 'keeps the size that pipes have' },
  { at: 'process/supervision: awaitOutcome', syscall: 'ppoll', how: 'waits in the event loop' },
  { at: 'process/supervision: #onOutcome', syscall: 'read', how: 'reads it later' },
  { at: 'process/watcher: #deliver', syscall: 'epoll_pwait', how: 'is woken again' },
  { at: 'process/watcher: #rearm', syscall: 'epoll_ctl', how: 'tries again later' },
  {
    at: 'process/exit: reap',
    syscall: 'waitid',
    errnos: ['ECHILD'],
    how: 'says that it is lost',
    exit: [null],
  },
  { at: 'process/exit: reap', syscall: 'waitid', how: 'reaps it later' },
  { at: 'process/pump: Pump', syscall: 'fcntl', how: 'keeps the size and mode that pipes have' },
  {
    at: 'process/pump: #poll',
    syscall: 'ppoll',
    errnos: ['EINTR', 'EAGAIN', 'ENOMEM'],
    how: 'polls again',
  },
  { at: 'process/pump: #read', syscall: 'read', errnos: ['EAGAIN', 'EINTR'], how: 'reads again' },
  {
    at: 'process/pump: #write',
    syscall: 'write',
    how: 'writes again, or the child reads no input',
  },
];

/** How a launch gets over an error; undefined if it must not. */
export function toleranceOf({ site, errno }: Cell): Tolerance | undefined {
  return TOLERATED.find(
    ({ at, syscall, errnos, executor }) =>
      (at === site.step || (at === site.by && !(at === 'child' && site.step !== null))) &&
      syscall === site.syscall &&
      (errnos ?? [errno]).includes(errno) &&
      (executor ?? site.executor) === site.executor,
  );
}

/** Calls whose errors were not dealt with, or not reported as what they are, once. */
const ONCE_FAULTS: readonly (readonly [at: string, syscall: string, errno: string])[] = [
  ['launch program', 'read', 'EIO'],
  ['clone', 'clone', 'EUSERS'],
  ['clone', 'clone', 'EMFILE'],
  ['process/launch: currentMask', 'rt_sigprocmask', 'EFAULT'],
  ['process/launch: descriptorFlags', 'fcntl', 'EPERM'],
  ['process/stdio: statusFlags', 'fcntl', 'EPERM'],
  ['process/watcher: #rearm', 'epoll_ctl', 'ENOMEM'],
  ['start waiter', 'epoll_create1', 'EMFILE'],
  ['join waiter', 'epoll_ctl', 'ENOSPC'],
  ['pthread_create', 'clone3', 'EPERM'],
];

export function wasFault({ site, errno }: Cell): boolean {
  return ONCE_FAULTS.some(
    ([at, syscall, error]) =>
      (at === site.by || at === site.step) && syscall === site.syscall && error === errno,
  );
}
