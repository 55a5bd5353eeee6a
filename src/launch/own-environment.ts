import { ProgramBuilder } from '../program/builder.js';
import { type Place, WORD } from '../program/instruction.js';
import type { Kernel } from './kernel.js';
import { LoadedProgram } from './loaded-program.js';
import { Memory } from './memory.js';

/** How many strings there are, and how many bytes they take. */
export interface EnvironmentSize {
  readonly count: number;
  readonly bytes: number;
}

/** Strings for which there is room in the list at first. */
const ROOM = 256;

/**
 * This process's own environment, where libc keeps it. To go through `process.env` instead takes
 * longer than a whole launch.
 *
 * Other threads may set variables at any time, also between measuring and copying. So what was
 * measured is kept in a list, an address and a size for each string, and no more than that is copied.
 */
export class OwnEnvironment {
  readonly #kernel: Kernel;
  /** Address of libc's variable `environ`. */
  readonly #variable: number;
  #list: Memory;
  readonly #measure: LoadedProgram;
  readonly #measured: Readonly<Record<'end' | 'entry' | 'bytes' | 'full', number>>;
  readonly #copy: LoadedProgram;
  readonly #copied: Readonly<Record<'end' | 'entry' | 'vector' | 'strings', number>>;

  constructor(kernel: Kernel) {
    const { binding } = kernel;
    const { wordSize } = binding.machine;
    this.#kernel = kernel;
    this.#variable = binding.functions.get('environ') as number;
    this.#list = this.#listOf(ROOM);

    const m = new ProgramBuilder(wordSize);
    const [cursor, string, entry] = [m.words(0), m.words(0), m.words(0)];
    const [bytes, full] = [m.words(0), m.words(0)];
    const [measured, noRoom] = [m.label('measured'), m.label('no room')];
    const append = (word: Place): void => {
      m.copy(entry, m.wordOf(m.position + 1, WORD.result));
      m.copy(word, 0);
      m.add(wordSize, entry);
    };
    m.copy(this.#variable, cursor);
    m.branchIfEqual(cursor, 0, measured);
    const next = m.here('next');
    m.copy(cursor, m.argumentOf(m.position + 1, 0));
    m.copy(0, string);
    m.branchIfEqual(string, 0, measured);
    const end = m.branchIfEqual(entry, 0, noRoom);
    append(string);
    const size = m.words(0);
    m.copy(string, m.argumentOf(m.position + 1, 0));
    m.call('strlen', [0], { result: size });
    m.add(1, size);
    append(size);
    m.copy(size, m.argumentOf(m.position + 1, 0));
    m.add(0, bytes);
    m.add(wordSize, cursor);
    m.jump(next);
    m.place(noRoom);
    m.copy(m.words(1), full);
    m.place(measured);
    m.halt();
    const measure = new LoadedProgram(binding, m.build());
    this.#measure = measure;
    this.#measured = {
      end: measure.at(m.argumentOf(end, 1)),
      entry: measure.at(entry),
      bytes: measure.at(bytes),
      full: measure.at(full),
    };

    const c = new ProgramBuilder(wordSize);
    const [from, vector, strings] = [c.words(0), c.words(0), c.words(0)];
    const done = c.label('copied');
    const take = (to: Place): void => {
      c.copy(from, c.argumentOf(c.position + 1, 0));
      c.copy(0, to);
      c.add(wordSize, from);
    };
    const toVector = (word: Place): void => {
      c.copy(vector, c.wordOf(c.position + 1, WORD.result));
      c.copy(word, 0);
      c.add(wordSize, vector);
    };
    const again = c.here('next');
    const last = c.branchIfEqual(from, 0, done);
    toVector(strings);
    // Two entries of three instructions, and one for where it goes, stand before the call.
    const call = c.position + 7;
    take(c.argumentOf(call, 1));
    take(c.argumentOf(call, 2));
    c.copy(strings, c.argumentOf(call, 0));
    c.call('memcpy', [0, 0, 0]);
    c.copy(c.argumentOf(call, 2), c.argumentOf(c.position + 1, 0));
    c.add(0, strings);
    c.jump(again);
    c.place(done);
    toVector(c.words(0));
    c.halt();
    const copy = new LoadedProgram(binding, c.build());
    this.#copy = copy;
    this.#copied = {
      end: copy.at(c.argumentOf(last, 1)),
      entry: copy.at(from),
      vector: copy.at(vector),
      strings: copy.at(strings),
    };
  }

  /** Address of the vector as it stands. Setting a variable changes, and may free it. */
  get vector(): number {
    return this.#kernel.load(this.#variable);
  }

  measure(): EnvironmentSize {
    const { memory } = this.#measure;
    const { end, entry, bytes, full } = this.#measured;
    for (;;) {
      const { address } = this.#list;
      memory.setWord(end, address + this.#list.bytes.length);
      memory.setWord(entry, address);
      memory.setWord(bytes, 0);
      memory.setWord(full, 0);
      this.#measure.run();
      if (memory.word(full) === 0) {
        const count = (memory.word(entry) - address) / (2 * memory.wordSize);
        return { count, bytes: memory.word(bytes) };
      }
      this.#list = this.#listOf(this.#list.bytes.length / memory.wordSize);
    }
  }

  /**
   * Writes what was measured last: a vector of `count` words and a last one of 0, and behind it
   * `bytes` bytes of strings.
   */
  copyTo(address: number, { count }: EnvironmentSize): void {
    const { memory } = this.#copy;
    const { end, entry, vector, strings } = this.#copied;
    memory.setWord(end, this.#list.address + count * 2 * memory.wordSize);
    memory.setWord(entry, this.#list.address);
    memory.setWord(vector, address);
    memory.setWord(strings, address + (count + 1) * memory.wordSize);
    this.#copy.run();
  }

  #listOf(strings: number): Memory {
    const { run, machine } = this.#kernel.binding;
    return new Memory(run, machine.wordSize, strings * 2 * machine.wordSize);
  }
}
