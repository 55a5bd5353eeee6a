import { resolve } from 'node:path';
import { invalidArgType, invalidArgValue } from '../errors.js';
import {
  validateArray,
  validateBoolean,
  validateCString,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import { sizeAboveZero, sizeInBytes } from './size.js';

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
   * does not enforce where root starts the sandbox. Default 1024, or this process's hard limit if
   * that is lower.
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

/** Where a distribution has its programs and what they need; what `read` is if it is not given. */
export const SYSTEM_PATHS: readonly string[] = [
  ...['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/opt'],
  ...['/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d', '/etc/alternatives'],
  ...['/etc/passwd', '/etc/group', '/etc/nsswitch.conf', '/etc/hosts', '/etc/resolv.conf'],
  ...['/etc/ssl', '/etc/ca-certificates', '/etc/localtime', '/etc/mime.types', '/etc/services'],
  ...['/etc/protocols', '/nix/store', '/gnu/store'],
];

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
  /** undefined: the usual, or less where less is allowed. */
  readonly processes: number | undefined;
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
  if (options.cwdFd != null) {
    const reason = 'leads out of a sandbox: options.cwd is a path in it';
    throw invalidArgValue('options.cwdFd', options.cwdFd, reason);
  }
  const { net = false, bestEffort = false, processes } = given;
  validateBoolean(net, 'options.sandbox.net');
  validateBoolean(bestEffort, 'options.sandbox.bestEffort');
  if (processes !== undefined) {
    validateInteger(processes, 'options.sandbox.processes', 1, 0x7fffffff);
  }
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
    tmp: tmp === false ? false : sizeAboveZero(tmp, 'options.sandbox.tmp'),
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
