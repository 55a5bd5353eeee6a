import { UnsupportedError } from '../errors.js';
import type { LandlockPathRule, LandlockStep } from '../plan/steps/landlock.js';
import type { Control } from './control.js';
import {
  LANDLOCK_ACCESS,
  LANDLOCK_LOG,
  LANDLOCK_NETWORK,
  LANDLOCK_SCOPES,
  type LandlockAccess,
  type LandlockBit,
  type LandlockLog,
  type LandlockScope,
  type LandlockSupport,
  landlockKernel,
  landlockSupport,
} from './landlock-abi.js';
import {
  ALL_ACCESS,
  type LandlockOption,
  type LandlockOptions,
  type LandlockPath,
  SHORTHANDS,
  validateLandlock,
} from './landlock-options.js';

/** What a set of options denies on a kernel. */
export interface LandlockInForce {
  /** The kernel's ABI; 0 if it has no Landlock. */
  readonly abi: number;
  /** Rights on files that are denied where no path allows them. */
  readonly handled: readonly LandlockAccess[];
  /** What is denied of TCP, but for the ports that are allowed. */
  readonly tcp: readonly ('bind' | 'connect')[];
  readonly scopes: readonly LandlockScope[];
  readonly log: readonly LandlockLog[];
  /** What was asked for and is not in force: each with the Linux that has it. */
  readonly missing: readonly { readonly name: string; readonly kernel: string }[];
}

/** The rights that a rule for something else than a directory can have. */
const FILE_ACCESS: readonly LandlockAccess[] = [
  'execute',
  'write_file',
  'read_file',
  'truncate',
  'ioctl_dev',
];

/** Everything that any kernel of ours can deny. */
export const ALL_OF_LANDLOCK: LandlockOptions = {
  paths: [],
  tcpBind: [],
  tcpConnect: [],
  scopes: [...LANDLOCK_SCOPES.keys()],
  log: [...LANDLOCK_LOG.keys()],
};

export const LANDLOCK: Control<LandlockOption> = {
  names: ['landlock'],
  prepare({ landlock }) {
    validateLandlock(landlock);
    const { step } = compile(landlock, landlockSupport());
    return {
      steps: {
        // Without privileges of its own, who is restricted must not gain any.
        restrictions: [{ type: 'noNewPrivileges' }],
        ...(step === null ? {} : { landlock: [step] }),
      },
    };
  },
};

/**
 * What `landlock` would have in force, on this kernel or another. Throws UnsupportedError where a
 * launch would.
 */
export function landlockInForce(
  options: LandlockOptions,
  support: LandlockSupport = landlockSupport(),
): LandlockInForce {
  validateLandlock(options);
  return compile(options, support).inForce;
}

/** Options that were checked, as a step: null if nothing of them is in force. */
function compile(
  options: LandlockOptions,
  { abi, reason }: LandlockSupport,
): { readonly step: LandlockStep | null; readonly inForce: LandlockInForce } {
  const { paths = [], scopes = [], log = [] } = options;
  const { tcpBind, tcpConnect } = options;
  const restricted = options.paths !== undefined || options.handled !== undefined;
  const handled = options.handled ?? (restricted ? ALL_ACCESS : []);
  const tcp: ('bind_tcp' | 'connect_tcp')[] = [];
  if (tcpBind !== undefined) tcp.push('bind_tcp');
  if (tcpConnect !== undefined) tcp.push('connect_tcp');

  const has = ({ abi: needed }: LandlockBit): boolean => needed <= abi;
  const missing: { name: string; kernel: string }[] = [];
  const select = <Name extends string>(
    names: readonly Name[],
    table: ReadonlyMap<Name, LandlockBit>,
  ): Name[] =>
    [...new Set(names)].filter((name) => {
      const entry = table.get(name) as LandlockBit;
      if (!has(entry)) missing.push({ name, kernel: landlockKernel(entry.abi) });
      return has(entry);
    });
  const inForce: LandlockInForce = {
    abi,
    handled: select(handled, LANDLOCK_ACCESS),
    tcp: select(tcp, LANDLOCK_NETWORK).map((name) => (name === 'bind_tcp' ? 'bind' : 'connect')),
    scopes: select(scopes, LANDLOCK_SCOPES),
    log: select(log, LANDLOCK_LOG),
    missing,
  };
  if (missing.length > 0 && !options.bestEffort) throw unsupported(missing, abi, reason);

  const files = maskOf(inForce.handled, LANDLOCK_ACCESS);
  const network = inForce.tcp.length === 0 ? 0 : maskOf(tcp, LANDLOCK_NETWORK);
  const scoped = maskOf(inForce.scopes, LANDLOCK_SCOPES);
  if ((files | network | scoped) === 0) return { step: null, inForce };
  const ports = (list: readonly number[] | undefined, name: 'bind_tcp' | 'connect_tcp') =>
    [...new Set(network === 0 ? [] : list)].map((port) => ({
      port,
      access: maskOf([name], LANDLOCK_NETWORK),
    }));
  const step: LandlockStep = {
    type: 'landlock',
    files,
    network,
    scopes: scoped,
    paths: paths.flatMap((rule) => pathRule(rule, files)),
    ...(options.standardStreams ? { streams: streams(files) } : {}),
    ports: [...ports(tcpBind, 'bind_tcp'), ...ports(tcpConnect, 'connect_tcp')],
    flags: maskOf(inForce.log, LANDLOCK_LOG),
  };
  return { step, inForce };
}

/** What can be done by a descriptor that is open for reading, or for writing. */
function streams(handled: number): NonNullable<LandlockStep['streams']> {
  const of = (...names: LandlockAccess[]): number => maskOf(names, LANDLOCK_ACCESS) & handled;
  return { read: of('read_file', 'ioctl_dev'), write: of('write_file', 'truncate', 'ioctl_dev') };
}

/** The rule of a path, of what is handled; nothing if this kernel has nothing of it. */
function pathRule({ path, access, optional }: LandlockPath, handled: number): LandlockPathRule[] {
  const isShort = typeof access === 'string';
  const mask = maskOf(isShort ? SHORTHANDS[access] : access, LANDLOCK_ACCESS) & handled;
  if (mask === 0) return [];
  const ofFile = mask & maskOf(FILE_ACCESS, LANDLOCK_ACCESS);
  return [
    {
      path,
      access: mask,
      ...(isShort && ofFile !== mask && ofFile !== 0 ? { fileAccess: ofFile } : {}),
      ...(optional ? { optional } : {}),
    },
  ];
}

function maskOf<Name extends string>(
  names: readonly Name[],
  table: ReadonlyMap<Name, LandlockBit>,
): number {
  return names.reduce((mask, name) => mask | (table.get(name) as LandlockBit).bit, 0);
}

function unsupported(
  missing: LandlockInForce['missing'],
  abi: number,
  reason: string | undefined,
): UnsupportedError {
  const [{ name }] = missing as [(typeof missing)[number]];
  const here = reason ?? `this kernel has Landlock ABI ${abi}, of Linux ${landlockKernel(abi)}`;
  const needs = missing.map(({ name, kernel }) => `${name} needs Linux ${kernel}`).join(', ');
  return new UnsupportedError(`${here}; ${needs}`, abi === 0 ? 'landlock' : `landlock ${name}`);
}
