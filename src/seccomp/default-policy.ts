import {
  __O_TMPFILE,
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_UNIX,
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  CLONE_PARENT,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
  EAFNOSUPPORT,
  ENOSYS,
  EPERM,
  IOPRIO_WHO_PGRP,
  NETLINK_ROUTE,
  O_CREAT,
  PRIO_PGRP,
  S_IFBLK,
  S_IFCHR,
  S_IFMT,
  S_ISGID,
  S_ISUID,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SYS_SOCKET,
  TIOCLINUX,
  TIOCSTI,
} from '../plan/constants.js';
import { ALL_BITS, type Condition, halves, type Rule } from './policy.js';

/*
 * The default policy, for code that is not trusted. It is a list of what is allowed: what programs
 * of all kinds need. A call that it does not know, say of a newer kernel, is answered as by a
 * kernel that does not have it (ENOSYS), so that libraries use what was there before; one that is
 * refused for what it does, as by a kernel that does not permit it (EPERM). Nothing is killed but
 * code of another architecture.
 */

const errno = (number: number): number => SECCOMP_RET_ERRNO | number;

/** What happens to calls that are not listed. */
export const DEFAULT_ACTION = errno(ENOSYS);

const all = (action: number, names: string): Rule => ({
  ...{ syscalls: names.trim().split(/\s+/), action, conditions: [], optional: true },
});
const when = (action: number, names: string, ...conditions: Condition[]): Rule => ({
  ...all(action, names),
  conditions,
});
/** An argument of which the kernel looks at 32 bits: so must a filter. */
const int = (index: number, value: number): Condition => ({
  ...{ index, op: 'eq', width: 32, value: halves(BigInt(value)), mask: ALL_BITS },
});
const masked = (index: number, mask: bigint, value = 0): Condition => ({
  ...{ index, op: 'maskedEq', width: 64, value: halves(BigInt(value)), mask: halves(mask) },
});

const NEW_NAMESPACES =
  CLONE_NEWNS |
  CLONE_NEWCGROUP |
  CLONE_NEWUTS |
  CLONE_NEWIPC |
  CLONE_NEWUSER |
  CLONE_NEWPID |
  CLONE_NEWNET;
/** Of unshare(2), those that make no namespace. */
const UNSHARED = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;

/** Flags of open(2) with which its mode counts. */
const CREATES = BigInt(O_CREAT | __O_TMPFILE);
const SET_IDS = BigInt(S_ISUID | S_ISGID);

const FILES = `
  read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek
  close close_range name_to_handle_at memfd_create memfd_secret
  stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx oldstat oldlstat oldfstat
  statfs statfs64 fstatfs fstatfs64 access faccessat faccessat2 cachestat
  chown chown32 fchown fchown32 lchown lchown32 fchownat
  truncate truncate64 ftruncate ftruncate64 fallocate rename renameat renameat2
  link linkat symlink symlinkat unlink unlinkat readlink readlinkat mkdir mkdirat rmdir
  getdents getdents64 readdir getcwd chdir fchdir umask utime utimes utimensat utimensat_time64
  futimesat fsync fdatasync sync syncfs sync_file_range arm_sync_file_range sync_file_range2
  fadvise64 fadvise64_64 arm_fadvise64_64 readahead copy_file_range sendfile sendfile64
  splice tee vmsplice flock fcntl fcntl64 dup dup2 dup3 pipe pipe2
  getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
  listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
  file_getattr file_setattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch`;

const PROCESSES = `
  fork vfork execve execveat exit exit_group wait4 waitpid waitid
  kill tkill tgkill pidfd_open pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo
  getpid getppid gettid getpgid getpgrp setpgid getsid setsid
  getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32
  getresuid getresuid32 getresgid getresgid32 getgroups getgroups32
  setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
  setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32
  setgroups setgroups32 capget capset prctl arch_prctl seccomp
  landlock_create_ruleset landlock_add_rule landlock_restrict_self
  getrlimit ugetrlimit setrlimit prlimit64 getrusage times
  nice getpriority ioprio_get getcpu
  sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam
  sched_getscheduler sched_setscheduler sched_getattr sched_setattr sched_get_priority_max
  sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64
  lsm_get_self_attr lsm_list_modules`;

const MEMORY = `
  brk mmap mmap2 munmap mremap mprotect madvise msync mincore mlock mlock2 munlock mlockall
  munlockall remap_file_pages pkey_alloc pkey_free pkey_mprotect membarrier mseal map_shadow_stack
  shmget shmat shmdt shmctl`;

const THREADS = `
  futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue
  set_robust_list get_robust_list set_tid_address set_thread_area get_thread_area rseq
  breakpoint cacheflush set_tls get_tls usr26 usr32 riscv_flush_icache riscv_hwprobe`;

const SIGNALS_AND_TIME = `
  rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  rt_sigreturn sigreturn sigaction sigprocmask sigpending sigsuspend sigaltstack signal
  sgetmask ssetmask pause restart_syscall signalfd signalfd4
  time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64
  nanosleep clock_nanosleep clock_nanosleep_time64 alarm getitimer setitimer
  timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
  timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
  timerfd_settime64`;

