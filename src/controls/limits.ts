import { invalidArgType, invalidArgValue, UnsupportedError } from '../errors.js';
import { binding } from '../launch/binding.js';
import { Kernel } from '../launch/kernel.js';
import type { Step } from '../plan/plan.js';
import { type Limit, type LimitStep, RESOURCES, type Resource } from '../plan/steps/limits.js';
import { validateInteger, validateObject, validateOptionNames } from '../validate.js';
import type { Contribution, Control } from './control.js';
import type { NamespaceOptions } from './namespaces.js';
import { sizeInBytes } from './size.js';

/** A number, `unlimited`, or a size such as `512MiB` where bytes are counted. */
export type LimitValue = number | string;

/** Both limits, or one of them: the other stays this process's. */
export interface LimitPair {
  /** What the kernel enforces. The process may raise it up to the hard limit. */
  readonly soft?: LimitValue | undefined;
  /** Who has not CAP_SYS_RESOURCE can lower it only. */
  readonly hard?: LimitValue | undefined;
}

/** Resources, by their names in prlimit(1); the unit of each is in getrlimit(2). */
export type Limits = { readonly [R in Resource]?: LimitValue | LimitPair | undefined };

/** Resource limits. */
export interface LimitOptions {
  /**
   * Resource limits, both of a resource (a value) or one of them ({ soft, hard }): prlimit(2).
   * `as`, `core`, `data`, `fsize`, `memlock`, `msgqueue`, `rss`, `stack` in bytes or as a size;
   * `cpu` in seconds, `rttime` in microseconds; `locks`, `nice`, `nofile`, `nproc`, `rtprio`,
   * `sigpending` as numbers. Default: this process's limits.
   */
  readonly limits?: Limits | undefined;
}

export const LIMITS: Control<LimitOptions> = { names: ['limits'], prepare };

const NAMES = Object.keys(RESOURCES) as Resource[];
const IN_BYTES: ReadonlySet<Resource> = new Set([
  'as',
  'core',
  'data',
  'fsize',
  'memlock',
  'msgqueue',
  'rss',
  'stack',
]);

function prepare({
  limits: given = {},
  namespaces,
}: LimitOptions & NamespaceOptions): Contribution | null {
  validateObject(given, 'options.limits');
  validateOptionNames(given, NAMES, 'options.limits');
  // The right to raise a hard limit is that of the first user namespace, and is lost with it.
  const losesRights = namespaces?.user !== undefined && namespaces.user !== false;
  const early: Step[] = [];
  const limits: Step[] = [];
  const nofile: Step[] = [];
  for (const resource of NAMES) {
    const value = given[resource];
    if (value === undefined) continue;
    const step = limitStep(resource, value);
    const raise =
      step.hard === null ? [] : [{ type: 'hardLimit', resource, hard: step.hard } as const];
    if (losesRights) early.push(...raise);
    if (resource === 'nofile') {
      nofile.push(step);
      if (!losesRights) limits.push(...raise);
    } else limits.push(step);
  }
  if (limits.length + nofile.length === 0) return null;
  return { steps: { scheduling: early, limits, nofile } };
}

function limitStep(
  resource: Resource,
  value: LimitValue | LimitPair,
): LimitStep & { type: 'limit' } {
  const name = `options.limits.${resource}`;
  if (typeof value !== 'object') {
    const limit = limitOf(resource, value, name);
    return { type: 'limit', resource, soft: limit, hard: limit };
  }
  validateObject(value, name);
  validateOptionNames(value, ['soft', 'hard'], name);
  if (value.soft === undefined && value.hard === undefined) {
    throw invalidArgValue(name, value, 'must have soft or hard in it');
  }
  const soft = value.soft === undefined ? null : limitOf(resource, value.soft, `${name}.soft`);
  const hard = value.hard === undefined ? null : limitOf(resource, value.hard, `${name}.hard`);
  if (soft !== null && hard !== null && amount(soft) > amount(hard)) {
    throw invalidArgValue(`${name}.soft`, value.soft, `must not be above hard, ${value.hard}`);
  }
  return { type: 'limit', resource, soft, hard };
}

function limitOf(resource: Resource, value: LimitValue, name: string): Limit {
  if (value === 'unlimited') return value;
  if (IN_BYTES.has(resource)) return sizeInBytes(value, name);
  if (typeof value === 'string') {
    throw invalidArgType(name, "of type number or 'unlimited'", value);
  }
  validateInteger(value, name, 0);
  return value;
}

function amount(limit: Limit): number {
  return limit === 'unlimited' ? Infinity : limit;
}

let kernel: Kernel | undefined;

/** This process's hard limit of a resource; Infinity for none, and where it cannot be asked for. */
export function hardLimit(resource: Resource): number {
  try {
    kernel ??= new Kernel(binding());
  } catch (error) {
    // Then nothing can be started; but it can be shown what would be.
    if (!(error instanceof UnsupportedError)) throw error;
    return Infinity;
  }
  const { scratch, scratchAddress } = kernel;
  const result = kernel.call('prlimit64', 0, RESOURCES[resource], 0, scratchAddress);
  if (result < 0) return Infinity;
  // struct rlimit64: soft and hard.
  const hard = new DataView(scratch.buffer, scratch.byteOffset).getBigUint64(8, true);
  return hard === 0xffff_ffff_ffff_ffffn ? Infinity : Number(hard);
}
