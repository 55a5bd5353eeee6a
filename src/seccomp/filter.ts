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
  BPF_JSET,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LEN,
  BPF_LSH,
  BPF_MAXINSNS,
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
  BPF_TXA,
  BPF_W,
  BPF_X,
  BPF_XOR,
} from '../plan/constants.js';

/** An instruction of classic BPF: struct sock_filter. Jumps count from the next instruction. */
export interface BpfInstruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

export type Filter = readonly BpfInstruction[];

/** Size of a struct sock_filter in bytes. */
export const SOCK_FILTER_SIZE = 8;
/** Size of a struct seccomp_data in bytes: nr, arch, instruction pointer, six arguments. */
export const SECCOMP_DATA_SIZE = 64;
/** Offsets in it. The low half of a 64-bit argument comes first on all machines here. */
export const NR = 0;
export const ARCH = 4;
export const argumentOffset = (index: number, high: boolean): number =>
  16 + 8 * index + (high ? 4 : 0);

export function encodeFilter(filter: Filter): Uint8Array {
  const bytes = new Uint8Array(filter.length * SOCK_FILTER_SIZE);
  const view = new DataView(bytes.buffer);
  filter.forEach(({ code, jt, jf, k }, i) => {
    const at = i * SOCK_FILTER_SIZE;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  });
  return bytes;
}

/** What bytes hold, the length being a multiple of an instruction's. */
export function decodeFilter(bytes: Uint8Array): Filter {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / SOCK_FILTER_SIZE }, (_, i) => {
    const at = i * SOCK_FILTER_SIZE;
    return {
      code: view.getUint16(at, true),
      jt: view.getUint8(at + 2),
      jf: view.getUint8(at + 3),
      k: view.getUint32(at + 4, true),
    };
  });
}

const ARITHMETIC = [BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH];
const CONDITIONAL = [BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET];

/** What a filter of seccomp(2) may consist of. */
const CODES: ReadonlySet<number> = new Set([
  BPF_LD | BPF_W | BPF_ABS,
  ...[BPF_LD, BPF_LDX].flatMap((load) => [load | BPF_W | BPF_LEN, load | BPF_IMM, load | BPF_MEM]),
  BPF_ST,
  BPF_STX,
  BPF_RET | BPF_K,
  BPF_RET | BPF_A,
  BPF_MISC | BPF_TAX,
  BPF_MISC | BPF_TXA,
  BPF_JMP | BPF_JA,
  BPF_ALU | BPF_NEG,
  ...[BPF_K, BPF_X].flatMap((source) => [
    ...ARITHMETIC.map((operation) => BPF_ALU | operation | source),
    ...CONDITIONAL.map((operation) => BPF_JMP | operation | source),
  ]),
]);

/** What the kernel has against a filter, or null: bpf_check_classic() and seccomp_check_filter(). */
export function filterFault(filter: Filter): string | null {
  if (filter.length === 0) return 'has no instructions';
  if (filter.length > BPF_MAXINSNS) {
    return `has ${filter.length} instructions, more than ${BPF_MAXINSNS}`;
  }
  // Words of the scratch memory that have been stored on every way to an instruction.
  const stored: number[] = Array(filter.length).fill(0xffff);
  let reached = 0;
  for (const [pc, { code, jt, jf, k }] of filter.entries()) {
    const fault = (what: string): string => `${what} in instruction ${pc}`;
    if (!CODES.has(code))
      return fault(`has an operation 0x${code.toString(16)} that is not allowed`);
    reached &= stored[pc] as number;
    const to = (distance: number): boolean => {
      const target = pc + 1 + distance;
      if (target >= filter.length) return false;
      stored[target] = (stored[target] as number) & reached;
      return true;
    };
    switch (code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (k % 4 !== 0 || k >= SECCOMP_DATA_SIZE) return fault(`loads from offset ${k}`);
        break;
      case BPF_LD | BPF_MEM:
      case BPF_LDX | BPF_MEM:
        if (k >= BPF_MEMWORDS || !(reached & (1 << k))) return fault(`loads unset memory ${k}`);
        break;
      case BPF_ST:
      case BPF_STX:
        if (k >= BPF_MEMWORDS) return fault(`stores to memory ${k}`);
        reached |= 1 << k;
        break;
      case BPF_ALU | BPF_DIV | BPF_K:
        if (k === 0) return fault('divides by zero');
        break;
      case BPF_ALU | BPF_LSH | BPF_K:
      case BPF_ALU | BPF_RSH | BPF_K:
        if (k >= 32) return fault(`shifts by ${k}`);
        break;
      case BPF_JMP | BPF_JA:
        if (!to(k)) return fault('jumps behind the end');
        reached = 0xffff;
        break;
      default:
        if ((code & 7) !== BPF_JMP) break;
        if (!to(jt) || !to(jf)) return fault('jumps behind the end');
        reached = 0xffff;
    }
  }
  const { code } = filter[filter.length - 1] as BpfInstruction;
  return (code & 7) === BPF_RET ? null : 'does not end with a return';
}
