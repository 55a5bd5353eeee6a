import { invalidArgValue } from '../errors.js';
import * as kernelConstants from '../plan/constants.js';
import type { CredentialStep } from '../plan/steps/credentials.js';
import {
  validateArray,
  validateBoolean,
  validateInteger,
  validateObject,
  validateOptionNames,
  validateString,
} from '../validate.js';
import { type Capability, capabilityName, capabilityNumbers } from './capabilities.js';
import type { Control } from './control.js';

/** Who the new process is, and what it may do: credentials(7), capabilities(7). */
export interface CredentialOptions {
  /**
   * User id: real, effective and saved, by setuid(2) and setresuid(2). Default: this process's.
   * Unless `groups` says otherwise, `uid` or `gid` also drop the supplementary groups, where this
   * process may do that. Only with the image executor, like all but `noNewPrivileges`.
   */
  uid?: number | undefined;
  /** Group id: real, effective and saved, by setgid(2) and setresgid(2). Default: this process's. */
  gid?: number | undefined;
  /** The supplementary groups, by id; [] for none: setgroups(2). Default: see `uid`. */
  groups?: readonly number[] | undefined;
  /** Capability sets. Default: what exec makes of this process's. */
  capabilities?: CapabilityOptions | undefined;
  /**
   * All securebits flags that are to be set: PR_SET_SECUREBITS of prctl(2). Needs CAP_SETPCAP.
   * Default: this process's.
   */
  securebits?: readonly Securebit[] | undefined;
  /**
   * Nothing that the process executes gives it more privileges, whatever its set-user-ID bit or
   * file capabilities: PR_SET_NO_NEW_PRIVS of prctl(2). Default false: as in this process.
   */
  noNewPrivileges?: boolean | undefined;
}

/**
 * Capability sets at the exec of the program. A list is the whole set; `all` is all that this
 * process has; a set that is missing stays as it is, as far as the others allow. What the program
 * has then is for exec to say: for a user other than root it is the ambient set; for root, unless
 * securebits has `noroot`, the bounding and the inheritable set. See capabilities(7).
 */
export interface CapabilityOptions {
  /** What the process and all it starts can ever have: the others are dropped. Needs CAP_SETPCAP. */
  bounding?: CapabilitySet | undefined;
  /** What file capabilities may give. Default: with `ambient` the same as that. */
  inheritable?: CapabilitySet | undefined;
  /** Must be what the program has after the exec. Default with another `uid`: the ambient set. */
  permitted?: CapabilitySet | undefined;
  /** The same. Default: with `permitted` the same as that. */
  effective?: CapabilitySet | undefined;
  /** What a program has that is executed without privileges of its own. Linux 4.3. */
  ambient?: CapabilitySet | undefined;
}

export type CapabilitySet = 'all' | readonly Capability[];

const SETS = ['bounding', 'inheritable', 'permitted', 'effective', 'ambient'] as const;

/** What is given of each set. */
type Sets = { readonly [Name in (typeof SETS)[number]]?: readonly number[] | 'all' };

/** A flag by its name in capabilities(7) without SECBIT_, in lower case. */
export type Securebit = Exclude<
  Lowercase<WithoutPrefix<keyof typeof kernelConstants>>,
  'keep_caps'
>;

type WithoutPrefix<Name extends string> = Name extends `SECBIT_${infer Rest}` ? Rest : never;

const SECUREBITS: ReadonlyMap<string, number> = new Map(
  Object.entries<unknown>(kernelConstants)
    .filter(([name]) => name.startsWith('SECBIT_'))
    .map(([name, bit]) => [name.slice('SECBIT_'.length).toLowerCase(), bit as number]),
);

/** The highest id; the one above it stands for none. */
export const MAX_ID = 0xfffffffe;
/** The kernel's limit of supplementary groups; limits.h. */
const MAX_GROUPS = 65_536;

/** The ids of a process as Node sets them. */
export function idSteps(
  uid: number | null | undefined,
  gid: number | null | undefined,
  groups?: readonly number[],
): CredentialStep[] {
  const steps: CredentialStep[] = [];
  // The user last: with it goes the right to change the others.
  if (groups !== undefined) steps.push({ type: 'setgroups', groups });
  else if (uid != null || gid != null) steps.push({ type: 'dropGroups' });
  if (gid != null) steps.push({ type: 'setgid', gid });
  if (uid != null) steps.push({ type: 'setuid', uid });
  return steps;
}

export const CREDENTIALS: Control<CredentialOptions> = {
  names: ['uid', 'gid', 'groups', 'capabilities', 'securebits', 'noNewPrivileges'],
  prepare(options) {
    const { uid, gid, groups, capabilities, noNewPrivileges } = options;
    // Node takes negative ones too, with which setuid(2) means what it means without a sign.
    if (uid != null) validateInteger(uid, 'options.uid', -0x80000000, MAX_ID);
    if (gid != null) validateInteger(gid, 'options.gid', -0x80000000, MAX_ID);
    if (groups !== undefined) validateGroups(groups);
    if (noNewPrivileges !== undefined) {
      validateBoolean(noNewPrivileges, 'options.noNewPrivileges');
    }
    const bits = options.securebits === undefined ? undefined : securebits(options.securebits);
    const sets = capabilities === undefined ? {} : capabilitySets(capabilities);
    checkSets(sets);
    checkEffect(sets, uid ?? 0, bits ?? 0);
    const credentials = credentialSteps(options, sets, bits);
    if (credentials.length === 0 && !noNewPrivileges) return null;
    return {
      steps: {
        ...(credentials.length === 0 ? {} : { credentials }),
        ...(noNewPrivileges ? { restrictions: [{ type: 'noNewPrivileges' }] } : {}),
      },
    };
  },
};

