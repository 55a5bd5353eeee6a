import * as kernelConstants from '../plan/constants.js';
import type { Operand } from './instruction.js';
import {
  flagsText,
  named,
  sigactionText,
  signalSetText,
  signalText,
  stringText,
  wordsText,
} from './value-text.js';

/**
 * How the arguments of system calls are written in listings: by the names of the kernel's
 * constants. What a table here does not know is written as a number.
 */

/** One kind of argument. */
export interface ArgumentKind {
  /** Writes a number, or gives null: then it is written as any other. */
  readonly number?: (value: number, args: readonly Operand[]) => string | null;
  /** Writes what the address points to, from there to the end of the data, or gives null. */
  readonly data?: (data: DataView, wordSize: 4 | 8, args: readonly Operand[]) => string | null;
  /** The kernel writes there, so that what it held at first says nothing. */
  readonly out?: boolean;
  /** How many bytes it writes; default: a word. */
  readonly size?: number;
}

/** Exactly one of the names. */
function choice(names: ReadonlyMap<number, string>): ArgumentKind {
  return { number: (value) => names.get(value) ?? null };
}

/** Any number of them. */
function flags(names: ReadonlyMap<number, string>): ArgumentKind {
  return { number: (value) => flagsText(value, names) };
}

/** Those flags of open(2) that have the same value on every machine here. */
const OPEN_FLAGS = new Map([
  [0o1, 'O_WRONLY'],
  [0o2, 'O_RDWR'],
  [0o100, 'O_CREAT'],
  [0o200, 'O_EXCL'],
  [0o400, 'O_NOCTTY'],
  [0o1000, 'O_TRUNC'],
  [0o2000, 'O_APPEND'],
  [0o4000, 'O_NONBLOCK'],
  [0o2000000, 'O_CLOEXEC'],
  [0o10000000, 'O_PATH'],
]);

/** struct sock_fprog: the length of a filter, then its address. */
const filterProgram: ArgumentKind = {
  data: (data) => (data.byteLength < 2 ? null : `{len=${data.getUint16(0, true)}}`),
};
const plain: ArgumentKind = {};
const out: ArgumentKind = { out: true };
const path: ArgumentKind = { data: stringText };
const octal: ArgumentKind = { number: (value) => `0${value.toString(8)}` };
const signal: ArgumentKind = { number: (value) => (value === 0 ? '0' : `SIG${signalText(value)}`) };
const signalSet: ArgumentKind = { data: signalSetText };
const sigaction: ArgumentKind = { data: sigactionText };
const openFlags: ArgumentKind = {
  number: (value) => ((value & 3) === 0 ? openFlagsText(value) : flagsText(value, OPEN_FLAGS)),
};
const directory: ArgumentKind = {
  number: (value) => (value === kernelConstants.AT_FDCWD ? 'AT_FDCWD' : null),
};
const epollEvents = named('EPOLL', /^EPOLL_/);
const event: ArgumentKind = {
  data: (data) =>
    data.byteLength < 4 ? null : `{${flagsText(data.getUint32(0, true) | 0, epollEvents)}}`,
};
const lastDescriptor: ArgumentKind = {
  number: (value) => (value === 0xffffffff || value === -1 ? '~0' : null),
};
const cloneNames = named('CLONE_');
const cloneFlags: ArgumentKind = {
  // The lowest byte is the signal that tells of the child's end.
  number: (value) => {
    const names = flagsText(value & ~0xff, cloneNames, '');
    const signalName = (value & 0xff) === 0 ? '' : `SIG${signalText(value & 0xff)}`;
    return [names, signalName].filter((text) => text !== '').join('|') || '0';
  },
};
const namespaceFlags = flags(named('CLONE_NEW'));
const mountFlags = flags(named('MS_'));
const moveFlags = flags(named('MOVE_MOUNT_'));
const attributeNames = named('MOUNT_ATTR_', /SIZE/);
const mountAttributes: ArgumentKind = {
  data: (data) =>
    data.byteLength < 8 ? null : `{${flagsText(data.getUint32(0, true), attributeNames)}}`,
};
const treeFlags = flags(
  new Map([
    ...named('OPEN_TREE_'),
    ...named('AT_', /FDCWD/),
    [kernelConstants.O_CLOEXEC, 'O_CLOEXEC'],
  ]),
);
const sealNames = named('F_SEAL_');
const fcntlArgument: ArgumentKind = {
  number: (value, [, command]) => {
    if (command === kernelConstants.F_SETFD) return value === 1 ? 'FD_CLOEXEC' : null;
    if (command === kernelConstants.F_SETFL) return flagsText(value, OPEN_FLAGS);
    return command === kernelConstants.F_ADD_SEALS ? flagsText(value, sealNames) : null;
  },
};
/** `[0 2]`, of as many bytes as the argument before says. */
const cpuSet: ArgumentKind = {
  data: (data, _, [, size]) => {
    if (typeof size !== 'number' || size > data.byteLength) return null;
    const cpus = Array.from({ length: size * 8 }, (_, i) => i);
    return `[${cpus.filter((cpu) => (data.getUint8(cpu >> 3) >> (cpu & 7)) & 1).join(' ')}]`;
  },
};
/** struct rlimit64: `{1024, ~0}`; all bits are no limit. */
const limits: ArgumentKind = {
  data: (data) => (data.byteLength < 16 ? null : wordsText(data, 0, 2)),
};
const schedulingParameter: ArgumentKind = {
  data: (data) => (data.byteLength < 4 ? null : `{${data.getUint32(0, true)}}`),
};
const policies = named('SCHED_', /FLAG|ATTR|RESET/);
const policy: ArgumentKind = {
  number: (value) => {
    const reset = kernelConstants.SCHED_RESET_ON_FORK;
    const name = policies.get(value & ~reset) ?? null;
    return name !== null && value & reset ? `${name}|SCHED_RESET_ON_FORK` : name;
  },
};
/** struct sched_attr: policy, flags, and runtime, deadline and period. */
const schedulingAttributes: ArgumentKind = {
  data: (data) => {
    if (data.byteLength < kernelConstants.SCHED_ATTR_SIZE_VER0) return null;
    const name = policies.get(data.getUint32(4, true));
    return `{${name}, ${data.getUint32(8, true)}, ${wordsText(data, 24, 3).slice(1)}`;
  },
};
const ioClasses = named('IOPRIO_CLASS_', /SHIFT/);
const ioPriority: ArgumentKind = {
  number: (value) => {
    const shift = kernelConstants.IOPRIO_CLASS_SHIFT;
    const name = ioClasses.get(value >> shift);
    return name === undefined ? null : `${name}<<${shift}|${value & ((1 << shift) - 1)}`;
  },
};
const atFlags = flags(named('AT_', /FDCWD/));
const epollFlags = flags(named('EPOLL_CLOEXEC'));
const waitFlags = flags(new Map([...named('W'), [kernelConstants.__WALL, '__WALL']]));
/** siginfo_t. */
const siginfo: ArgumentKind = { out: true, size: 128 };

