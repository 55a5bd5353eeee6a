import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { invalidArgType, invalidArgValue, outOfRange, UnsupportedError } from '../errors.js';
import { MACHINES } from '../machine/index.js';
import { syscallTable } from '../machine/syscall-table.js';
import {
  MAX_ERRNO,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRAP,
} from '../plan/constants.js';
import { filterOf, type SeccompStep } from '../plan/steps/seccomp.js';
import { checkProgram, programBytes } from '../seccomp/check-program.js';
import { requireExecveat } from '../seccomp/compile.js';
import {
  ALL_BITS,
  COMPARISONS,
  type Comparison,
  type Condition,
  halves,
  type Policy,
  type Rule,
} from '../seccomp/policy.js';
import {
  validateArray,
  validateBoolean,
  validateInteger,
  validateObject,
  validateOptionNames,
  validateString,
} from '../validate.js';
import type { Control } from './control.js';
import type { ExecOptions } from './exec.js';

export interface SeccompOptions {
  /**
   * A filter of system calls, for the child and all its descendants, for good: seccomp(2).
   * `default` is a policy for code that is not trusted. Sets no_new_privs: programs no longer gain
   * privileges by set-user-ID bits or file capabilities. Default: none. Linux 4.14 with
   * CONFIG_SECCOMP_FILTER; UnsupportedError where the kernel has no filters.
   */
  readonly seccomp?: 'default' | SeccompPolicy | SeccompProgram | undefined;
}

/** A policy by the names of system calls. */
export interface SeccompPolicy {
  /** What happens to calls that no rule matches. Required, but for a policy with a `base`. */
  readonly default?: SeccompAction | undefined;
  /** `default`: the rules of the default policy follow those of this one, and so does its action. */
  readonly base?: 'default' | undefined;
  /** The first rule that matches a call decides. Default: none. */
  readonly rules?: readonly SeccompRule[] | undefined;
  /**
   * What happens to calls of another architecture or ABI than this process's, whose numbers mean
   * other calls: i386 and x32 on x64, arm on arm64. Never `allow` or `log`. Default `kill`.
   */
  readonly foreign?: Exclude<SeccompAction, 'allow' | 'log'> | undefined;
  /** Writes what is not allowed into the kernel's log, as far as actions_logged lets it. */
  readonly log?: boolean | undefined;
}

/**
 * `allow`; `log`: allow, and write it into the kernel's log; an error, by name or number from 1 to
 * 4095; `trap`: SIGSYS, which may be caught; `kill`: the process ends by SIGSYS; `killThread`: the
 * thread does.
 */
export type SeccompAction =
  | 'allow'
  | 'log'
  | 'trap'
  | 'kill'
  | 'killThread'
  | { readonly errno: string | number };

export interface SeccompRule {
  /**
   * Names of system calls as the kernel has them: a 32-bit machine may have `setuid` and
   * `setuid32`, `clock_settime` and `clock_settime64`.
   */
  readonly syscalls: readonly string[];
  readonly action: SeccompAction;
  /** Comparisons that must all hold. Default: none, the rule matches always. */
  readonly args?: readonly SeccompArgument[] | undefined;
  /**
   * Leaves out calls that this machine does not have. Default false: of a rule that allows they are
   * an error; of others they are left out in any case.
   */
  readonly optional?: boolean | undefined;
}

/** A comparison of an argument, without sign. */
export interface SeccompArgument {
  /** Which one: 0 to 5. */
  readonly index: number;
  /** `maskedEq`: the argument's bits that `mask` has are those of `value`. */
  readonly op: Comparison;
  /** A number, or a string with one ('0xffffffffffff0000'). Negative: two's complement. */
  readonly value: number | bigint | string;
  /** Of `maskedEq`. */
  readonly mask?: number | bigint | string | undefined;
  /**
   * How many bits are compared. Default 64. An argument that is an `int` in C needs 32: the kernel
   * does not look at its upper half, where a program may put anything.
   */
  readonly width?: 32 | 64 | undefined;
}

/** A program of classic BPF, for this very architecture. */
export interface SeccompProgram {
  /**
   * Instructions as [code, jt, jf, k], or struct sock_filter: bytes, or two 32-bit words each. At
   * most 4096. It must let execve, exit_group and the report of a failed exec pass.
   */
  readonly program: readonly (readonly number[])[] | Uint32Array | Uint8Array;
  /** As of a policy. */
  readonly log?: boolean | undefined;
}

