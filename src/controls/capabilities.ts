import { readFileSync } from 'node:fs';
import { invalidArgType, invalidArgValue, UnsupportedError } from '../errors.js';
import * as kernelConstants from '../plan/constants.js';
import { validateArray } from '../validate.js';

type UpperCapability = Extract<keyof typeof kernelConstants, `CAP_${string}`>;

type WithoutPrefix<Name extends string> = Name extends `CAP_${infer Rest}` ? Rest : never;

/** A capability by its name in capabilities(7), with CAP_ or without: in capitals or in none. */
export type Capability =
  | UpperCapability
  | Lowercase<UpperCapability>
  | WithoutPrefix<UpperCapability>
  | Lowercase<WithoutPrefix<UpperCapability>>;

/** Numbers by name, in capitals. */
const NUMBERS: ReadonlyMap<string, number> = new Map(
  Object.entries<unknown>(kernelConstants).filter(
    (entry): entry is [string, number] =>
      entry[0].startsWith('CAP_') && typeof entry[1] === 'number',
  ),
);

/** The name of a capability's number, or the number. */
export function capabilityName(number: number): string {
  for (const [name, value] of NUMBERS) if (value === number) return name;
  return String(number);
}

/** The last capability that we know. */
export const LAST_KNOWN_CAPABILITY: number = kernelConstants.CAP_CHECKPOINT_RESTORE;

let lastOfKernel: number | undefined;

/** The last capability that this kernel has; where /proc does not say, the last that we know. */
export function lastCapability(): number {
  if (lastOfKernel === undefined) {
    try {
      lastOfKernel = Number.parseInt(readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1'), 10);
    } catch {
      lastOfKernel = LAST_KNOWN_CAPABILITY;
    }
  }
  return lastOfKernel;
}

/**
 * The numbers of a list of names, in order; of `all`, that word. Throws UnsupportedError for a
 * capability behind `last`, which is the kernel's last one.
 */
export function capabilityNumbers(
  value: unknown,
  name: string,
  last = lastCapability(),
): readonly number[] | 'all' {
  if (value === 'all') return 'all';
  if (typeof value === 'string') throw invalidArgValue(name, value, "must be a list or 'all'");
  validateArray(value, name);
  const numbers = new Set<number>();
  for (const [i, capability] of value.entries()) {
    const where = `${name}[${i}]`;
    if (typeof capability !== 'string') throw invalidArgType(where, 'of type string', capability);
    const upper = capability.toUpperCase();
    const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    const number = NUMBERS.get(full);
    if (number === undefined) throw invalidArgValue(where, capability, 'is not a capability');
    if (number > last) {
      throw new UnsupportedError(
        `this kernel has no ${full}: its last capability is ${capabilityName(last)}`,
        full,
      );
    }
    numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}
