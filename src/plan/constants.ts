/**
 * Constants of the kernel's interface. scripts/check-constants compares them with the kernel's
 * headers, for every architecture.
 */

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const ENOTDIR = 20;
export const EINVAL = 22;
export const ETXTBSY = 26;
export const ENOSYS = 38;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;

export const AT_FDCWD = -100;
export const AT_EMPTY_PATH = 0x1000;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CLOEXEC = 0x80000;
export const O_NONBLOCK = 0x800;
/** O_TMPFILE without O_DIRECTORY, which has another value on each architecture. Linux 3.11. */
export const __O_TMPFILE = 0o20000000;

export const SEEK_CUR = 1;

export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;
export const F_SETPIPE_SZ = 1031;
export const F_ADD_SEALS = 1033;
export const FD_CLOEXEC = 1;

export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;

/** Linux 3.17; MFD_EXEC is Linux 6.3. */
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const MFD_EXEC = 16;

export const SIG_IGN = 1;
export const SIG_BLOCK = 0;
export const SIG_SETMASK = 2;
export const SIGKILL = 9;
export const SIGCHLD = 17;
/** The highest signal number. */
export const SIGNAL_LIMIT = 64;

export const CLONE_VM = 0x100;
/** Of clone3(2) alone: too large for a word of 32 bits. Linux 5.7. */
export const CLONE_INTO_CGROUP = 0x200000000;
/** Bytes of struct clone_args with a cgroup, CLONE_ARGS_SIZE_VER2. */
export const CLONE_ARGS_SIZE = 88;
export const CLONE_PIDFD = 0x1000;
export const CLONE_VFORK = 0x4000;

/** Linux 5.4. */
export const P_PIDFD = 3;
export const WNOHANG = 1;
export const WEXITED = 4;
/** Values of si_code for SIGCHLD. */
export const CLD_EXITED = 1;
export const CLD_DUMPED = 3;

export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 1;
export const EPOLLONESHOT = 0x40000000;

/** The longest argument or environment string, with its NUL: 32 pages, of 4 KiB at the least. */
export const MAX_ARG_STRLEN = 131072;
/** What the arguments and the environment may take in any case, whatever the stack limit. */
export const ARG_MAX = 131072;
/** The default stack limit in bytes. */
export const _STK_LIM = 8 * 1024 * 1024;
export const RLIMIT_STACK = 3;

export const POLLIN = 1;
export const POLLOUT = 4;
export const PR_SET_NAME = 15;
export const TIOCSPGRP = 0x5410;
export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_CLOEXEC = 0x80000;
export const X_OK = 1;

/** Of statfs(2): the file system of control groups, version 2. */
export const CGROUP2_SUPER_MAGIC = 0x63677270;
