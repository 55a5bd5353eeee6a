import { invalidArgValue, outOfRange } from '../errors.js';
import type { Machine } from '../machine/machine.js';
import { syscallNumber } from '../machine/syscall-table.js';
import {
  __AUDIT_ARCH_64BIT,
  __AUDIT_ARCH_LE,
  BPF_MAXINSNS,
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_LOG,
} from '../plan/constants.js';
import { FilterAssembler, type Target } from './assembler.js';
import { DEFAULT_ACTION, DEFAULT_RULES } from './default-policy.js';
import { ARCH, argumentOffset, type Filter, NR } from './filter.js';
import { ALL_BITS, type Condition, type Halves, halves, type Policy, type Rule } from './policy.js';

/** What a filter must know of a machine. */
export type FilterMachine = Pick<Machine, 'name' | 'elf' | 'wordSize' | 'syscallNumber'>;

/** Numbers of the x32 ABI have this bit: __X32_SYSCALL_BIT. */
const X32 = 0x40000000;

/** AUDIT_ARCH_ of a machine. */
export function auditArchitecture({ elf, wordSize }: FilterMachine): number {
  return (elf.machine | __AUDIT_ARCH_LE | (wordSize === 8 ? __AUDIT_ARCH_64BIT : 0)) >>> 0;
}

export interface CompiledPolicy {
  readonly filter: Filter;
  /** Whether the error pipe is in it: without that it is the same for all. */
  readonly reports: boolean;
}

/** The rules about one system call, up to the first that always matches. */
type Chain = readonly Pick<Rule, 'conditions' | 'action'>[];

/**
 * Compiles a policy. The helper goes on behind the filter: it must be able to exec, to report on
 * `errorPipe` that it could not, and to exit. Throws what names the fault of a policy that takes
 * the first or the last from it, names what is not there, or is too long.
 */
export function compilePolicy(
  policy: Policy,
  machine: FilterMachine,
  errorPipe: number,
): CompiledPolicy {
  const action = policy.otherwise ?? DEFAULT_ACTION;
  const otherwise: Chain = [{ conditions: [], action }];
  const chains = chainsOf(policy, machine, otherwise);
  const chainOf = (name: string): [number, Chain] => {
    const number = syscallNumber(name, machine.name) as number;
    return [number, chains.get(number) ?? otherwise];
  };
  for (const name of ['execve', 'exit_group']) {
    if (!isAllowed(chainOf(name)[1])) {
      throw mustAllow(name, 'the program is started by it, or by its failure');
    }
  }
  const [write, writing] = chainOf('write');
  const reports = !isAllowed(writing);
  if (reports) chains.set(write, [reportRule(machine, errorPipe), ...writing]);
  const filter = assemble(chains, otherwise, policy.foreign, machine);
  if (filter.length > BPF_MAXINSNS) {
    throw outOfRange(
      'options.seccomp',
      `a policy of at most ${BPF_MAXINSNS} instructions`,
      filter.length,
    );
  }
  return { filter, reports };
}

/** Throws what names the fault of a policy under which no program is started by a descriptor. */
export function requireExecveat(policy: Policy, machine: FilterMachine): void {
  const otherwise: Chain = [{ conditions: [], action: policy.otherwise ?? DEFAULT_ACTION }];
  const number = syscallNumber('execveat', machine.name) as number;
  const chain = chainsOf(policy, machine, otherwise).get(number) ?? otherwise;
  if (!isAllowed(chain))
    throw mustAllow('execveat', 'the program of options.execFd is started by it');
}

function mustAllow(name: string, reason: string): TypeError {
  return invalidArgValue(
    'options.seccomp',
    name,
    `must allow ${name}, whatever its arguments: ${reason}`,
  );
}

function chainsOf(policy: Policy, { name: architecture }: FilterMachine, otherwise: Chain) {
  const chains = new Map<number, Chain[number][]>();
  const decided = new Set<number>();
  const rules = policy.base ? [...policy.rules, ...DEFAULT_RULES] : policy.rules;
  rules.forEach(({ syscalls, action, conditions, optional }, i) => {
    for (const syscall of syscalls) {
      const number = syscallNumber(syscall, architecture) ?? null;
      if (number === null) {
        // A call that is not there is denied anyway, but cannot be allowed.
        if (optional || !allows(action)) continue;
        throw invalidArgValue(
          `options.seccomp.rules[${i}].syscalls`,
          syscall,
          `is no system call of ${architecture}: a rule that allows it must be optional`,
        );
      }
      if (decided.has(number)) continue;
      const chain = chains.get(number) ?? [];
      chains.set(number, chain);
      chain.push({ conditions, action });
      if (conditions.length === 0) decided.add(number);
    }
  });
  for (const [number, chain] of chains) if (!decided.has(number)) chain.push(...otherwise);
  return chains as Map<number, Chain>;
}

