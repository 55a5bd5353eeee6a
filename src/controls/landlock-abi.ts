import { errnoCode, UnsupportedError } from '../errors.js';
import { binding } from '../launch/binding.js';
import { Kernel } from '../launch/kernel.js';
import * as kernelConstants from '../plan/constants.js';

/** Which Linux has which ABI of landlock(7), from ABI 1 on. */
const KERNELS = ['5.13', '5.19', '6.2', '6.7', '6.10', '6.12', '6.15'] as const;

/** The last ABI of which something is used here. */
export const LAST_LANDLOCK_ABI: number = KERNELS.length;

/** The first Linux that has an ABI. */
export function landlockKernel(abi: number): string {
  return KERNELS[Math.min(abi, KERNELS.length) - 1] ?? KERNELS[0];
}

type Names<Prefix extends string> = keyof typeof kernelConstants extends infer Name
  ? Name extends `${Prefix}${infer Rest}`
    ? Lowercase<Rest>
    : never
  : never;

/** A right on files, by its name in landlock(7): LANDLOCK_ACCESS_FS_READ_FILE is `read_file`. */
export type LandlockAccess = Names<'LANDLOCK_ACCESS_FS_'>;
/** What must not reach out of the sandbox, by its name in landlock(7). */
export type LandlockScope = Names<'LANDLOCK_SCOPE_'>;
/** What the audit log is to have of denials, by its name in landlock_restrict_self(2). */
export type LandlockLog = Names<'LANDLOCK_RESTRICT_SELF_LOG_'>;

/** One bit of a mask, by name. */
export interface LandlockBit {
  readonly bit: number;
  /** The first ABI that has it. */
  readonly abi: number;
}

function bits<Name extends string>(
  prefix: string,
  abiOf: (name: string) => number,
): ReadonlyMap<Name, LandlockBit> {
  const found = new Map<Name, LandlockBit>();
  for (const [name, bit] of Object.entries<unknown>(kernelConstants)) {
    if (!name.startsWith(prefix)) continue;
    const short = name.slice(prefix.length).toLowerCase();
    found.set(short as Name, { bit: bit as number, abi: abiOf(short) });
  }
  return found;
}

const LATER_ACCESS: Readonly<Record<string, number>> = { refer: 2, truncate: 3, ioctl_dev: 5 };

export const LANDLOCK_ACCESS = bits<LandlockAccess>(
  'LANDLOCK_ACCESS_FS_',
  (name) => LATER_ACCESS[name] ?? 1,
);
export const LANDLOCK_NETWORK = bits<Names<'LANDLOCK_ACCESS_NET_'>>(
  'LANDLOCK_ACCESS_NET_',
  () => 4,
);
export const LANDLOCK_SCOPES = bits<LandlockScope>('LANDLOCK_SCOPE_', () => 6);
export const LANDLOCK_LOG = bits<LandlockLog>('LANDLOCK_RESTRICT_SELF_LOG_', () => 7);

/** What this kernel offers of Landlock. */
export interface LandlockSupport {
  /** The ABI; 0 if there is none. */
  readonly abi: number;
  /** Why there is none. */
  readonly reason?: string;
}

let support: LandlockSupport | undefined;

let assumed: LandlockSupport | undefined;

/** What to go by where the kernel cannot be asked: for who only shows what a launch would be. */
export function assumeLandlock(otherwise: LandlockSupport): void {
  assumed = otherwise;
}

/** Asks the kernel, once. Throws UnsupportedError where the engine cannot work at all. */
export function landlockSupport(): LandlockSupport {
  if (support !== undefined) return support;
  try {
    support = askKernel(new Kernel(binding()));
  } catch (error) {
    if (assumed === undefined || !(error instanceof UnsupportedError)) throw error;
    support = assumed;
  }
  return support;
}

function askKernel(kernel: Kernel): LandlockSupport {
  const { LANDLOCK_CREATE_RULESET_VERSION, ENOSYS, EOPNOTSUPP } = kernelConstants;
  const abi = kernel.call('landlock_create_ruleset', 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi > 0) return { abi };
  if (abi === -ENOSYS) {
    return {
      abi: 0,
      reason: 'the kernel has no Landlock: it is older than Linux 5.13, or built without',
    };
  }
  if (abi === -EOPNOTSUPP) {
    return { abi: 0, reason: 'Landlock was switched off when the kernel was started' };
  }
  return { abi: 0, reason: `landlock_create_ruleset fails with ${errnoCode(-abi)}` };
}
