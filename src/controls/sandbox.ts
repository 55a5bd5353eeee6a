import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { invalidArgType, invalidArgValue, UnsupportedError } from '../errors.js';
import {
  validateArray,
  validateBoolean,
  validateCString,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import type { CredentialOptions } from './credentials.js';
import { landlockInForce } from './landlock.js';
import { LANDLOCK_ACCESS, landlockSupport } from './landlock-abi.js';
import type { LandlockOption, LandlockPath } from './landlock-options.js';
import type { LimitOptions, Limits } from './limits.js';
import type { Mount } from './mount-options.js';
import type { NamespaceOptions } from './namespaces.js';
import type { ParentExitOptions } from './parent-exit.js';
import type { SeccompOptions } from './seccomp.js';
import { sizeInBytes } from './size.js';

/** What a sandbox lets through. Everything that is not named here is denied. */
export interface SandboxSettings {
  /**
   * Files and directories that may be read, and programs there that may be run. Relative to this
   * process's directory. Default: SYSTEM_PATHS. One that is not there is an error, but for those.
   */
  readonly read?: readonly string[] | undefined;
  /** Files and directories that may be read, changed, and run. Default: none. */
  readonly write?: readonly string[] | undefined;
  /** Whether this machine's network can be used. Default false: a loopback device of its own. */
  readonly net?: boolean | undefined;
  /** Size of an empty /tmp in memory, as a number of bytes or `64MiB`; false for none. Default `256MiB`. */
  readonly tmp?: number | string | false | undefined;
  /**
   * Processes and threads that this user may have in the sandbox: RLIMIT_NPROC, which the kernel
   * does not enforce where root starts the sandbox. Default 1024.
   */
  readonly processes?: number | undefined;
  /** Bytes of data that each process may have: RLIMIT_DATA. Default: no limit. */
  readonly memory?: number | string | undefined;
  /**
   * Where this kernel or its configuration does not give namespaces, goes without, with Landlock
   * and the system call filter alone; `child.sandbox.missing` says what that lets through.
   * Default false: then the launch fails.
   */
  readonly bestEffort?: boolean | undefined;
}

export interface SandboxOptions {
  /**
   * Runs the program in the strictest sandbox that needs no privileges: namespaces of its own
   * (user, mount, pid, ipc, uts, cgroup, and network unless `net`), a root directory with nothing but
   * what is named, Landlock, the default system call filter, no capabilities, no new privileges,
   * limits; and it ends with this process. `true` is `{}`. The environment is passed on: see `env`.
   * `child.sandbox` says what is in force. Default: none. Only with the image executor.
   */
  readonly sandbox?: boolean | SandboxSettings | undefined;
}

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

/** Where a distribution has its programs and what they need; what `read` is if it is not given. */
export const SYSTEM_PATHS: readonly string[] = [
  ...['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/opt'],
  ...['/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d', '/etc/alternatives'],
  ...['/etc/passwd', '/etc/group', '/etc/nsswitch.conf', '/etc/hosts', '/etc/resolv.conf'],
  ...['/etc/ssl', '/etc/ca-certificates', '/etc/localtime', '/etc/mime.types', '/etc/services'],
  ...['/etc/protocols', '/nix/store', '/gnu/store'],
];

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
  /** The working directory, if the caller gave none. */
  readonly directory: string | undefined;
  readonly inForce: SandboxInForce;
}

/** What a sandbox decides for itself. */
const EXCLUDED = [
  ...['namespaces', 'mounts', 'root', 'landlock', 'capabilities', 'securebits'],
  ...['noNewPrivileges', 'uid', 'gid', 'groups', 'killOnParentExit'],
] as const;

const NAMES: readonly (keyof SandboxSettings)[] = [
  ...(['read', 'write', 'net', 'tmp', 'processes', 'memory', 'bestEffort'] as const),
];

/** Settings with every value checked. */
export interface CheckedSandbox {
  readonly read: readonly string[];
  /** Whether paths to read may be missing: those of the default. */
  readonly optional: boolean;
  readonly write: readonly string[];
  readonly net: boolean;
  readonly tmp: number | false;
  readonly processes: number;
  readonly memory: number | undefined;
  readonly bestEffort: boolean;
}

/** Checks the option, and that it stands beside nothing that it decides. */
export function checkSandbox(
  options: SandboxOptions & Partial<Record<string, unknown>>,
): CheckedSandbox | null {
  const { sandbox } = options;
  if (sandbox === undefined || sandbox === null || sandbox === false) return null;
  if (sandbox !== true && typeof sandbox !== 'object') {
    throw invalidArgType('options.sandbox', 'of type boolean or object', sandbox);
  }
  const given: SandboxSettings = sandbox === true ? {} : sandbox;
  validateObject(given, 'options.sandbox');
  validateOptionNames(given, NAMES, 'options.sandbox');
  for (const name of EXCLUDED) {
    if (options[name] != null) {
      throw invalidArgValue(`options.${name}`, options[name], 'is decided by `sandbox`');
    }
  }
  const { net = false, bestEffort = false, processes = 1024 } = given;
  validateBoolean(net, 'options.sandbox.net');
  validateBoolean(bestEffort, 'options.sandbox.bestEffort');
  validateInteger(processes, 'options.sandbox.processes', 1, 0x7fffffff);
  const { tmp = '256MiB', memory } = given;
  const write = paths(given.write ?? [], 'options.sandbox.write');
  const read = paths(given.read ?? SYSTEM_PATHS, 'options.sandbox.read');
  if (write.includes('/')) {
    throw invalidArgValue('options.sandbox.write', '/', 'cannot be the root directory');
  }
  return {
    read: read.filter((path) => !write.includes(path)),
    optional: given.read === undefined,
    write,
    net,
    tmp: tmp === false ? false : sizeInBytes(tmp, 'options.sandbox.tmp'),
    processes,
    memory: memory === undefined ? undefined : sizeInBytes(memory, 'options.sandbox.memory'),
    bestEffort,
  };
}

