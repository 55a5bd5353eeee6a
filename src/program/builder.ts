import { InternalError } from '../errors.js';
import {
  INSTRUCTION_WORDS,
  type Instruction,
  type Label,
  type Operand,
  type Place,
  type Program,
  type StepName,
  WORD,
} from './instruction.js';

const encoder = new TextEncoder();

/** What data can be aligned to: the linker puts all of it at a multiple of 16. */
const ALIGNMENTS: ReadonlySet<number> = new Set([1, 2, 4, 8, 16]);

/** Options of a syscall or call instruction. */
export interface CallOptions {
  readonly result?: Place | number | undefined;
  /** Where to go on after an error. Without it an error is ignored. */
  readonly onError?: Label | undefined;
  readonly step?: StepName | undefined;
}

/** Writes a program: instructions, labels, and the data that they point to. */
export class ProgramBuilder {
  readonly #instructions: Instruction[] = [];
  readonly #pointers: { at: number; place: Place }[] = [];
  readonly #names = new Map<Label, string>();
  readonly wordSize: 4 | 8;
  #data: Uint8Array;
  #view: DataView;
  #used = 0;

  constructor(wordSize: 4 | 8) {
    this.wordSize = wordSize;
    this.#data = new Uint8Array(256);
    this.#view = new DataView(this.#data.buffer);
  }

  /** Index of the instruction that will be written next. */
  get position(): number {
    return this.#instructions.length;
  }

  label(name?: string): Label {
    const label = { index: -1 };
    if (name !== undefined) this.#names.set(label, name);
    return label;
  }

  place(label: Label): void {
    if (label.index !== -1) throw new InternalError('a label was placed twice');
    label.index = this.position;
  }

  /** A label at the current position. */
  here(name?: string): Label {
    const label = this.label(name);
    this.place(label);
    return label;
  }

  syscall(name: string, args: readonly Operand[], options?: CallOptions): number {
    return this.#push('syscall', name, args, options);
  }

  call(name: string, args: readonly Operand[], options?: CallOptions): number {
    return this.#push('call', name, args, options);
  }

  /** A system call of five arguments that makes a process, which goes on at `child`. */
  clone(name: string, args: readonly Operand[], child: Label, options?: CallOptions): number {
    return this.#push('clone', name, args, options, child);
  }

  branchIfEqual(address: Operand, value: Operand, target: Label): number {
    return this.#write('branch', '', [address, value], null, target, null);
  }

  /** Always taken: a branch whose own word is what it compares. */
  jump(target: Label): number {
    const own = this.wordOf(this.position, WORD.argument + 1);
    return this.#write('branch', '', [own, 0], null, target, null);
  }

  copy(from: Operand, to: Place | number): number {
    return this.#write('copy', '', [from], to, null, null);
  }

  add(value: Operand, to: Place | number): number {
    return this.#write('add', '', [value], to, null, null);
  }

  halt(): number {
    return this.#write('halt', '', [], null, null, null);
  }

  /** Lets the result of an instruction be stored at a place known only after it. */
  resultTo(index: number, place: Place): void {
    const instruction = this.#instructions[index];
    if (instruction === undefined) throw new InternalError('no such instruction');
    instruction.result = place;
  }

  /** A word of the instruction at `index`: an argument that another instruction fills in, say. */
  wordOf(index: number, word: number): Place {
    return { section: 'code', offset: index * INSTRUCTION_WORDS + word };
  }

  argumentOf(index: number, argument: number): Place {
    return this.wordOf(index, WORD.argument + argument);
  }

  header(word: number): Place {
    return { section: 'header', offset: word };
  }

  /** Room for `size` bytes, zero. `alignment` is a power of two up to 16: that of the data. */
  reserve(size: number, alignment: number = this.wordSize): Place {
    if (!Number.isSafeInteger(size) || size < 0 || !ALIGNMENTS.has(alignment)) {
      throw new InternalError(`no room for ${size} bytes at a multiple of ${alignment}`);
    }
    const offset = Math.ceil(this.#used / alignment) * alignment;
    this.#used = offset + size;
    if (this.#used > this.#data.length) {
      const grown = new Uint8Array(Math.max(this.#used, this.#data.length * 2));
      grown.set(this.#data);
      this.#data = grown;
      this.#view = new DataView(grown.buffer);
    }
    return { section: 'data', offset };
  }

  bytes(bytes: Uint8Array, alignment?: number): Place {
    const place = this.reserve(bytes.length, alignment);
    this.#data.set(bytes, place.offset);
    return place;
  }

  /** A string that ends with NUL. The caller has made sure that none is in it. */
  string(text: string): Place {
    const place = this.reserve(text.length * 3 + 1, 1);
    const { written } = encoder.encodeInto(text, this.#data.subarray(place.offset));
    this.#used = place.offset + written + 1;
    return place;
  }

  /** Consecutive words of the target's size, some of which may be addresses. */
  words(...values: Operand[]): Place {
    const place = this.reserve(values.length * this.wordSize);
    values.forEach((value, i) => {
      const at = place.offset + i * this.wordSize;
      if (typeof value !== 'number') this.#pointers.push({ at, place: value });
      else if (this.wordSize === 8 && Number.isSafeInteger(value)) {
        this.#view.setBigInt64(at, BigInt(value), true);
      } else if (value === (value | 0) || value === value >>> 0) {
        this.#view.setInt32(at, value, true);
      } else throw new InternalError(`${value} does not fit a word`);
    });
    return place;
  }

  build(): Program {
    return {
      instructions: this.#instructions,
      data: this.#data.subarray(0, this.#used),
      pointers: this.#pointers,
      names: this.#names,
    };
  }

  #push(
    op: 'syscall' | 'call' | 'clone',
    name: string,
    args: readonly Operand[],
    options?: CallOptions,
    child: Label | null = null,
  ): number {
    const { result = null, onError = null, step = null } = options ?? {};
    this.#instructions.push({ op, name, args, result, target: onError, child, step });
    return this.#instructions.length - 1;
  }

  #write(
    op: Instruction['op'],
    name: string,
    args: readonly Operand[],
    result: Place | number | null,
    target: Label | null,
    step: StepName | null,
  ): number {
    this.#instructions.push({ op, name, args, result, target, child: null, step });
    return this.#instructions.length - 1;
  }
}

/** The place `bytes` behind `place`. Of data only. */
export function offsetBy(place: Place, bytes: number): Place {
  if (place.section !== 'data') throw new InternalError('only data can be addressed by bytes');
  return { section: 'data', offset: place.offset + bytes };
}
