import { ProgramBuilder } from '../program/builder.js';
import { type Place, WORD } from '../program/instruction.js';
import type { Kernel } from './kernel.js';
import { LoadedProgram } from './loaded-program.js';

/** How many strings there are, and how many bytes they take. */
export interface EnvironmentSize {
  readonly count: number;
  readonly bytes: number;
}

/**
 * This process's own environment, where libc keeps it. To go through `process.env` instead takes
 * longer than a whole launch.
 */
export class OwnEnvironment {
  readonly #kernel: Kernel;
  /** Address of libc's variable `environ`. */
  readonly #variable: number;
  readonly #measure: LoadedProgram;
  readonly #size: { readonly count: number; readonly bytes: number };
  readonly #copy: LoadedProgram;
  readonly #to: { readonly vector: number; readonly strings: number };

  constructor(kernel: Kernel) {
    const { binding } = kernel;
    const { wordSize } = binding.machine;
    this.#kernel = kernel;
    this.#variable = binding.functions.get('environ') as number;

    const m = new ProgramBuilder(wordSize);
    const size = { count: m.words(0), bytes: m.words(0) };
    emitEach(m, this.#variable, (string) => {
      const length = m.position + 1;
      m.copy(string, m.argumentOf(length, 0));
      m.call('strlen', [0], { result: m.argumentOf(length + 1, 0) });
      m.add(0, size.bytes);
      m.add(1, size.bytes);
      m.add(1, size.count);
    });
    m.halt();
    this.#measure = new LoadedProgram(binding, m.build());
    this.#size = { count: this.#measure.at(size.count), bytes: this.#measure.at(size.bytes) };

    const c = new ProgramBuilder(wordSize);
    const to = { vector: c.words(0), strings: c.words(0) };
    const toVector = (word: Place): void => {
      c.copy(to.vector, c.wordOf(c.position + 1, WORD.result));
      c.copy(word, 0);
    };
    emitEach(c, this.#variable, (string) => {
      toVector(to.strings);
      c.copy(to.strings, c.argumentOf(c.position + 2, 0));
      c.copy(string, c.argumentOf(c.position + 1, 1));
      c.call('stpcpy', [0, 0], { result: to.strings });
      c.add(1, to.strings);
      c.add(wordSize, to.vector);
    });
    toVector(c.words(0));
    c.halt();
    this.#copy = new LoadedProgram(binding, c.build());
    this.#to = { vector: this.#copy.at(to.vector), strings: this.#copy.at(to.strings) };
  }

  /** Address of the vector as it stands. Setting a variable changes, and may free it. */
  get vector(): number {
    return this.#kernel.load(this.#variable);
  }

  measure(): EnvironmentSize {
    const { memory } = this.#measure;
    memory.setWord(this.#size.count, 0);
    memory.setWord(this.#size.bytes, 0);
    this.#measure.run();
    return { count: memory.word(this.#size.count), bytes: memory.word(this.#size.bytes) };
  }

  /** Writes a vector of `count` words and a last one of 0, and behind it the strings. */
  copyTo(address: number, { count }: EnvironmentSize): void {
    const { memory } = this.#copy;
    memory.setWord(this.#to.vector, address);
    memory.setWord(this.#to.strings, address + (count + 1) * memory.wordSize);
    this.#copy.run();
  }
}

/** Runs `body` for each string of a vector: it is given the word with the string's address. */
function emitEach(b: ProgramBuilder, variable: number, body: (string: Place) => void): void {
  const [cursor, string] = [b.words(0), b.words(0)];
  const done = b.label('done');
  b.copy(variable, cursor);
  b.branchIfEqual(cursor, 0, done);
  const again = b.here('each');
  b.copy(cursor, b.argumentOf(b.position + 1, 0));
  b.copy(0, string);
  b.branchIfEqual(string, 0, done);
  body(string);
  b.add(b.wordSize, cursor);
  b.jump(again);
  b.place(done);
}
