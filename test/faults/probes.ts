/**
 * Arguments with which a system call does nothing: it fails, or succeeds without effect. The
 * matrix counts calls with them, so that strace's `when` comes round at the call that is meant.
 * The second list gives another result than the first, for when that is the injected error.
 */
const NONE = [-1, -1, -1, -1, -1, -1] as const;
type Arguments = readonly number[];

/** An address where nothing is: page 0. */
const NOWHERE = 8;
const NO_PROCESS = 0x7ffffff0;
/** CLONE_VM, CLONE_VFORK and CLONE_PIDFD: fails once the pidfd is to be written. */
const CLONE_NOWHERE = 0x5100;

const PROBES: Readonly<Record<string, readonly [Arguments, Arguments?]>> = {
  clone: [NONE, [CLONE_NOWHERE, 0, NOWHERE, 0, 0]],
  clone3: [NONE, [NOWHERE, 64]],
  close: [[-1]],
  epoll_ctl: [
    [-1, 2, -1, 0],
    [-1, 1, -1, NOWHERE],
  ],
  epoll_pwait: [
    [-1, NOWHERE, 1, 0, 0, 8],
    [-1, NOWHERE, 1, 0, NOWHERE, 7],
  ],
  execve: [[NOWHERE, 0, 0]],
  execveat: [
    [-1, NOWHERE, 0, 0, 0],
    [-1, NOWHERE, 0, 0, -1],
  ],
  faccessat: [
    [-1, NOWHERE, -1],
    [-100, NOWHERE, 0],
  ],
  // Of standard output, which is a pipe of the fixture's own.
  fchmod: [NONE, [1, 0o600]],
  fcntl: [
    [-1, 1],
    [1, 1],
  ],
  getpgid: [[-1]],
  getppid: [[]],
  ioctl: [NONE, [1, -1]],
  kill: [
    [NO_PROCESS, 0],
    [1, -1],
  ],
  memfd_create: [
    [NOWHERE, -1],
    [NOWHERE, 0],
  ],
  openat: [
    [-100, NOWHERE, 0],
    [-100, NOWHERE, 0o20000000],
  ],
  pidfd_open: [
    [-1, 0],
    [NO_PROCESS, 0],
  ],
  pidfd_send_signal: [
    [-1, 0, 0, 0],
    [-1, 0, 0, -1],
  ],
  pipe2: [
    [NOWHERE, -1],
    [NOWHERE, 0],
  ],
  ppoll: [
    [NOWHERE, 1, NOWHERE, 0, 8],
    [0, -1, 0, 0, 8],
  ],
  prlimit64: [NONE, [NO_PROCESS, 3, 0, 0]],
  read: [
    [-1, 0, 0],
    [0, 0, 0],
  ],
  rt_sigprocmask: [NONE, [0, NOWHERE, 0, 8]],
  setsid: [[]],
  socketpair: [
    [-1, -1, -1, NOWHERE],
    [1, 1, 0, NOWHERE],
  ],
  umask: [[0o22]],
  wait4: [
    [NO_PROCESS, 0, 1, 0],
    [-1, 0, -1, 0],
  ],
  waitid: [
    [-1, -1, 0, -1, 0],
    [3, NO_PROCESS, 0, 5, 0],
  ],
  write: [
    [-1, 0, 0],
    [1, 0, 0],
  ],
};

/** The lists of arguments for a call; those it is not known for get -1 everywhere. */
export function probesOf(syscall: string): readonly Arguments[] {
  return (PROBES[syscall] ?? [NONE]).filter((list) => list !== undefined);
}