const ACTIONS = new Map([
  ['allow', SECCOMP_RET_ALLOW],
  ['log', SECCOMP_RET_LOG],
  ['trap', SECCOMP_RET_TRAP],
  ['kill', SECCOMP_RET_KILL_PROCESS],
  ['killThread', SECCOMP_RET_KILL_THREAD],
]);

/** Stands for the number that a launch will have. */
const ERROR_PIPE = 1000;

const DEFAULT: Policy = {
  otherwise: null,
  foreign: SECCOMP_RET_KILL_PROCESS,
  rules: [],
  base: true,
};

export const SECCOMP: Control<SeccompOptions> = {
  names: ['seccomp'],
  prepare({ seccomp, execFd }: SeccompOptions & ExecOptions) {
    if (seccomp === undefined) return null;
    const step = stepOf(seccomp);
    const machine = Object.values(MACHINES).find(({ name }) => name === process.arch);
    if (machine !== undefined) {
      const filter = filterOf(step, machine, ERROR_PIPE);
      const byDescriptor = execFd !== undefined;
      if ('program' in step.filter) {
        checkProgram(filter, machine, 'options.seccomp.program', byDescriptor);
      } else if (byDescriptor) requireExecveat(step.filter.policy, machine);
    }
    requireFilters();
    // Set for all, though who has CAP_SYS_ADMIN does not need it: a policy means the same for all.
    return { steps: { restrictions: [{ type: 'noNewPrivileges' }], seccomp: [step] } };
  },
};

let hasFilters: boolean | undefined;

/** Without /proc it is the launch that fails, at the step `seccomp`. */
function requireFilters(): void {
  hasFilters ??=
    process.platform !== 'linux' ||
    !existsSync('/proc/sys/kernel') ||
    existsSync('/proc/sys/kernel/seccomp/actions_avail');
  if (!hasFilters) {
    throw new UnsupportedError('this kernel has no seccomp filters', 'seccomp');
  }
}

function stepOf(seccomp: unknown): SeccompStep {
  const name = 'options.seccomp';
  if (seccomp === 'default') return { type: 'seccomp', filter: { policy: DEFAULT }, log: false };
  if (typeof seccomp === 'string') {
    throw invalidArgValue(name, seccomp, "must be 'default', a policy or a program");
  }
  validateObject(seccomp, name);
  const given = seccomp as SeccompPolicy & SeccompProgram;
  const { log = false } = given;
  validateBoolean(log, `${name}.log`);
  if (given.program !== undefined) {
    validateOptionNames(seccomp, ['program', 'log']);
    const program = [...programBytes(given.program, `${name}.program`)];
    return { type: 'seccomp', filter: { program }, log };
  }
  return { type: 'seccomp', filter: { policy: policyOf(given, name) }, log };
}

function policyOf(given: SeccompPolicy, name: string): Policy {
  validateOptionNames(given, ['default', 'base', 'rules', 'foreign', 'log']);
  const { base, rules = [], foreign = 'kill' } = given;
  if (base !== undefined && base !== 'default') {
    throw invalidArgValue(`${name}.base`, base, "must be 'default'");
  }
  if (given.default === undefined && base === undefined) {
    throw invalidArgType(`${name}.default`, 'an action', undefined);
  }
  const otherwise = given.default === undefined ? null : actionOf(given.default, `${name}.default`);
  if ((foreign as SeccompAction) === 'allow' || (foreign as SeccompAction) === 'log') {
    const reason = 'must refuse: rules cannot be given for code of another architecture';
    throw invalidArgValue(`${name}.foreign`, foreign, reason);
  }
  validateArray(rules, `${name}.rules`);
  return {
    otherwise,
    foreign: actionOf(foreign, `${name}.foreign`),
    rules: rules.map((rule, i) => ruleOf(rule, `${name}.rules[${i}]`)),
    base: base !== undefined,
  };
}