function paths(given: unknown, name: string): string[] {
  validateArray(given, name);
  const all = given.map((path, i) => {
    validateCString(path, `${name}[${i}]`);
    if (path === '') throw invalidArgValue(`${name}[${i}]`, path, 'cannot be empty');
    return resolve(path);
  });
  // Those above come first: a mount hides what was at its place.
  return [...new Set(all)].sort((a, b) => a.length - b.length);
}

/** A sandbox with namespaces of its own: the whole of it. */
export function fullSandbox(checked: CheckedSandbox): Sandbox {
  const { net, tmp } = checked;
  const namespaces = {
    ...{ user: true, mount: true, pid: true, ipc: true, cgroup: true },
    uts: { hostname: 'sandbox' },
    ...(net ? {} : { network: true }),
  };
  const { abi } = landlockSupport();
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
    directory: visible(process.cwd(), checked) ? process.cwd() : undefined,
    inForce: {
      namespaces: Object.keys(namespaces),
      files: abi > 0 ? ['root', 'landlock'] : ['root'],
      landlockAbi: abi,
      seccomp: true,
      net,
      missing: isRoot ? ['root is not held to the number of processes'] : [],
    },
  };
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
  const parts = common(checked, [...shared, ...fileRules(checked)]);
  const { missing } = landlockInForce(parts.landlock ?? {});
  return {
    parts: net ? parts : { ...parts, seccomp: { base: 'default', rules: NO_NETWORK } },
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
        'other processes can be seen; those that it leaves behind outlive it',
        'of /proc there is only that of the program itself, not of those that it starts',
        'no /tmp of its own',
        ...missing.map(({ name, kernel }) => `${name} is not denied: that needs Linux ${kernel}`),
      ],
    },
  };
}

const ALL = [...LANDLOCK_ACCESS.keys()];
const DEVICE = ['read_file', 'write_file', 'ioctl_dev', 'truncate'] as const;

/** AF_INET, AF_INET6 and AF_NETLINK. */
const NO_NETWORK = [2, 10, 16].map(
  (family) =>
    ({
      syscalls: ['socket'],
      action: { errno: 'EACCES' },
      args: [{ index: 0, op: 'eq', value: family, width: 32 }],
    }) as const,
);

/** What there is with namespaces and without. */
function common(
  { processes, memory }: CheckedSandbox,
  rules: readonly LandlockPath[],
): SandboxParts {
  const limits: Limits = {
    core: 0,
    nproc: processes,
    ...(memory === undefined ? {} : { data: memory }),
  };
  return {
    landlock: {
      paths: rules,
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

/** The root directory, with what may be read and written in it. */
function tree({ read, write, optional, tmp }: CheckedSandbox): NamespaceOptions {
  const isWhole = read.includes('/');
  const binds = [
    ...read.filter((path) => path !== '/').map((path) => ({ path, readOnly: true })),
    ...write.map((path) => ({ path, readOnly: false })),
  ].sort((a, b) => a.path.length - b.path.length);
  const mounts: Mount[] = [];
  if (isWhole) mounts.push({ type: 'remountReadOnly', target: '/', recursive: true });
  mounts.push({ type: 'proc' }, { type: 'dev' });
  if (tmp !== false) mounts.push({ type: 'tmpfs', target: '/tmp', size: tmp, mode: 0o1777 });
  const links = isWhole ? [] : rootLinks(read);
  for (const [target, to] of links) mounts.push({ type: 'symlink', target, to });
  const linked = new Set(links.map(([target]) => target));
  for (const { path, readOnly } of binds) {
    if (linked.has(path)) continue;
    mounts.push({
      type: 'bind',
      source: path,
      target: path,
      readOnly,
      optional: optional && readOnly,
    });
  }
  return {
    mounts,
    root: isWhole ? '/' : { type: 'tmpfs', size: 1 << 20, readOnly: true },
  };
}

/** Links of the root directory that lead to what may be read: /bin, /lib64 … */
function rootLinks(read: readonly string[]): [target: string, to: string][] {
  const links: [string, string][] = [];
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']) {
    const path = `/${name}`;
    try {
      if (!lstatSync(path).isSymbolicLink()) continue;
      if (isBelow(realpathSync(path), read)) links.push([path, readlinkSync(path)]);
    } catch {
      // It is not there.
    }
  }
  return links;
}

function visible(path: string, { read, write, tmp }: CheckedSandbox): boolean {
  // These are hidden again by what is mounted there.
  const hidden = isBelow(path, ['/proc', '/dev', ...(tmp === false ? [] : ['/tmp'])]);
  const named = [...read, ...write];
  return isBelow(path, hidden ? named.filter((each) => each !== '/') : named);
}

function isBelow(path: string, folders: readonly string[]): boolean {
  for (let at = path; ; at = dirname(at)) {
    if (folders.includes(at)) return true;
    if (at === dirname(at)) return false;
  }
}
