import { UnsupportedError } from '../errors.js';
import {
  AF_UNIX,
  SOCK_DGRAM,
  SOCK_TYPE_MASK,
  SYS_SOCKET,
  SYS_SOCKETPAIR,
} from '../plan/constants.js';
import type { CredentialOptions } from './credentials.js';
import { landlockInForce } from './landlock.js';
import {
  LANDLOCK_ACCESS,
  type LandlockSupport,
  landlockKernel,
  landlockSupport,
} from './landlock-abi.js';
import type { LandlockOption, LandlockPath } from './landlock-options.js';
import { hardLimit, type LimitOptions, type Limits } from './limits.js';
import type { NamespaceOptions } from './namespaces.js';
import type { ParentExitOptions } from './parent-exit.js';
import type { CheckedSandbox } from './sandbox-options.js';
import { isBelow, tree, visible } from './sandbox-root.js';
import type { SeccompOptions, SeccompPolicy, SeccompRule } from './seccomp.js';

/** What of a sandbox is in force. */
export interface SandboxInForce {
  /** Namespaces that are the sandbox's own. Empty where there are none to be had. */
  readonly namespaces: readonly string[];
  /** What hides files: a root of its own, and Landlock. */
  readonly files: readonly ('root' | 'landlock')[];
  /** The kernel's Landlock ABI; 0 if it has none. */
  readonly landlockAbi: number;
  readonly seccomp: boolean;
  /** Whether this machine's network can be used. */
  readonly net: boolean;
  /** What could not be had, each as a sentence. */
  readonly missing: readonly string[];
}

/** Options that a sandbox is made of. */
export type SandboxParts = NamespaceOptions &
  LandlockOption &
  SeccompOptions &
  CredentialOptions &
  LimitOptions &
  ParentExitOptions;

/** A sandbox, as the options that make it. */
export interface Sandbox {
  readonly parts: SandboxParts;
  /** A filter of system calls in front of that which is among the parts, or the caller's own. */
  readonly filter: SeccompPolicy | undefined;
  /** The working directory, if the caller gave none. */
  readonly directory: string | undefined;
  readonly inForce: SandboxInForce;
}

/** A sandbox with namespaces of its own: the whole of it. */
export function fullSandbox(
  checked: CheckedSandbox,
  { abi }: LandlockSupport = landlockSupport(),
): Sandbox {
  const { net, tmp, bestEffort } = checked;
  const namespaces = {
    ...{ user: true, mount: true, pid: true, ipc: true, cgroup: true },
    uts: { hostname: 'sandbox' },
    ...(net ? {} : { network: true }),
  };
  const everywhere: readonly LandlockPath[] = [
    { path: '/', access: ['read_dir'] },
    { path: '/proc', access: ['read_file', 'read_dir', 'write_file'] },
    { path: '/dev', access: 'write' },
    ...(tmp === false ? [] : [{ path: '/tmp', access: ALL } as const]),
  ];
  const isRoot = process.getuid?.() === 0;
  return {
    parts: {
      ...common(checked, [...everywhere, ...fileRules(checked)]),
      namespaces,
      ...tree(checked),
    },
    filter: abi < SCOPES ? withoutScopes(net && !bestEffort) : undefined,
    directory: visible(process.cwd(), checked) ? process.cwd() : undefined,
    inForce: {
      namespaces: Object.keys(namespaces),
      files: abi > 0 ? ['root', 'landlock'] : ['root'],
      landlockAbi: abi,
      seccomp: true,
      net,
      missing: [...(isRoot ? [UNCOUNTED] : []), ...withoutLandlock(abi, net && bestEffort)],
    },
  };
}

const UNCOUNTED = 'root is not held to the number of processes';

/** The ABI from which on Landlock has scopes. */
const SCOPES = 6;

/**
 * What Landlock's scopes deny, denied by system call, which takes more than it has to: signals to
 * the process group, in which are processes outside; and with the network, Unix sockets, since
 * those of abstract names belong to it.
 */
function withoutScopes(noUnixSockets: boolean): SeccompPolicy {
  const group = { index: 0, op: 'eq', value: 0, width: 32 } as const;
  const unix = { index: 0, op: 'eq', value: AF_UNIX, width: 32 } as const;
  return {
    default: 'allow',
    rules: [
      { syscalls: ['kill'], action: { errno: 'EPERM' }, args: [group] },
      ...(noUnixSockets
        ? [
            { syscalls: ['socket'], action: { errno: 'EAFNOSUPPORT' }, args: [unix] } as const,
            ...WAYS_TO_SOCKETS,
          ]
        : []),
    ],
  };
}

/** What only Landlock denies in a sandbox with namespaces, and the kernel's does not. */
function withoutLandlock(abi: number, unixSockets: boolean): string[] {
  const lacks: readonly [what: string, abi: number][] = [
    ['files that it is given open can be opened anew, to write to them', 1],
    ['files that it is given open can be truncated', 3],
    ['abstract sockets outside can be connected to', unixSockets ? SCOPES : 0],
  ];
  return lacks
    .filter(([, needed]) => abi < needed)
    .map(([what, needed]) => `${what}: that it is not needs Linux ${landlockKernel(needed)}`);
}