function actionOf(action: unknown, name: string): number {
  if (typeof action === 'string') {
    const value = ACTIONS.get(action);
    if (value !== undefined) return value;
    const reason =
      action === 'notify' || action === 'trace'
        ? 'needs somebody who answers, whom a launch does not have'
        : `must be one of ${[...ACTIONS.keys()].join(', ')}, or { errno }`;
    throw invalidArgValue(name, action, reason);
  }
  validateObject(action, name);
  validateOptionNames(action, ['errno']);
  const { errno } = action as { errno?: unknown };
  if (typeof errno === 'string') {
    const numbers: Readonly<Record<string, number>> = constants.errno;
    const number = Object.hasOwn(numbers, errno) ? numbers[errno] : undefined;
    if (number === undefined) throw invalidArgValue(`${name}.errno`, errno, 'is no error');
    return SECCOMP_RET_ERRNO | number;
  }
  validateInteger(errno, `${name}.errno`, 1, MAX_ERRNO);
  return SECCOMP_RET_ERRNO | errno;
}

function ruleOf(rule: unknown, name: string): Rule {
  validateObject(rule, name);
  validateOptionNames(rule, ['syscalls', 'action', 'args', 'optional']);
  const { syscalls, action, args = [], optional = false } = rule as Partial<SeccompRule>;
  validateArray(syscalls, `${name}.syscalls`);
  for (const [i, syscall] of syscalls.entries()) {
    validateSyscall(syscall, `${name}.syscalls[${i}]`);
  }
  validateArray(args, `${name}.args`);
  validateBoolean(optional, `${name}.optional`);
  return {
    syscalls: [...(syscalls as readonly string[])],
    action: actionOf(action, `${name}.action`),
    conditions: args.map((argument, i) => conditionOf(argument, `${name}.args[${i}]`)),
    optional,
  };
}

function validateSyscall(syscall: unknown, name: string): void {
  validateString(syscall, name);
  if (syscallTable().has(syscall)) return;
  const near = [...syscallTable().keys()].find(
    (known) =>
      isNear(known, syscall.toLowerCase()) || known === syscall.replace(/^(__NR|SYS)_/, ''),
  );
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  throw invalidArgValue(name, syscall, `is no system call that is known${hint}`);
}

/** Whether one letter more, less or another makes one of the other. */
function isNear(known: string, given: string): boolean {
  if (Math.abs(known.length - given.length) > 1) return false;
  let same = 0;
  while (same < known.length && known[same] === given[same]) same++;
  const rest = known.slice(same + 1);
  const other = given.slice(same + 1);
  return rest === other || rest === given.slice(same) || known.slice(same) === other;
}

function conditionOf(argument: unknown, name: string): Condition {
  validateObject(argument, name);
  validateOptionNames(argument, ['index', 'op', 'value', 'mask', 'width']);
  const { index, op, value, mask, width = 64 } = argument as Partial<SeccompArgument>;
  validateInteger(index, `${name}.index`, 0, 5);
  if (op === undefined || !COMPARISONS.includes(op)) {
    throw invalidArgValue(`${name}.op`, op, `must be one of: ${COMPARISONS.join(', ')}`);
  }
  if (width !== 32 && width !== 64) {
    throw invalidArgValue(`${name}.width`, width, 'must be 32 or 64');
  }
  const wanted = bits(value, width, `${name}.value`);
  if (op !== 'maskedEq') {
    if (mask !== undefined) throw invalidArgValue(`${name}.mask`, mask, 'is for maskedEq only');
    return { index, op, width, value: halves(wanted), mask: ALL_BITS };
  }
  const masking = bits(mask, width, `${name}.mask`);
  if ((wanted & ~masking) !== 0n) {
    throw invalidArgValue(`${name}.value`, value, 'has bits that are not in the mask');
  }
  return { index, op, width, value: halves(wanted), mask: halves(masking) };
}

function bits(value: unknown, width: 32 | 64, name: string): bigint {
  let number: bigint;
  if (typeof value === 'bigint') number = value;
  else if (typeof value === 'string' && /^(0x[\da-f]+|-?\d+)$/i.test(value)) number = BigInt(value);
  else {
    validateInteger(value, name);
    number = BigInt(value);
  }
  if (number < -(1n << BigInt(width - 1)) || number >= 1n << BigInt(width)) {
    throw outOfRange(name, `a number of ${width} bits`, value);
  }
  return BigInt.asUintN(width, number);
}
