import { invalidArgType, invalidArgValue } from '../errors.js';
import {
  validateArray,
  validateBoolean,
  validateCString,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import {
  LANDLOCK_ACCESS,
  LANDLOCK_LOG,
  LANDLOCK_SCOPES,
  type LandlockAccess,
  type LandlockBit,
  type LandlockLog,
  type LandlockScope,
} from './landlock-abi.js';

/** A sandbox by landlock(7): what is named here is denied, but for what the rules allow. */
export interface LandlockOptions {
  /**
   * What may be done beneath which paths. With this, or `handled`, everything else is denied: []
   * denies all. Default: files are as free as without Landlock.
   */
  paths?: readonly LandlockPath[] | undefined;
  /**
   * Whether files that are the standard streams may be opened by name, as /dev/stderr and
   * /proc/self/fd/0, for what they are open for: a terminal, a log. Default false: only where a path
   * allows it.
   */
  standardStreams?: boolean | undefined;
  /** The rights on files that are denied where no path allows them. Default: all that there are. */
  handled?: readonly LandlockAccess[] | undefined;
  /**
   * TCP ports to which sockets may be bound, 0 to 65535; all others are denied. 0 is a port of the
   * kernel's choice. Default: any. Linux 6.7.
   */
  tcpBind?: readonly number[] | undefined;
  /** TCP ports to which sockets may be connected; all others are denied. Default: any. Linux 6.7. */
  tcpConnect?: readonly number[] | undefined;
  /**
   * `signal`: no signals to processes outside of the sandbox. `abstract_unix_socket`: no
   * connections to abstract sockets that were made outside. Default: none. Linux 6.12.
   */
  scopes?: readonly LandlockScope[] | undefined;
  /** What is different about the audit log; see landlock_restrict_self(2). Linux 6.15. */
  log?: readonly LandlockLog[] | undefined;
  /**
   * Leaves out what this kernel lacks. landlockInForce() says what is left. Default false: then it
   * is an UnsupportedError.
   */
  bestEffort?: boolean | undefined;
}

export interface LandlockPath {
  /** In the child's root, and if it is relative, in its working directory. */
  readonly path: string;
  /**
   * What is allowed there and beneath. A list has exactly these rights, and those that only
   * directories have need one. `read`: reading files and directories. `execute`: that, and
   * executing files. `write`: `read`, and every change.
   */
  readonly access: LandlockShorthand | readonly LandlockAccess[];
  /** Leaves the rule out if the path does not exist. Default false: then the launch fails. */
  readonly optional?: boolean | undefined;
}

export type LandlockShorthand = 'read' | 'write' | 'execute';

export interface LandlockOption {
  /** Restricts files, TCP and signals, without privileges; sets no_new_privs too. Linux 5.13. */
  landlock?: LandlockOptions | undefined;
}

/** All rights on files. */
export const ALL_ACCESS = [...LANDLOCK_ACCESS.keys()];
const READ: readonly LandlockAccess[] = ['read_file', 'read_dir'];
/** What the short names stand for. */
export const SHORTHANDS: Readonly<Record<LandlockShorthand, readonly LandlockAccess[]>> = {
  read: READ,
  execute: [...READ, 'execute'],
  write: ALL_ACCESS.filter((name) => name !== 'execute'),
};
const NAMES: readonly (keyof LandlockOptions)[] = [
  'paths',
  'standardStreams',
  'handled',
  'tcpBind',
  'tcpConnect',
  'scopes',
  'log',
  'bestEffort',
];

export function validateLandlock(options: unknown): asserts options is LandlockOptions {
  const name = 'options.landlock';
  validateObject(options, name);
  validateOptionNames(options, NAMES);
  const { paths, handled, tcpBind, tcpConnect, scopes, log, ...booleans } =
    options as LandlockOptions;
  for (const field of ['bestEffort', 'standardStreams'] as const) {
    if (booleans[field] !== undefined) validateBoolean(booleans[field], `${name}.${field}`);
  }
  if (handled !== undefined) validateNames(handled, `${name}.handled`, LANDLOCK_ACCESS);
  if (scopes !== undefined) validateNames(scopes, `${name}.scopes`, LANDLOCK_SCOPES);
  if (log !== undefined) validateNames(log, `${name}.log`, LANDLOCK_LOG);
  for (const [field, ports] of Object.entries({ tcpBind, tcpConnect })) {
    if (ports === undefined) continue;
    validateArray(ports, `${name}.${field}`);
    for (const [i, port] of ports.entries()) {
      validateInteger(port, `${name}.${field}[${i}]`, 0, 65_535);
    }
  }
  if (paths !== undefined) {
    validateArray(paths, `${name}.paths`);
    for (const [i, path] of paths.entries()) validatePath(path, `${name}.paths[${i}]`, handled);
  }
  if (
    [handled ?? paths, tcpBind, tcpConnect].every((each) => each === undefined) &&
    !scopes?.length
  ) {
    throw invalidArgValue(name, options, 'restricts nothing');
  }
}

function validatePath(
  value: unknown,
  name: string,
  handled: readonly LandlockAccess[] = ALL_ACCESS,
): void {
  validateObject(value, name);
  validateOptionNames(value, ['path', 'access', 'optional']);
  const { path, access, optional } = value as Partial<LandlockPath>;
  validateCString(path, `${name}.path`);
  if (path === '') throw invalidArgValue(`${name}.path`, path, 'cannot be empty');
  if (optional !== undefined) validateBoolean(optional, `${name}.optional`);
  const where = `${name}.access`;
  if (typeof access === 'string') {
    const known = Object.keys(SHORTHANDS);
    if (!known.includes(access)) {
      throw invalidArgValue(
        where,
        access,
        `must be one of: ${known.join(', ')}, or a list of rights`,
      );
    }
    if (!SHORTHANDS[access].some((right) => handled.includes(right))) {
      throw invalidArgValue(where, access, 'has nothing that is handled, and so no effect');
    }
    return;
  }
  validateNames(access, where, LANDLOCK_ACCESS);
  const idle = access.find((right) => !handled.includes(right));
  if (idle !== undefined) throw invalidArgValue(where, idle, 'is not handled, and so not denied');
}

function validateNames<Name extends string>(
  value: unknown,
  name: string,
  table: ReadonlyMap<Name, LandlockBit>,
): asserts value is readonly Name[] {
  validateArray(value, name);
  if (value.length === 0) throw invalidArgValue(name, value, 'cannot be empty');
  for (const [i, each] of value.entries()) {
    const where = `${name}[${i}]`;
    if (typeof each !== 'string') throw invalidArgType(where, 'of type string', each);
    if (!table.has(each as Name)) {
      throw invalidArgValue(where, each, `must be one of: ${[...table.keys()].join(', ')}`);
    }
  }
}
