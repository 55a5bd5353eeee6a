import { UnsupportedError } from '../errors.js';
import { ProgramBuilder } from '../program/builder.js';
import { HEADER_WORDS, OP, WORD } from '../program/instruction.js';
import type { Binding } from './binding.js';
import { LoadedProgram } from './loaded-program.js';

const SCRATCH_SIZE = 16384;

const encoder = new TextEncoder();

/**
 * Single system calls of this thread, for all that is not worth a program. Results are raw: a
 * value in [-4095, -1] is a negated error number.
 */
export class Kernel {
  readonly binding: Binding;
  /** Where arguments that are pointers can point to; `scratchAt` is its offset in `memory`. */
  readonly scratch: Uint8Array;
  readonly scratchAddress: number;
  readonly scratchAt: number;
  readonly #program: LoadedProgram;
  readonly #result: number;

  constructor(binding: Binding) {
    this.binding = binding;
    const b = new ProgramBuilder(binding.machine.wordSize);
    const result = b.words(0);
    const scratch = b.reserve(SCRATCH_SIZE, 16);
    b.syscall('getpid', [], { result });
    b.halt();
    this.#program = new LoadedProgram(binding, b.build());
    this.#result = this.#program.at(result);
    this.scratchAt = this.#program.at(scratch);
    this.scratchAddress = this.#program.address(scratch);
    this.scratch = this.#program.memory.bytes.subarray(
      this.scratchAt,
      this.scratchAt + SCRATCH_SIZE,
    );
  }

  get memory() {
    return this.#program.memory;
  }

  /** A system call. */
  call(name: string, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    const number = this.binding.machine.syscallNumber(name);
    return this.#invoke(OP.syscall, number, a0, a1, a2, a3, a4, a5);
  }

  /** A function of the host. What it returns is taken for an address. */
  callFunction(name: string, a0 = 0, a1 = 0, a2 = 0, a3 = 0): number {
    const address = this.binding.functions.get(name);
    if (!address) throw new UnsupportedError(`this host does not export ${name}`, name);
    return this.#invoke(OP.call, address, a0, a1, a2, a3, 0, 0, true);
  }

  /** The word at an address. */
  load(address: number): number {
    return this.#invoke(OP.copy, 0, address, 0, 0, 0, 0, 0, true);
  }

  /** Writes the word at an address. */
  store(address: number, value: number): void {
    const { memory } = this;
    memory.setWord(this.scratchAt, value);
    this.callFunction('memcpy', address, this.scratchAddress, memory.wordSize);
  }

  /** Copies bytes to an address outside this memory. */
  copyOut(bytes: Uint8Array, address: number): void {
    for (let at = 0; at < bytes.length; at += this.scratch.length) {
      const part = bytes.subarray(at, at + this.scratch.length);
      this.scratch.set(part);
      this.callFunction('memcpy', address + at, this.scratchAddress, part.length);
    }
  }

  #invoke(
    op: number,
    number: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    a4: number,
    a5: number,
    unsigned = false,
  ): number {
    const { memory } = this.#program;
    const { wordSize } = memory;
    const first = HEADER_WORDS * wordSize;
    const argument = first + WORD.argument * wordSize;
    memory.setWord(first + WORD.op * wordSize, op);
    memory.setWord(first + WORD.number * wordSize, number);
    memory.setWord(argument, a0);
    memory.setWord(argument + wordSize, a1);
    memory.setWord(argument + 2 * wordSize, a2);
    memory.setWord(argument + 3 * wordSize, a3);
    memory.setWord(argument + 4 * wordSize, a4);
    memory.setWord(argument + 5 * wordSize, a5);
    this.#program.run();
    return unsigned ? memory.word(this.#result) : memory.signedWord(this.#result);
  }

  /** Writes a string that ends with NUL into the scratch memory and gives its address. */
  string(text: string, offset = 0): number {
    const { written } = encoder.encodeInto(text, this.scratch.subarray(offset));
    this.scratch[offset + written] = 0;
    return this.scratchAddress + offset;
  }
}
