import { HEADER_WORDS, type Place, type Program } from '../program/instruction.js';
import { type Layout, layoutOf, link, offsetOf } from '../program/link.js';
import type { Binding } from './binding.js';
import { Memory } from './memory.js';

/** A program in memory of its own, ready to run in this process as often as wanted. */
export class LoadedProgram {
  readonly memory: Memory;
  readonly #layout: Layout;
  readonly #entry: number;

  constructor({ machine, run, functions }: Binding, program: Program) {
    const { wordSize } = machine;
    this.memory = new Memory(run, wordSize, layoutOf(program, wordSize).size);
    this.#layout = link(program, machine, this.memory.address, this.memory.bytes, functions);
    this.#entry = HEADER_WORDS * wordSize;
  }

  /** Byte offset of a place in this memory, by which its words are set and read. */
  at(place: Place): number {
    return offsetOf(place, this.#layout, this.memory.wordSize);
  }

  /** Address of a place. */
  address(place: Place): number {
    return this.memory.address + this.at(place);
  }

  run(): void {
    this.memory.run(this.#entry);
  }
}
