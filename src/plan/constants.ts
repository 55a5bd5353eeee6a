/**
 * Constants of the kernel's interface. scripts/check-constants compares them with the kernel's
 * headers, for every architecture.
 */

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EBADF = 9;
export const ECHILD = 10;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EEXIST = 17;
export const ENOTDIR = 20;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ETXTBSY = 26;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOTBLK = 15;
export const ENOPKG = 65;
export const EBADFD = 77;
export const ELIBBAD = 80;
export const EUSERS = 87;
export const EOPNOTSUPP = 95;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;

export const AT_FDCWD = -100;
export const AT_EMPTY_PATH = 0x1000;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_CLOEXEC = 0x80000;
export const O_NONBLOCK = 0x800;
export const O_PATH = 0x200000;
/** Linux 2.6.39. */
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
export const SIGCONT = 18;
export const SIGSTOP = 19;
/** The highest signal number. */
export const SIGNAL_LIMIT = 64;

export const CLONE_VM = 0x100;
export const CLONE_PARENT = 0x8000;
/** Of clone3(2) alone: too large for a word of 32 bits. Linux 5.7. */
export const CLONE_INTO_CGROUP = 0x200000000;
/** Bytes of struct clone_args with a cgroup, CLONE_ARGS_SIZE_VER2. */
export const CLONE_ARGS_SIZE = 88;
export const CLONE_PIDFD = 0x1000;
export const CLONE_VFORK = 0x4000;
export const CLONE_CHILD_CLEARTID = 0x200000;
export const FUTEX_WAIT = 0;
/** New namespaces: namespaces(7). CLONE_NEWTIME, Linux 5.6, is for unshare(2) and setns(2) only. */
export const CLONE_NEWTIME = 0x80;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;

/** Linux 5.4. */
export const P_PIDFD = 3;
export const P_PID = 1;
export const P_ALL = 0;
export const WNOHANG = 1;
export const WSTOPPED = 2;
export const WEXITED = 4;
export const WNOWAIT = 0x1000000;
/** Also children whose end is told by no signal. */
export const __WALL = 0x40000000;
/** Values of si_code for SIGCHLD. */
export const CLD_EXITED = 1;
export const CLD_DUMPED = 3;
export const CLD_STOPPED = 5;
/** si_code of a signal that the kernel sends of its own accord: of a terminal, say. */
export const SI_KERNEL = 0x80;

export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 1;
export const EPOLLONESHOT = 0x40000000;

/** The longest argument or environment string, with its NUL: 32 pages, of 4 KiB at the least. */
export const MAX_ARG_STRLEN = 131072;
export const PATH_MAX = 4096;
/** What the arguments and the environment may take in any case, whatever the stack limit. */
export const ARG_MAX = 131072;
/** The default stack limit in bytes. */
export const _STK_LIM = 8 * 1024 * 1024;

export const RLIMIT_CPU = 0;
export const RLIMIT_FSIZE = 1;
export const RLIMIT_DATA = 2;
export const RLIMIT_STACK = 3;
export const RLIMIT_CORE = 4;
export const RLIMIT_RSS = 5;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIMIT_LOCKS = 10;
export const RLIMIT_SIGPENDING = 11;
export const RLIMIT_MSGQUEUE = 12;
export const RLIMIT_NICE = 13;
export const RLIMIT_RTPRIO = 14;
export const RLIMIT_RTTIME = 15;

export const PRIO_PROCESS = 0;
export const PRIO_PGRP = 1;
export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;
export const SCHED_RR = 2;
export const SCHED_BATCH = 3;
export const SCHED_IDLE = 5;
export const SCHED_DEADLINE = 6;
/** Size of struct sched_attr as of Linux 3.14; later kernels take the rest for 0. */
export const SCHED_ATTR_SIZE_VER0 = 48;
export const SCHED_RESET_ON_FORK = 0x40000000;
export const SCHED_FLAG_RESET_ON_FORK = 1;
export const IOPRIO_CLASS_NONE = 0;
export const IOPRIO_CLASS_RT = 1;
export const IOPRIO_CLASS_BE = 2;
export const IOPRIO_CLASS_IDLE = 3;
export const IOPRIO_CLASS_SHIFT = 13;
export const IOPRIO_WHO_PROCESS = 1;
export const IOPRIO_WHO_PGRP = 2;

/** personality(2). */
export const ADDR_NO_RANDOMIZE = 0x0040000;
/** The lowest and the highest oom_score_adj. */
export const OOM_SCORE_ADJ_MIN = -1000;
export const OOM_SCORE_ADJ_MAX = 1000;

