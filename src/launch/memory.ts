import { HEADER, HEADER_WORDS, OP } from '../program/instruction.js';

/** Runs the program in a buffer: what the native binding exports. */
export type Run = (memory: ArrayBuffer) => void;

/**
 * Memory outside the JavaScript heap whose address is known, for programs and what they point to.
 * Words are written and read as numbers: exact below 2^53, and for small negative ones.
 */
export class Memory {
  readonly buffer: ArrayBuffer;
  readonly bytes: Buffer;
  readonly address: number;
  readonly wordSize: 4 | 8;
  readonly #u32: Uint32Array;
  readonly #i32: Int32Array;
  readonly #run: Run;

  constructor(run: Run, wordSize: 4 | 8, size: number) {
    this.#run = run;
    this.wordSize = wordSize;
    this.buffer = new ArrayBuffer(Math.ceil(size / 16) * 16 + 256);
    this.bytes = Buffer.from(this.buffer);
    this.#u32 = new Uint32Array(this.buffer);
    this.#i32 = new Int32Array(this.buffer);
    // A program that only halts: the binding leaves the address in its header.
    const entry = HEADER_WORDS * wordSize;
    this.setWord(entry, OP.halt);
    this.run(entry);
    this.address = this.word(HEADER.self * wordSize);
    this.setWord(entry, 0);
  }

  /** Runs the program in this memory from the instruction at byte `entry`. */
  run(entry: number): void {
    this.setWord(HEADER.entry * this.wordSize, entry);
    this.#run(this.buffer);
  }

  /** The unsigned word at byte `at`, which must be a multiple of 4. */
  word(at: number): number {
    const low = this.#u32[at >> 2] as number;
    return this.wordSize === 4 ? low : low + (this.#u32[(at >> 2) + 1] as number) * 0x100000000;
  }

  /** The signed word at byte `at`: a result. */
  signedWord(at: number): number {
    if (this.wordSize === 4) return this.#i32[at >> 2] as number;
    return (this.#u32[at >> 2] as number) + (this.#i32[(at >> 2) + 1] as number) * 0x100000000;
  }

  setWord(at: number, value: number): void {
    this.#u32[at >> 2] = value;
    if (this.wordSize === 8) {
      this.#u32[(at >> 2) + 1] =
        value >= 0 && value <= 0xffffffff ? 0 : Math.floor(value / 0x100000000);
    }
  }

  int32(at: number): number {
    return this.#i32[at >> 2] as number;
  }

  setInt32(at: number, value: number): void {
    this.#i32[at >> 2] = value;
  }
}