/** What is left of it where there are no namespaces. Throws where files could not be hidden. */
export function reducedSandbox(checked: CheckedSandbox, reason: string): Sandbox {
  const { net } = checked;
  const { abi } = landlockSupport();
  if (abi === 0) {
    throw new UnsupportedError(
      `a sandbox needs user namespaces (${reason}) or Landlock, and this kernel gives neither`,
      'sandbox',
    );
  }
  const shared: readonly LandlockPath[] = [
    { path: '/proc/self', access: ['read_file', 'read_dir', 'write_file'], optional: true },
    ...['null', 'zero', 'full', 'random', 'urandom', 'tty'].map(
      (name) => ({ path: `/dev/${name}`, access: DEVICE, optional: true }) as const,
    ),
  ];
  const isRoot = process.geteuid?.() === 0;
  const parts: SandboxParts = {
    ...common(checked, [...shared, ...fileRules(checked)]),
    // The other sets take a right that only root has here, and are empty for others in any case:
    // who is not root has the ambient set after an exec, and no_new_privs adds nothing.
    ...(isRoot ? {} : { capabilities: { inheritable: [], ambient: [] } }),
  };
  const { missing } = landlockInForce(parts.landlock ?? {});
  const writable = checked.read.filter((path) => isBelow(path, checked.write));
  return {
    parts,
    filter: net ? undefined : NO_SOCKETS,
    directory: undefined,
    inForce: {
      namespaces: [],
      files: ['landlock'],
      landlockAbi: abi,
      seccomp: true,
      net,
      missing: [
        `no namespaces: ${reason}`,
        'names, sizes and times of files outside can be seen',
        'modes, times and attributes of files outside can be changed, by their owner',
        'other processes can be seen, and limits and priorities of those of this user changed',
        'processes that it leaves behind outlive it',
        ...(isRoot ? [UNCOUNTED] : []),
        'System V objects and POSIX message queues are those outside',
        'of /proc there is only that of the program itself, not of those that it starts',
        'no /tmp of its own',
        ...(net ? ['sockets can be connected to by any path'] : []),
        ...writable.map((path) => `${path} can be written to, being below what can`),
        ...missing.map(({ name, kernel }) => `${name} is not denied: that needs Linux ${kernel}`),
      ],
    },
  };
}

const ALL = [...LANDLOCK_ACCESS.keys()];
const DEVICE = ['read_file', 'write_file', 'ioctl_dev', 'truncate'] as const;

/** Ways to a socket past a rule on socket(2); of pairs, datagrams can be sent anywhere. */
const WAYS_TO_SOCKETS: readonly SeccompRule[] = [
  { syscalls: ['io_uring_setup'], action: { errno: 'EACCES' } },
  {
    syscalls: ['socketpair'],
    action: { errno: 'EACCES' },
    args: [{ index: 1, op: 'maskedEq', mask: SOCK_TYPE_MASK, value: SOCK_DGRAM, width: 32 }],
  },
  // i386: the kind of a socket is in memory.
  ...[SYS_SOCKET, SYS_SOCKETPAIR].map(
    (value) =>
      ({
        syscalls: ['socketcall'],
        action: { errno: 'EACCES' },
        args: [{ index: 0, op: 'eq', value, width: 32 }],
      }) as const,
  ),
];

/**
 * No sockets but pairs that are connected: where there are no namespaces, those by path lead
 * outside too, and Landlock does not stop that.
 */
const NO_SOCKETS: SeccompPolicy = {
  default: 'allow',
  rules: [{ syscalls: ['socket'], action: { errno: 'EACCES' } }, ...WAYS_TO_SOCKETS],
};

/** More than an ordinary program has, and less than hurts. */
const PROCESSES = 1024;

/** What there is with namespaces and without. */
function common(
  { processes, memory }: CheckedSandbox,
  rules: readonly LandlockPath[],
): SandboxParts {
  const limits: Limits = {
    core: 0,
    nproc: processes ?? Math.min(PROCESSES, hardLimit('nproc')),
    ...(memory === undefined ? {} : { data: memory }),
  };
  return {
    landlock: {
      paths: rules,
      standardStreams: true,
      scopes: ['signal', 'abstract_unix_socket'],
      // What the kernel lacks of it is denied by the root directory too, or said to be missing.
      bestEffort: true,
    },
    seccomp: 'default',
    capabilities: { bounding: [], inheritable: [], permitted: [], effective: [], ambient: [] },
    noNewPrivileges: true,
    limits,
    killOnParentExit: true,
  };
}

function fileRules({ read, write, optional }: CheckedSandbox): LandlockPath[] {
  return [
    ...read.map((path) => ({ path, access: 'execute', optional }) as const),
    ...write.map((path) => ({ path, access: ALL }) as const),
  ];
}
