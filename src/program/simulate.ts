import { InternalError } from '../errors.js';
import { HEADER_WORDS, INSTRUCTION_WORDS, OP, WORD } from './instruction.js';

/** Bytes that stand at an address. Words are unsigned BigInts: exact, and all 64 bits of them. */
export class SimulatedMemory {
  readonly bytes: Uint8Array;
  readonly base: bigint;
  readonly wordSize: 4 | 8;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, base: number, wordSize: 4 | 8) {
    this.bytes = bytes;
    this.base = BigInt(base);
    this.wordSize = wordSize;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  load(address: bigint): bigint {
    const at = this.#at(address, this.wordSize);
    return this.wordSize === 8
      ? this.#view.getBigUint64(at, true)
      : BigInt(this.#view.getUint32(at, true));
  }

  store(address: bigint, value: bigint): void {
    const at = this.#at(address, this.wordSize);
    if (this.wordSize === 8) this.#view.setBigUint64(at, this.unsigned(value), true);
    else this.#view.setUint32(at, Number(this.unsigned(value)), true);
  }

  /** The bytes at an address, for a kernel that reads or writes them. */
  slice(address: bigint, length: number): Uint8Array {
    const at = this.#at(address, length);
    return this.bytes.subarray(at, at + length);
  }

  /** The string at an address, up to its NUL. */
  string(address: bigint): string {
    const at = this.#at(address, 1);
    const end = this.bytes.indexOf(0, at);
    if (end < 0) throw new InternalError('a string does not end');
    return new TextDecoder().decode(this.bytes.subarray(at, end));
  }

  /** A word as a number without, and with, a sign. */
  unsigned(value: bigint): bigint {
    return BigInt.asUintN(this.wordSize * 8, value);
  }

  signed(value: bigint): bigint {
    return BigInt.asIntN(this.wordSize * 8, value);
  }

  #at(address: bigint, length: number): number {
    const at = address - this.base;
    if (at < 0n || at + BigInt(length) > BigInt(this.bytes.length)) {
      throw new InternalError(
        `the program touches 0x${address.toString(16)}, which is not its own`,
      );
    }
    return Number(at);
  }
}

/** What the program's system calls do. */
export interface SimulatedKernel {
  /**
   * The result, where [-4095, -1] is a negated error number; null if the call does not return,
   * because the process has ended or is another program now.
   */
  syscall(number: number, args: readonly bigint[], memory: SimulatedMemory): bigint | null;
  /** What `call` does. Only the binding has it: without it `call`, `halt`, `clone` are errors. */
  call?(address: bigint, args: readonly bigint[], memory: SimulatedMemory): bigint;
}

export interface SimulationEnd {
  /** `halt`: the program halted. `syscall`: a system call did not return. */
  readonly by: 'halt' | 'syscall';
  /** Index of the last instruction. */
  readonly index: number;
  /** How many instructions were run. */
  readonly steps: number;
}

/**
 * The reference interpreter: runs a linked program by the contract in `instruction.ts`, word by
 * word. Throws InternalError where the contract leaves a program without a meaning: a word outside
 * of its memory, an unknown operation, an instruction that is none; or after `limit` instructions.
 */
export function simulate(
  memory: SimulatedMemory,
  kernel: SimulatedKernel,
  limit = 100_000,
): SimulationEnd {
  const { base, wordSize } = memory;
  const first = base + BigInt(HEADER_WORDS * wordSize);
  const stride = BigInt(INSTRUCTION_WORDS * wordSize);
  let instruction = first;
  const at = (word: number): bigint => instruction + BigInt(word * wordSize);
  const word = (index: number): bigint => memory.load(at(index));
  const argument = (index: number): bigint => word(WORD.argument + index);
  const args = (): bigint[] => [0, 1, 2, 3, 4, 5].map(argument);
  const result = (): bigint => word(WORD.result);

  for (let steps = 1; steps <= limit; steps++) {
    if (instruction < first || (instruction - first) % stride !== 0n) {
      throw new InternalError(`there is no instruction at 0x${instruction.toString(16)}`);
    }
    const index = Number((instruction - first) / stride);
    const op = Number(word(WORD.op));
    let next = instruction + stride;
    switch (op) {
      case OP.clone:
      case OP.syscall: {
        if (op === OP.clone && kernel.call === undefined) {
          throw new InternalError('only the binding can go on in two processes');
        }
        const value = kernel.syscall(Number(word(WORD.number)), args(), memory);
        if (value === null) return { by: 'syscall', index, steps };
        if (op === OP.clone && value === 0n) {
          next = argument(5);
          break;
        }
        memory.store(result(), value);
        const signed = memory.signed(value);
        if (signed >= -4095n && signed <= -1n) {
          next = word(WORD.target);
          memory.store(next + BigInt(WORD.failedAt * wordSize), instruction);
          memory.store(next + BigInt(WORD.failedWith * wordSize), value);
        }
        break;
      }
      case OP.branch:
        if (memory.load(argument(0)) === argument(1)) next = word(WORD.target);
        break;
      case OP.copy:
        memory.store(result(), memory.load(argument(0)));
        break;
      case OP.add:
        memory.store(result(), memory.load(result()) + argument(0));
        break;
      case OP.call:
        if (kernel.call === undefined) throw new InternalError('only the binding can call');
        memory.store(result(), kernel.call(word(WORD.number), args(), memory));
        break;
      case OP.halt:
        if (kernel.call === undefined) throw new InternalError('only the binding can halt');
        return { by: 'halt', index, steps };
      default:
        throw new InternalError(`there is no operation ${op}`);
    }
    instruction = next;
  }
  throw new InternalError(`the program did not end after ${limit} instructions`);
}