/**
 * The bounding set first, while the right to is there; the ids with the permitted set kept, if
 * something is to be taken from it; then what the target has; last what is too much.
 */
function credentialSteps(
  { uid, gid, groups }: CredentialOptions,
  { bounding, ambient, inheritable = ambient, ...rest }: Sets,
  bits: number | undefined,
): CredentialStep[] {
  const steps: CredentialStep[] = [];
  if (bounding !== undefined && bounding !== 'all') {
    steps.push({ type: 'boundingSet', keep: bounding });
  }
  const isKept =
    uid != null &&
    uid !== 0 &&
    (bits !== undefined || inheritable !== undefined || ambient !== undefined);
  if (isKept) steps.push({ type: 'keepCapabilities' });
  steps.push(...idSteps(uid, gid, groups));
  if (isKept || inheritable !== undefined) {
    steps.push({
      type: 'capset',
      // The change of ids has emptied it.
      ...(isKept ? { effective: 'permitted' } : {}),
      ...(inheritable === undefined ? {} : { inheritable: orPermitted(inheritable) }),
    });
  }
  if (ambient !== undefined) {
    steps.push({ type: 'ambientSet', capabilities: orPermitted(ambient) });
  }
  if (bits !== undefined) steps.push({ type: 'securebits', bits });
  const { permitted = isKept ? (ambient ?? []) : undefined } = rest;
  const { effective = permitted } = rest;
  if (isList(permitted)) {
    // All that is permitted, then.
    steps.push({ type: 'capset', permitted, effective: isList(effective) ? effective : permitted });
  } else if (effective !== undefined) {
    steps.push({ type: 'capset', effective: orPermitted(effective) });
  }
  return steps;
}

function isList(set: readonly number[] | 'all' | undefined): set is readonly number[] {
  return set !== undefined && set !== 'all';
}

function orPermitted(set: readonly number[] | 'all'): readonly number[] | 'permitted' {
  return set === 'all' ? 'permitted' : set;
}

function validateGroups(groups: unknown): void {
  validateArray(groups, 'options.groups');
  validateInteger(groups.length, 'options.groups.length', 0, MAX_GROUPS);
  for (const [i, id] of groups.entries()) validateInteger(id, `options.groups[${i}]`, 0, MAX_ID);
}

function capabilitySets(capabilities: unknown): Sets {
  validateObject(capabilities, 'options.capabilities');
  validateOptionNames(capabilities, SETS);
  const given = capabilities as CapabilityOptions;
  return Object.fromEntries(
    SETS.filter((set) => given[set] !== undefined).map((set) => [
      set,
      capabilityNumbers(given[set], `options.capabilities.${set}`),
    ]),
  );
}

/** Which set must be in which, says capabilities(7): what is not, the kernel would refuse. */
function checkSets(sets: Sets): void {
  mustBeIn(sets, 'effective', 'permitted');
  mustBeIn(sets, 'ambient', 'permitted');
  mustBeIn(sets, 'ambient', 'effective');
  mustBeIn(sets, 'ambient', 'inheritable');
  mustBeIn(sets, 'inheritable', 'bounding');
}

function mustBeIn(sets: Sets, inner: keyof Sets, outer: keyof Sets): void {
  const missing = notIn(sets[inner], sets[outer]);
  if (missing === null) return;
  refuse(inner, `has ${missing}, which ${outer} lacks`, sets);
}

/** Something of `inner` that is not in `outer`; null if there is nothing, or a set is not given. */
function notIn(inner: Sets[keyof Sets], outer: Sets[keyof Sets]): string | null {
  if (inner === undefined || outer === undefined || outer === 'all') return null;
  if (inner === 'all') return 'some of all';
  const missing = inner.find((capability) => !outer.includes(capability));
  return missing === undefined ? null : capabilityName(missing);
}

/** Refuses what the exec would undo: the program would have less than is said, or far more. */
function checkEffect(sets: Sets, uid: number, bits: number): void {
  const isRoot = uid === 0 && (bits & kernelConstants.SECBIT_NOROOT) === 0;
  for (const set of ['permitted', 'effective'] as const) {
    if (sets[set] === undefined) continue;
    if (isRoot) {
      const { bounding = 'all' } = sets;
      const regained = notIn(bounding, sets[set]);
      if (regained !== null) {
        refuse(set, `lacks ${regained}, which exec gives to root if it is in bounding`, sets);
      }
      const lost = notIn(sets[set], bounding);
      if (lost !== null) refuse(set, `has ${lost}, which is lost at exec: bounding lacks it`, sets);
    } else {
      const lost = notIn(sets[set], sets.ambient ?? []);
      if (lost !== null) refuse(set, `has ${lost}, which is lost at exec: ambient lacks it`, sets);
    }
  }
}

function refuse(set: keyof Sets, reason: string, sets: Sets): never {
  const numbers = sets[set];
  const value = isList(numbers) ? numbers.map(capabilityName).join(',') : numbers;
  throw invalidArgValue(`options.capabilities.${set}`, value, reason);
}

function securebits(names: unknown): number {
  validateArray(names, 'options.securebits');
  let bits = 0;
  for (const [i, name] of names.entries()) {
    const where = `options.securebits[${i}]`;
    validateString(name, where);
    const bit = SECUREBITS.get(name.toLowerCase().replace(/^secbit_/, ''));
    if (bit === undefined) {
      const known = [...SECUREBITS.keys()].filter((known) => known !== 'keep_caps');
      throw invalidArgValue(where, name, `must be one of: ${known.join(', ')}`);
    }
    if (bit === kernelConstants.SECBIT_KEEP_CAPS) {
      throw invalidArgValue(where, name, 'cannot be had: exec clears it');
    }
    bits |= bit;
  }
  return bits;
}