const capabilities = named('CAP_');
const ambientActions = named('PR_CAP_AMBIENT_');
const securebits = named('SECBIT_');
const prctlArgument: ArgumentKind = {
  number: (value, [option]) => {
    if (option === kernelConstants.PR_CAP_AMBIENT) return ambientActions.get(value) ?? null;
    if (option === kernelConstants.PR_SET_SECUREBITS) return flagsText(value, securebits);
    const isBounding =
      option === kernelConstants.PR_CAPBSET_READ || option === kernelConstants.PR_CAPBSET_DROP;
    return isBounding ? (capabilities.get(value) ?? null) : null;
  },
};
const ambientCapability: ArgumentKind = {
  number: (value, [option, action]) =>
    option === kernelConstants.PR_CAP_AMBIENT && action === kernelConstants.PR_CAP_AMBIENT_RAISE
      ? (capabilities.get(value) ?? null)
      : null,
};
/** `{effective=CAP_KILL, ...}`; two structs of three fields, for 32 capabilities each. */
const capabilitySets: ArgumentKind = {
  data: (data) => {
    if (data.byteLength < 24) return null;
    const text = ['effective', 'permitted', 'inheritable'].map((set, i) => {
      const names = [...capabilities].filter(
        ([n]) => (data.getUint32((n < 32 ? 0 : 12) + i * 4, true) >>> (n & 31)) & 1,
      );
      const all = names.length === capabilities.size ? 'all' : undefined;
      return `${set}=${all ?? (names.map(([, name]) => name).join('|') || '0')}`;
    });
    return `{${text.join(', ')}}`;
  },
};
const capabilityHeader: ArgumentKind = {
  data: (data) => {
    const version = data.getUint32(0, true);
    const { _LINUX_CAPABILITY_VERSION_3 } = kernelConstants;
    return version === _LINUX_CAPABILITY_VERSION_3 ? '{_LINUX_CAPABILITY_VERSION_3}' : null;
  },
};
const groups: ArgumentKind = {
  data: (data, _, [count]) => {
    if (typeof count !== 'number' || data.byteLength < count * 4) return null;
    return `[${Array.from({ length: count }, (_, i) => data.getUint32(i * 4, true)).join(', ')}]`;
  },
};
const landlockFiles = named('LANDLOCK_ACCESS_FS_');
const landlockNetwork = named('LANDLOCK_ACCESS_NET_');
const rulesetAttr: ArgumentKind = {
  data: (data, _, [, size]) => {
    if (typeof size !== 'number' || data.byteLength < size) return null;
    const fields = [
      ['handled_access_fs', landlockFiles],
      ['handled_access_net', landlockNetwork],
      ['scoped', named('LANDLOCK_SCOPE_')],
    ] as const;
    const text = fields
      .slice(0, size / 8)
      .map(([field, names], i) => `${field}=${flagsText(data.getUint32(i * 8, true), names)}`);
    return `{${text.join(', ')}}`;
  },
};
const ruleAttr: ArgumentKind = {
  data: (data, _, [, type]) => {
    if (data.byteLength < 16) return null;
    const access = data.getUint32(0, true);
    return type === kernelConstants.LANDLOCK_RULE_NET_PORT
      ? `{${flagsText(access, landlockNetwork)}, port=${data.getUint32(8, true)}}`
      : `{${flagsText(access, landlockFiles)}}`;
  },
};
function openFlagsText(value: number): string {
  return flagsText(value, OPEN_FLAGS, '') === ''
    ? 'O_RDONLY'
    : `O_RDONLY|${flagsText(value, OPEN_FLAGS)}`;
}