export const POLLIN = 1;
export const POLLHUP = 0x10;
export const POLLOUT = 4;
export const PR_SET_KEEPCAPS = 8;
export const PR_SET_PDEATHSIG = 1;
export const PR_SET_NAME = 15;
export const PR_CAPBSET_READ = 23;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_SECUREBITS = 28;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;
export const PR_SET_TIMERSLACK = 29;
/** Linux 3.15. */
export const PR_SET_THP_DISABLE = 41;
export const PR_GET_THP_DISABLE = 42;
export const TIOCSCTTY = 0x540e;
export const PR_GET_DUMPABLE = 3;
export const PR_SET_DUMPABLE = 4;
export const TIOCSPGRP = 0x5410;
export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0x80000;
/** The part of a socket's type that is not flags. */
export const SOCK_TYPE_MASK = 0xf;
export const X_OK = 1;

/** Of statfs(2): proc, and the file system of control groups, version 2. */
export const PROC_SUPER_MAGIC = 0x9fa0;
export const CGROUP2_SUPER_MAGIC = 0x63677270;

/** Classic BPF, linux/bpf_common.h and linux/filter.h. */
export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
export const BPF_RET = 0x06;
export const BPF_MISC = 0x07;
export const BPF_W = 0x00;
export const BPF_IMM = 0x00;
export const BPF_ABS = 0x20;
export const BPF_MEM = 0x60;
export const BPF_LEN = 0x80;
export const BPF_ADD = 0x00;
export const BPF_SUB = 0x10;
export const BPF_MUL = 0x20;
export const BPF_DIV = 0x30;
export const BPF_OR = 0x40;
export const BPF_AND = 0x50;
export const BPF_LSH = 0x60;
export const BPF_RSH = 0x70;
export const BPF_NEG = 0x80;
export const BPF_XOR = 0xa0;
export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JGT = 0x20;
export const BPF_JGE = 0x30;
export const BPF_JSET = 0x40;
export const BPF_K = 0x00;
export const BPF_X = 0x08;
export const BPF_A = 0x10;
export const BPF_TAX = 0x00;
export const BPF_TXA = 0x80;
/** Words of scratch memory, and the longest program in instructions. */
export const BPF_MEMWORDS = 16;
export const BPF_MAXINSNS = 4096;

/** Linux 3.17. */
export const SECCOMP_SET_MODE_FILTER = 1;
/** Linux 4.14. */
export const SECCOMP_GET_ACTION_AVAIL = 2;
export const SECCOMP_FILTER_FLAG_LOG = 2;
export const SECCOMP_RET_KILL_PROCESS = 0x80000000;
export const SECCOMP_RET_KILL_THREAD = 0;
export const SECCOMP_RET_TRAP = 0x00030000;
export const SECCOMP_RET_ERRNO = 0x00050000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc00000;
export const SECCOMP_RET_TRACE = 0x7ff00000;
export const SECCOMP_RET_LOG = 0x7ffc0000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;
export const SECCOMP_RET_ACTION_FULL = 0xffff0000;
export const SECCOMP_RET_DATA = 0x0000ffff;
/** What AUDIT_ARCH_ of a machine is made of, with the machine of its ELF files. */
export const __AUDIT_ARCH_64BIT = 0x80000000;
export const __AUDIT_ARCH_LE = 0x40000000;
/** The largest error number that a system call can return. */
export const MAX_ERRNO = 4095;

export const EAFNOSUPPORT = 97;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const NETLINK_ROUTE = 0;
export const SYS_SOCKET = 1;
export const SYS_SOCKETPAIR = 8;
export const TIOCSTI = 0x5412;
export const TIOCLINUX = 0x541c;
export const S_IFMT = 0o170000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_THREAD = 0x10000;
export const CLONE_SYSVSEM = 0x40000;
/** The layout of capget(2) and capset(2) with 64 bits a set. */
export const _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
/** capabilities(7); the last one is Linux 5.9. */
export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_KILL = 5;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_SETPCAP = 8;
export const CAP_LINUX_IMMUTABLE = 9;
export const CAP_NET_BIND_SERVICE = 10;
export const CAP_NET_BROADCAST = 11;
export const CAP_NET_ADMIN = 12;
export const CAP_NET_RAW = 13;
export const CAP_IPC_LOCK = 14;
export const CAP_IPC_OWNER = 15;
export const CAP_SYS_MODULE = 16;
export const CAP_SYS_RAWIO = 17;
export const CAP_SYS_CHROOT = 18;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_PACCT = 20;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_BOOT = 22;
export const CAP_SYS_NICE = 23;
export const CAP_SYS_RESOURCE = 24;
export const CAP_SYS_TIME = 25;
export const CAP_SYS_TTY_CONFIG = 26;
export const CAP_MKNOD = 27;
export const CAP_LEASE = 28;
export const CAP_AUDIT_WRITE = 29;
export const CAP_AUDIT_CONTROL = 30;
export const CAP_SETFCAP = 31;
export const CAP_MAC_OVERRIDE = 32;
export const CAP_MAC_ADMIN = 33;
export const CAP_SYSLOG = 34;
export const CAP_WAKE_ALARM = 35;
export const CAP_BLOCK_SUSPEND = 36;
export const CAP_AUDIT_READ = 37;
export const CAP_PERFMON = 38;
export const CAP_BPF = 39;
export const CAP_CHECKPOINT_RESTORE = 40;

