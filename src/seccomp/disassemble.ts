import { constants } from 'node:os';
import { syscallNames } from '../machine/syscall-table.js';
import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_AND,
  BPF_DIV,
  BPF_IMM,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JMP,
  BPF_JSET,
  BPF_LD,
  BPF_LDX,
  BPF_LEN,
  BPF_LSH,
  BPF_MEM,
  BPF_MISC,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RET,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_TAX,
  BPF_W,
  BPF_X,
  BPF_XOR,
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_DATA,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_TRAP,
  SECCOMP_RET_USER_NOTIF,
} from '../plan/constants.js';
import { auditArchitecture, type FilterMachine } from './compile.js';
import { ARCH, type BpfInstruction, type Filter, NR } from './filter.js';

const ACTIONS = new Map([
  [SECCOMP_RET_KILL_PROCESS, 'kill'],
  [SECCOMP_RET_KILL_THREAD, 'kill thread'],
  [SECCOMP_RET_TRAP, 'trap'],
  [SECCOMP_RET_ERRNO, 'errno'],
  [SECCOMP_RET_USER_NOTIF, 'notify'],
  [SECCOMP_RET_TRACE, 'trace'],
  [SECCOMP_RET_LOG, 'log'],
  [SECCOMP_RET_ALLOW, 'allow'],
]);

const OPERATORS = new Map([
  [BPF_ADD, '+'],
  [BPF_SUB, '-'],
  [BPF_MUL, '*'],
  [BPF_DIV, '/'],
  [BPF_OR, '|'],
  [BPF_AND, '&'],
  [BPF_XOR, '^'],
  [BPF_LSH, '<<'],
  [BPF_RSH, '>>'],
]);

const COMPARISONS = new Map([
  [BPF_JEQ, '=='],
  [BPF_JGT, '>'],
  [BPF_JGE, '>='],
  [BPF_JSET, '&'],
]);

/** What a filter returns, in words: `errno EPERM`. */
export function actionText(value: number): string {
  const action = (value & SECCOMP_RET_ACTION_FULL) >>> 0;
  const data = value & SECCOMP_RET_DATA;
  const name = ACTIONS.get(action) ?? `0x${value.toString(16)}`;
  if (action === SECCOMP_RET_ERRNO) {
    const [error] = Object.entries(constants.errno).find(([, number]) => number === data) ?? [];
    return `${name} ${error ?? data}`;
  }
  return data === 0 ? name : `${name} ${data}`;
}

/**
 * The lines of a filter: `if nr >= 42 (connect) goto 9 else 5`. The accumulator is called by what
 * it holds, where all ways lead there with the same.
 */
export function disassemble(filter: Filter, machine: FilterMachine): string[] {
  const names = syscallNames(machine.name);
  const held: (string | undefined)[] = ['0'];
  let accumulator: string | undefined = '0';
  return filter.map((instruction, pc) => {
    const { code, jt, jf, k } = instruction;
    // Behind a jump or a return only what has led here counts.
    const follows = pc === 0 || !leaves(filter[pc - 1] as BpfInstruction);
    const before = held[pc];
    accumulator = follows ? merge(accumulator, before) : before;
    const a = accumulator ?? 'A';
    const to = (distance: number): number => {
      const target = pc + 1 + distance;
      held[target] = merge(a, held[target]);
      return target;
    };
    const operand = code & BPF_X ? 'X' : number(k);
    switch (code & 7) {
      case BPF_LD:
      case BPF_LDX: {
        const value = source(code & 0xe0, k);
        if ((code & 7) === BPF_LD) accumulator = value;
        return `${(code & 7) === BPF_LD ? 'load' : 'X ='} ${value}`;
      }
      case BPF_ST:
      case BPF_STX:
        return `M[${k}] = ${(code & 7) === BPF_ST ? a : 'X'}`;
      case BPF_ALU: {
        const negated = (code & 0xf0) === BPF_NEG;
        accumulator = negated ? `-${a}` : `(${a} ${OPERATORS.get(code & 0xf0)} ${operand})`;
        return `calculate ${accumulator}`;
      }
      case BPF_JMP: {
        if ((code & 0xf0) === BPF_JA) return `goto ${to(k)}`;
        const meaning = code & BPF_X ? '' : meaningOf(a, k, names, machine);
        const test = `${a} ${COMPARISONS.get(code & 0xf0)} ${operand}${meaning}`;
        return `if ${test} goto ${to(jt)} else ${to(jf)}`;
      }
      case BPF_MISC:
        if ((code & 0xf8) === BPF_TAX) return `X = ${a}`;
        accumulator = 'X';
        return 'load X';
      default:
        return `return ${(code & 0x18) === 0 ? actionText(k) : a}`;
    }
  });
}

/** The listing, with the number of each instruction in front. */
export function formatFilter(lines: readonly string[]): string {
  const width = String(lines.length - 1).length;
  return lines.map((line, i) => `[${String(i).padStart(width)}] ${line}\n`).join('');
}

function leaves({ code }: BpfInstruction): boolean {
  return (code & 7) === BPF_RET || (code & 7) === BPF_JMP;
}

/** What two ways agree on. */
function merge(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one === other ? one : 'A';
}

function source(mode: number, k: number): string {
  switch (mode) {
    case BPF_W | BPF_ABS: {
      if (k === NR) return 'nr';
      if (k === ARCH) return 'arch';
      const half = k % 8 === 0 ? 'low' : 'high';
      return k < 16 ? `ip.${half}` : `a${(k - 16) >> 3}.${half}`;
    }
    case BPF_IMM:
      return number(k);
    case BPF_MEM:
      return `M[${k}]`;
    case BPF_LEN:
      return 'size';
    default:
      return '?';
  }
}

function meaningOf(
  held: string,
  k: number,
  names: ReadonlyMap<number, string>,
  machine: FilterMachine,
): string {
  if (held === 'arch' && k === auditArchitecture(machine)) return ` (${machine.name})`;
  const name = held === 'nr' ? names.get(k) : undefined;
  return name === undefined ? '' : ` (${name})`;
}

function number(k: number): string {
  return k > 0xffff ? `0x${k.toString(16)}` : String(k);
}
