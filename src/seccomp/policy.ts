/** A policy as it stands in a plan: plain data, checked, and the same for all machines. */
export interface Policy {
  /** What no rule is about: a value to return. null: what the default policy says. */
  readonly otherwise: number | null;
  /** For code of another architecture of this kernel: i386 and x32 on x64, arm on arm64. */
  readonly foreign: number;
  /** The first that matches decides. */
  readonly rules: readonly Rule[];
  /** The rules of the default policy follow. */
  readonly base: boolean;
}

export interface Rule {
  readonly syscalls: readonly string[];
  /** A value that a filter returns: SECCOMP_RET_*, with an error number. */
  readonly action: number;
  /** All must be met. */
  readonly conditions: readonly Condition[];
  /** Allows what an architecture does not have. */
  readonly optional: boolean;
}

export const COMPARISONS = ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'maskedEq'] as const;
export type Comparison = (typeof COMPARISONS)[number];

/** A 64-bit number as two of 32 bits. */
export interface Halves {
  readonly high: number;
  readonly low: number;
}

export interface Condition {
  readonly index: number;
  readonly op: Comparison;
  /** The high half of the argument is not looked at if 32. */
  readonly width: 32 | 64;
  readonly value: Halves;
  /** Of maskedEq. */
  readonly mask: Halves;
}

export function halves(value: bigint): Halves {
  return { high: Number((value >> 32n) & 0xffffffffn), low: Number(value & 0xffffffffn) };
}

export const ALL_BITS: Halves = { high: 0xffffffff, low: 0xffffffff };