/** Kinds of the arguments, by system call. */
export const SYSCALL_ARGUMENTS: Readonly<Record<string, readonly ArgumentKind[]>> = {
  capget: [capabilityHeader, { out: true, size: 24 }],
  capset: [capabilityHeader, capabilitySets],
  chdir: [path],
  chroot: [path],
  clone: [cloneFlags, plain, out, out],
  close_range: [plain, lastDescriptor],
  dup3: [plain, plain, flags(OPEN_FLAGS)],
  epoll_create1: [epollFlags],
  epoll_ctl: [plain, choice(named('EPOLL_CTL_')), plain, event],
  epoll_pwait: [plain, out, plain, plain, signalSet],
  execve: [path],
  execveat: [directory, path, plain, plain, atFlags],
  faccessat: [directory, path, flags(named('X_OK'))],
  eventfd2: [plain, flags(named('EFD_'))],
  fcntl: [plain, choice(named('F_', /^F_SEAL_/)), fcntlArgument],
  ioprio_set: [choice(named('IOPRIO_WHO_')), plain, ioPriority],
  fsconfig: [plain, choice(named('FSCONFIG_')), path, path],
  fsmount: [plain, flags(named('FSMOUNT_')), flags(attributeNames)],
  fsopen: [path, flags(named('FSOPEN_'))],
  ioctl: [plain, choice(new Map([...named('TIOC'), ...named('SIOC')]))],
  kill: [plain, signal],
  landlock_add_rule: [plain, choice(named('LANDLOCK_RULE_')), ruleAttr],
  landlock_create_ruleset: [rulesetAttr],
  landlock_restrict_self: [plain, flags(named('LANDLOCK_RESTRICT_SELF_'))],
  memfd_create: [path, flags(named('MFD_'))],
  mkdirat: [directory, path, octal],
  mount: [path, path, path, mountFlags, path],
  mount_setattr: [directory, path, atFlags, mountAttributes],
  move_mount: [plain, path, directory, path, moveFlags],
  open_tree: [directory, path, treeFlags],
  openat: [directory, path, openFlags, octal],
  personality: [flags(named('ADDR_'))],
  pivot_root: [path, path],
  pidfd_send_signal: [plain, signal],
  pipe2: [out, flags(OPEN_FLAGS)],
  prctl: [choice(named('PR_', /^PR_CAP_AMBIENT_/)), prctlArgument, ambientCapability],
  prlimit64: [plain, choice(named('RLIMIT_')), limits, out],
  read: [plain, out],
  seccomp: [choice(named('SECCOMP_SET_')), flags(named('SECCOMP_FILTER_FLAG_')), filterProgram],
  rt_sigaction: [signal, sigaction, out],
  rt_sigprocmask: [choice(named('SIG_', /IGN|DFL/)), signalSet, out],
  setgroups: [plain, groups],
  sched_setaffinity: [plain, plain, cpuSet],
  sched_setattr: [plain, schedulingAttributes],
  sched_setscheduler: [plain, policy, schedulingParameter],
  setpriority: [choice(named('PRIO_'))],
  rt_sigtimedwait: [signalSet, siginfo],
  sethostname: [path],
  setdomainname: [path],
  setns: [plain, namespaceFlags],
  symlinkat: [path, directory, path],
  umask: [octal],
  umount2: [path, flags(named('MNT_'))],
  unshare: [namespaceFlags],
  waitid: [choice(named('P_')), plain, siginfo, waitFlags, out],
};