const WAITING = `
  poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64
  epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
  io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64`;

const COMMUNICATION = `
  bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown
  send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64
  ipc semget semop semctl semtimedop semtimedop_time64 msgget msgsnd msgrcv msgctl
  mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive
  mq_timedreceive_time64`;

const INFORMATION = 'uname olduname oldolduname sysinfo getrandom';

/** Refused for what it does, rather than unknown. */
const REFUSED = `
  init_module finit_module delete_module create_module kexec_load kexec_file_load reboot
  bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
  add_key request_key keyctl
  mount umount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig
  fsmount fspick mount_setattr setns
  ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp
  open_by_handle_at fanotify_init fanotify_mark
  settimeofday stime clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex
  swapon swapoff acct quotactl quotactl_fd syslog sethostname setdomainname vhangup
  mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages
  iopl ioperm modify_ldt vm86 vm86old pciconfig_read pciconfig_write pciconfig_iobase`;

/** The first that matches decides. */
export const DEFAULT_RULES: readonly Rule[] = [
  // Children of one's parent would be zombies there that nobody expects.
  when(SECCOMP_RET_ALLOW, 'clone', masked(0, BigInt(NEW_NAMESPACES | CLONE_PARENT))),
  all(errno(EPERM), 'clone'),
  // Its flags are in memory, out of a filter's sight; libc falls back on clone.
  all(errno(ENOSYS), 'clone3'),
  when(SECCOMP_RET_ALLOW, 'unshare', masked(0, BigInt.asUintN(64, ~BigInt(UNSHARED)))),
  all(errno(EPERM), 'unshare'),

  ...[AF_UNIX, AF_INET, AF_INET6].map((family) =>
    when(SECCOMP_RET_ALLOW, 'socket', int(0, family)),
  ),
  when(SECCOMP_RET_ALLOW, 'socket', int(0, AF_NETLINK), int(2, NETLINK_ROUTE)),
  when(SECCOMP_RET_ALLOW, 'socketpair', int(0, AF_UNIX)),
  all(errno(EAFNOSUPPORT), 'socket socketpair'),
  // i386: the family of a new socket is in memory.
  when(errno(EAFNOSUPPORT), 'socketcall', int(0, SYS_SOCKET)),
  all(SECCOMP_RET_ALLOW, 'socketcall'),

  // Both type into a terminal, on behalf of whoever reads from it.
  when(errno(EPERM), 'ioctl', int(1, TIOCSTI)),
  when(errno(EPERM), 'ioctl', int(1, TIOCLINUX)),
  all(SECCOMP_RET_ALLOW, 'ioctl'),

  // The question which one is set, and the usual one.
  when(SECCOMP_RET_ALLOW, 'personality', int(0, 0xffffffff)),
  when(SECCOMP_RET_ALLOW, 'personality', int(0, 0)),
  all(errno(EPERM), 'personality'),

  // A process group may have members outside of a pid namespace: who started it is one of them.
  when(errno(EPERM), 'setpriority', int(0, PRIO_PGRP)),
  when(errno(EPERM), 'ioprio_set', int(0, IOPRIO_WHO_PGRP)),
  all(SECCOMP_RET_ALLOW, 'setpriority ioprio_set'),

  // Set-user-ID and set-group-ID programs: who is outside could have this user's rights by them.
  when(SECCOMP_RET_ALLOW, 'open', masked(1, CREATES)),
  when(SECCOMP_RET_ALLOW, 'open', masked(2, SET_IDS)),
  when(SECCOMP_RET_ALLOW, 'openat', masked(2, CREATES)),
  when(SECCOMP_RET_ALLOW, 'openat', masked(3, SET_IDS)),
  when(SECCOMP_RET_ALLOW, 'creat chmod fchmod', masked(1, SET_IDS)),
  when(SECCOMP_RET_ALLOW, 'fchmodat fchmodat2', masked(2, SET_IDS)),
  all(errno(EPERM), 'open openat creat chmod fchmod fchmodat fchmodat2'),
  // Its mode is in memory; there is openat.
  all(errno(ENOSYS), 'openat2'),

  // Devices.
  ...[S_IFCHR, S_IFBLK].flatMap((type) => [
    when(errno(EPERM), 'mknod', masked(1, BigInt(S_IFMT), type)),
    when(errno(EPERM), 'mknodat', masked(2, BigInt(S_IFMT), type)),
  ]),
  when(SECCOMP_RET_ALLOW, 'mknod', masked(1, SET_IDS)),
  when(SECCOMP_RET_ALLOW, 'mknodat', masked(2, SET_IDS)),
  all(errno(EPERM), 'mknod mknodat'),

  ...[FILES, PROCESSES, MEMORY, THREADS, SIGNALS_AND_TIME, WAITING, COMMUNICATION, INFORMATION].map(
    (names) => all(SECCOMP_RET_ALLOW, names),
  ),
  all(errno(EPERM), REFUSED),
];