function allows(action: number): boolean {
  const kind = (action & SECCOMP_RET_ACTION_FULL) >>> 0;
  return kind === SECCOMP_RET_ALLOW || kind === SECCOMP_RET_LOG;
}

function isAllowed(chain: Chain): boolean {
  return chain.every(({ action }) => allows(action));
}

/** The record of a failed exec: two words, to the error pipe. */
function reportRule({ wordSize }: FilterMachine, errorPipe: number): Chain[number] {
  const equal = (index: number, value: number): Condition => ({
    ...{ index, op: 'eq', width: 64, value: halves(BigInt(value)), mask: ALL_BITS },
  });
  return { conditions: [equal(0, errorPipe), equal(2, 2 * wordSize)], action: SECCOMP_RET_ALLOW };
}

function assemble(
  chains: ReadonlyMap<number, Chain>,
  otherwise: Chain,
  foreign: number,
  machine: FilterMachine,
): Filter {
  const a = new FilterAssembler();
  const refused = a.ret(foreign);
  // Ranges of numbers that are treated alike, by where they begin.
  const starts: number[] = [0];
  const targets: (() => Target)[] = [() => chainTarget(a, otherwise)];
  const keys: string[] = [keyOf(otherwise)];
  const begin = (number: number, chain: Chain): void => {
    const key = keyOf(chain);
    if (starts.at(-1) === number) {
      starts.pop();
      targets.pop();
      keys.pop();
    }
    if (keys.at(-1) === key) return;
    starts.push(number);
    targets.push(() => chainTarget(a, chain));
    keys.push(key);
  };
  for (const [number, chain] of [...chains].sort(([one], [other]) => one - other)) {
    begin(number, chain);
    begin(number + 1, otherwise);
  }
  const search = (from: number, to: number): Target => {
    if (to - from === 1) return (targets[from] as () => Target)();
    const middle = (from + to) >> 1;
    const high = search(middle, to);
    return a.branch('ge', starts[middle] as number, high, search(from, middle));
  };
  let start = search(0, starts.length);
  if (machine.name === 'x64') {
    // -1 is what a tracer makes of a call that it suppresses, and of no ABI.
    start = a.branch('ge', X32, a.branch('eq', 0xffffffff, start, refused), start);
  }
  start = a.load(NR, start);
  start = a.branch('eq', auditArchitecture(machine), start, refused);
  return a.filter(a.load(ARCH, start));
}

/** Equal for equal chains. */
function keyOf(chain: Chain): string {
  const [{ action } = { action: 0 }, ...more] = chain;
  return more.length === 0 ? String(action) : JSON.stringify(chain);
}

/** The rules of a chain one after the other; the last one has no conditions. */
function chainTarget(a: FilterAssembler, chain: Chain): Target {
  return chain.reduceRight<Target>((no, { conditions, action }) => {
    const yes = a.ret(action);
    return conditions.reduceRight((next, condition) => check(a, condition, next, no), yes);
  }, -1);
}

function check(
  a: FilterAssembler,
  { index, op, width, value, mask }: Condition,
  yes: Target,
  no: Target,
): Target {
  switch (op) {
    case 'ne':
      return equal(a, index, width, value, ALL_BITS, no, yes);
    case 'lt':
      return greater(a, 'ge', index, width, value, no, yes);
    case 'le':
      return greater(a, 'gt', index, width, value, no, yes);
    case 'gt':
    case 'ge':
      return greater(a, op, index, width, value, yes, no);
    default:
      return equal(a, index, width, value, op === 'eq' ? ALL_BITS : mask, yes, no);
  }
}

function equal(
  a: FilterAssembler,
  index: number,
  width: 32 | 64,
  value: Halves,
  mask: Halves,
  yes: Target,
  no: Target,
): Target {
  const half = (which: keyof Halves, then: Target): Target => {
    const [bits, wanted] = [mask[which], value[which]];
    const compare = a.branch('eq', wanted, then, no);
    const masked = bits === 0xffffffff ? compare : a.and(bits, compare);
    return a.load(argumentOffset(index, which === 'high'), masked);
  };
  const low = half('low', yes);
  return width === 32 || (mask.high === 0 && value.high === 0) ? low : half('high', low);
}

function greater(
  a: FilterAssembler,
  op: 'gt' | 'ge',
  index: number,
  width: 32 | 64,
  { high, low }: Halves,
  yes: Target,
  no: Target,
): Target {
  const lower = a.load(argumentOffset(index, false), a.branch(op, low, yes, no));
  if (width === 32) return lower;
  const higher = a.branch('gt', high, yes, a.branch('eq', high, lower, no));
  return a.load(argumentOffset(index, true), higher);
}
