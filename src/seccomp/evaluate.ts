import { InternalError } from '../errors.js';
import {
  BPF_A,
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
  BPF_LD,
  BPF_LDX,
  BPF_LEN,
  BPF_LSH,
  BPF_MEM,
  BPF_MEMWORDS,
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
} from '../plan/constants.js';
import { type BpfInstruction, type Filter, SECCOMP_DATA_SIZE } from './filter.js';

/** A system call as a filter sees it: struct seccomp_data. */
export interface SyscallData {
  readonly nr: number;
  readonly arch: number;
  readonly instructionPointer?: bigint;
  readonly args?: readonly bigint[];
}

/** What a filter that filterFault() finds nothing in returns for a system call. */
export function evaluate(filter: Filter, call: SyscallData): number {
  const data = new DataView(new ArrayBuffer(SECCOMP_DATA_SIZE));
  data.setInt32(0, call.nr | 0, true);
  data.setUint32(4, call.arch, true);
  data.setBigUint64(8, call.instructionPointer ?? 0n, true);
  call.args?.forEach((value, i) => {
    data.setBigUint64(16 + 8 * i, value, true);
  });
  const memory = new Uint32Array(BPF_MEMWORDS);
  let [a, x] = [0, 0];
  for (let pc = 0; pc < filter.length; pc++) {
    const { code, jt, jf, k } = filter[pc] as BpfInstruction;
    const source = code & BPF_X ? x : k;
    switch (code & 7) {
      case BPF_LD:
      case BPF_LDX: {
        const value = load(code & 0xe0, k, data, memory);
        if ((code & 7) === BPF_LD) a = value;
        else x = value;
        break;
      }
      case BPF_ST:
        memory[k] = a;
        break;
      case BPF_STX:
        memory[k] = x;
        break;
      case BPF_ALU:
        // A division by zero ends a filter with 0.
        if ((code & 0xf0) === BPF_DIV && source === 0) return 0;
        a = arithmetic(code & 0xf0, a, source);
        break;
      case BPF_JMP:
        if ((code & 0xf0) === BPF_JA) pc += k;
        else pc += jumps(code & 0xf0, a, source) ? jt : jf;
        break;
      case BPF_MISC:
        if ((code & 0xf8) === BPF_TAX) x = a;
        else a = x;
        break;
      case BPF_RET:
        return (code & 0x18) === BPF_A ? a : k;
    }
  }
  throw new InternalError('a filter has no end');
}

function load(mode: number, k: number, data: DataView, memory: Uint32Array): number {
  switch (mode) {
    case BPF_W | BPF_ABS:
      return data.getUint32(k, true);
    case BPF_IMM:
      return k;
    case BPF_MEM:
      return memory[k] as number;
    case BPF_LEN:
      return SECCOMP_DATA_SIZE;
    default:
      throw new InternalError(`a filter loads by mode ${mode}`);
  }
}

function arithmetic(operation: number, a: number, b: number): number {
  switch (operation) {
    case BPF_ADD:
      return (a + b) >>> 0;
    case BPF_SUB:
      return (a - b) >>> 0;
    case BPF_MUL:
      return Math.imul(a, b) >>> 0;
    case BPF_DIV:
      return Math.floor(a / b);
    case BPF_OR:
      return (a | b) >>> 0;
    case BPF_AND:
      return (a & b) >>> 0;
    case BPF_XOR:
      return (a ^ b) >>> 0;
    case BPF_LSH:
      return (a << (b & 31)) >>> 0;
    case BPF_RSH:
      return a >>> (b & 31);
    case BPF_NEG:
      return -a >>> 0;
    default:
      throw new InternalError(`a filter calculates by ${operation}`);
  }
}

function jumps(comparison: number, a: number, b: number): boolean {
  switch (comparison) {
    case BPF_JEQ:
      return a === b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) !== 0;
  }
}