/** Bits of the securebits flags: capabilities(7). */
export const SECBIT_NOROOT = 0x1;
export const SECBIT_NOROOT_LOCKED = 0x2;
export const SECBIT_NO_SETUID_FIXUP = 0x4;
export const SECBIT_NO_SETUID_FIXUP_LOCKED = 0x8;
export const SECBIT_KEEP_CAPS = 0x10;
export const SECBIT_KEEP_CAPS_LOCKED = 0x20;
export const SECBIT_NO_CAP_AMBIENT_RAISE = 0x40;
export const SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80;

/** landlock(7). */
export const LANDLOCK_CREATE_RULESET_VERSION = 1;
export const LANDLOCK_RULE_PATH_BENEATH = 1;
export const LANDLOCK_RULE_NET_PORT = 2;
export const LANDLOCK_ACCESS_FS_EXECUTE = 0x1;
export const LANDLOCK_ACCESS_FS_WRITE_FILE = 0x2;
export const LANDLOCK_ACCESS_FS_READ_FILE = 0x4;
export const LANDLOCK_ACCESS_FS_READ_DIR = 0x8;
export const LANDLOCK_ACCESS_FS_REMOVE_DIR = 0x10;
export const LANDLOCK_ACCESS_FS_REMOVE_FILE = 0x20;
export const LANDLOCK_ACCESS_FS_MAKE_CHAR = 0x40;
export const LANDLOCK_ACCESS_FS_MAKE_DIR = 0x80;
export const LANDLOCK_ACCESS_FS_MAKE_REG = 0x100;
export const LANDLOCK_ACCESS_FS_MAKE_SOCK = 0x200;
export const LANDLOCK_ACCESS_FS_MAKE_FIFO = 0x400;
export const LANDLOCK_ACCESS_FS_MAKE_BLOCK = 0x800;
export const LANDLOCK_ACCESS_FS_MAKE_SYM = 0x1000;
export const LANDLOCK_ACCESS_FS_REFER = 0x2000;
export const LANDLOCK_ACCESS_FS_TRUNCATE = 0x4000;
export const LANDLOCK_ACCESS_FS_IOCTL_DEV = 0x8000;
export const LANDLOCK_ACCESS_NET_BIND_TCP = 1;
export const LANDLOCK_ACCESS_NET_CONNECT_TCP = 2;
export const LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1;
export const LANDLOCK_SCOPE_SIGNAL = 2;
export const LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF = 1;
export const LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON = 2;
export const LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF = 4;
export const EFD_CLOEXEC = 0x80000;
export const EFD_NONBLOCK = 0x800;

/** netdevice(7). */
export const IFNAMSIZ = 16;
export const IFF_UP = 1;
export const SIOCSIFFLAGS = 0x8914;

/** mount(2), umount(2). */
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REC = 0x4000;
export const MS_PRIVATE = 0x40000;
export const MNT_DETACH = 2;
/** open_tree(2), move_mount(2), fsopen(2): Linux 5.2. */
export const OPEN_TREE_CLONE = 1;
export const AT_RECURSIVE = 0x8000;
export const MOVE_MOUNT_F_EMPTY_PATH = 4;
export const MOVE_MOUNT_T_SYMLINKS = 0x10;
export const FSOPEN_CLOEXEC = 1;
export const FSMOUNT_CLOEXEC = 1;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
/** mount_setattr(2): Linux 5.12. */
export const MOUNT_ATTR_RDONLY = 1;
export const MOUNT_ATTR_NOSUID = 2;
export const MOUNT_ATTR_NODEV = 4;
export const MOUNT_ATTR_NOEXEC = 8;
export const MOUNT_ATTR_SIZE_VER0 = 32;
