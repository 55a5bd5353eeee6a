import { type ArgumentKind, SYSCALL_ARGUMENTS } from './arguments.js';
import {
  INSTRUCTION_WORDS,
  type Instruction,
  type Label,
  type Operand,
  type Operation,
  type Place,
  type Program,
  type StepName,
  WORD,
} from './instruction.js';
import { errorText, stringText } from './value-text.js';

/**
 * The textual form of programs, one line an instruction, in the manner of strace(1):
 *
 *     [12] again: fcntl(i12.a0, F_SETFD, 0) = data16 ?-> fail  ; descriptors
 *
 * `data16` is the word at byte 16 of the data, `i12.a0` the first argument of instruction 12,
 * `&` takes an address, `[...]` is what is at an address known only at run time. An argument that
 * other instructions or the program's user fill in is written by its name; so is a word of the
 * data, unless nothing ever changes it. `?->` says where an error leads; without it the next
 * instruction follows.
 */

export interface ExplainOptions {
  readonly wordSize: 4 | 8;
  /** Names for places: words that the program's user sets or reads. */
  readonly names?: Readonly<Record<string, Place | readonly Place[] | null>> | undefined;
  /** Numbers in the program that stand for what is known only at run time. */
  readonly symbols?: ReadonlyMap<number, string> | undefined;
}

/** An operand, and how it is written. */
export interface ExplainedOperand {
  readonly text: string;
  readonly value: Operand;
}

/** One instruction, as plain data. Without an operand, a target or a step these are null. */
export interface ExplainedInstruction {
  readonly index: number;
  readonly labels: readonly string[];
  readonly op: Operation;
  /** Of the system call or of the function; empty for other operations. */
  readonly name: string;
  readonly args: readonly ExplainedOperand[];
  readonly result: ExplainedOperand | null;
  /** Index of the instruction to which an error leads, or a branch. */
  readonly target: number | null;
  readonly step: StepName | null;
  /** The line, without index, labels and step. */
  readonly text: string;
}

/** A word that holds an address when the program starts. */
export interface ExplainedPointer {
  readonly word: string;
  readonly text: string;
}

export interface ExplainedProgram {
  readonly instructions: readonly ExplainedInstruction[];
  readonly pointers: readonly ExplainedPointer[];
}

/** A program as plain objects, which JSON can hold. */
export function explain(program: Program, options: ExplainOptions): ExplainedProgram {
  const explainer = new Explainer(program, options);
  return {
    instructions: program.instructions.map((_, index) => explainer.instruction(index)),
    pointers: explainer.pointers(),
  };
}

/** The lines of an explained program: instructions, then words that start as an address. */
export function formatProgram({ instructions, pointers }: ExplainedProgram): string {
  const width = String(instructions.length - 1).length;
  const lines = instructions.map(({ index, labels, text, step }) => {
    const label = labels.map((name) => `${name}: `).join('');
    return `[${String(index).padStart(width)}] ${label}${text}${stepText(step)}`;
  });
  for (const { word, text } of pointers) lines.push(`${word}: ${text}`);
  return lines.map((line) => `${line}\n`).join('');
}

function stepText(step: StepName | null): string {
  if (step === null) return '';
  const path = step.path === undefined ? '' : ` ${JSON.stringify(step.path)}`;
  const fd = step.fd === undefined ? '' : ` fd ${step.fd}`;
  return `  ; ${step.step}${path}${fd}`;
}

const WORD_NAMES: readonly string[] = Object.keys(WORD).flatMap((name) =>
  name === 'argument' ? ['a0', 'a1', 'a2', 'a3', 'a4', 'a5'] : [name],
);

const NO_KIND: ArgumentKind = {};

const keyOf = ({ section, offset }: Place): string => `${section} ${offset}`;

class Explainer {
  readonly #program: Program;
  readonly #wordSize: 4 | 8;
  readonly #names = new Map<string, string>();
  readonly #symbols: ReadonlyMap<number, string>;
  readonly #labels = new Map<number, string[]>();
  /** Places whose first contents say nothing, because something writes there. */
  readonly #written = new Set<string>();
  readonly #pointers = new Map<number, Place>();

  constructor(program: Program, { wordSize, names = {}, symbols = new Map() }: ExplainOptions) {
    this.#program = program;
    this.#wordSize = wordSize;
    this.#symbols = symbols;
    for (const [name, place] of Object.entries(names)) {
      if (place === null) continue;
      for (const each of 'section' in place ? [place] : place) {
        this.#names.set(keyOf(each), name);
        this.#written.add(keyOf(each));
      }
    }
    for (const [label, name] of program.names) {
      this.#labels.set(label.index, [...(this.#labels.get(label.index) ?? []), name]);
    }
    for (const { at, place } of program.pointers) this.#pointers.set(at, place);
    for (const { op, name, args, result } of program.instructions) {
      if (result !== null && typeof result !== 'number') this.#written.add(keyOf(result));
      if (op !== 'syscall') continue;
      args.forEach((argument, i) => {
        const { out, size = 1 } = kindOf(name, i);
        if (typeof argument === 'number' || !out) return;
        for (let at = 0; at < size; at += 4) {
          this.#written.add(keyOf({ ...argument, offset: argument.offset + at }));
        }
      });
    }
  }

  instruction(index: number): ExplainedInstruction {
    const instruction = this.#program.instructions[index] as Instruction;
    const { op, name, args, result, target, step } = instruction;
    const labels = this.#labels.get(index) ?? [];
    const explained = args.map((value, i) => ({ text: this.#argument(index, i), value }));
    return {
      index,
      labels,
      op,
      name,
      args: explained,
      result: result === null ? null : { text: this.#result(index, result), value: result },
      target: target === null ? null : target.index,
      step,
      text: this.#text(index, instruction),
    };
  }

  /** The words of the data that hold addresses, and the arguments that start as one. */
  pointers(): ExplainedPointer[] {
    const { instructions, pointers } = this.#program;
    const code = instructions.flatMap(({ args }, index) =>
      args.flatMap((value, n) => {
        if (typeof value === 'number' || !this.#isWritten(index, n)) return [];
        return [{ word: this.#word(argumentPlace(index, n)), text: this.#address(value) }];
      }),
    );
    const data = pointers.map(({ at, place }) => ({
      word: this.#word({ section: 'data', offset: at }),
      text: this.#address(place),
    }));
    return [...code, ...data];
  }

  /** What an address is written as. */
  #address(place: Place, kind = NO_KIND, args: readonly Operand[] = []): string {
    return this.#contents(place, kind, args) ?? `&${this.#word(place)}`;
  }

  #text(index: number, { op, name, args, result, target, child }: Instruction): string {
    const to = target === null ? '' : this.#target(index, target);
    switch (op) {
      case 'syscall':
      case 'clone':
      case 'call': {
        const list = args.map((_, i) => this.#argument(index, i)).join(', ');
        const stored = result === null ? '' : ` = ${this.#result(index, result)}`;
        const prefix = op === 'call' ? 'call ' : '';
        const forked = child === null ? '' : ` child-> ${this.#target(index, child)}`;
        return `${prefix}${name}(${list})${stored}${forked}${to === '' ? '' : ` ?-> ${to}`}`;
      }
      case 'branch': {
        const [address, value] = args;
        const own = { section: 'code', offset: index * INSTRUCTION_WORDS + WORD.argument + 1 };
        const itself = typeof address === 'object' && keyOf(address) === keyOf(own as Place);
        if (itself && value === 0) return `goto ${to}`;
        const error = typeof value === 'number' && !this.#isWritten(index, 1) && errorText(value);
        return `if ${this.#load(index)} == ${error || this.#argument(index, 1)} goto ${to}`;
      }
      case 'copy':
        return `${this.#result(index, result as Operand)} = ${this.#load(index)}`;
      case 'add': {
        const [value] = args;
        const negative = typeof value === 'number' && value < 0 && !this.#isWritten(index, 0);
        const [sign, amount] = negative ? ['-', String(-value)] : ['+', this.#argument(index, 0)];
        return `${this.#result(index, result as Operand)} ${sign}= ${amount}`;
      }
      case 'halt':
        return 'halt';
    }
  }

  /** The n-th argument, as the value that the instruction gets. */
  #argument(index: number, n: number): string {
    const { op, name, args } = this.#program.instructions[index] as Instruction;
    const value = args[n] as Operand;
    if (this.#isWritten(index, n)) return this.#word(argumentPlace(index, n));
    const kind = op === 'syscall' || op === 'clone' ? kindOf(name, n) : NO_KIND;
    if (typeof value !== 'number') return this.#address(value, kind, args);
    return this.#symbols.get(value) ?? kind.number?.(value, args) ?? numberText(value);
  }

  /** The word at the address that is the first argument. */
  #load(index: number): string {
    const [address] = (this.#program.instructions[index] as Instruction).args;
    if (typeof address === 'number' || this.#isWritten(index, 0)) {
      return `[${this.#argument(index, 0)}]`;
    }
    return this.#constant(address as Place) ?? this.#word(address as Place);
  }

  /** What a word of the data holds, if nothing changes it. */
  #constant(place: Place): string | null {
    const { section, offset } = place;
    if (section !== 'data' || this.#written.has(keyOf(place))) return null;
    const pointer = this.#pointers.get(offset);
    if (pointer !== undefined) return this.#address(pointer);
    const { data } = this.#program;
    if (offset + this.#wordSize > data.length) return null;
    const view = new DataView(data.buffer, data.byteOffset + offset, this.#wordSize);
    return numberText(
      this.#wordSize === 8 ? Number(view.getBigInt64(0, true)) : view.getInt32(0, true),
    );
  }

  #result(index: number, result: Operand): string {
    const own: Place = { section: 'code', offset: index * INSTRUCTION_WORDS + WORD.result };
    if (this.#written.has(keyOf(own))) return `[${this.#word(own)}]`;
    if (typeof result === 'object') return this.#word(result);
    return `[${this.#symbols.get(result) ?? numberText(result)}]`;
  }

  #isWritten(index: number, argument: number): boolean {
    return this.#written.has(keyOf(argumentPlace(index, argument)));
  }

  /** The name of a word. */
  #word(place: Place): string {
    const name = this.#names.get(keyOf(place));
    if (name !== undefined) return name;
    const { section, offset } = place;
    if (section !== 'code') return `${section}${offset}`;
    const word = WORD_NAMES[offset % INSTRUCTION_WORDS] as string;
    return `i${Math.floor(offset / INSTRUCTION_WORDS)}.${word}`;
  }

  #target(index: number, label: Label): string {
    const own: Place = { section: 'code', offset: index * INSTRUCTION_WORDS + WORD.target };
    if (this.#written.has(keyOf(own))) return this.#word(own);
    const name = this.#program.names.get(label) ?? this.#labels.get(label.index)?.[0];
    return name ?? `[${label.index}]`;
  }

  /** What the data at a place holds, if it stays so and can be written out. */
  #contents(place: Place, kind: ArgumentKind, args: readonly Operand[]): string | null {
    const { section, offset } = place;
    if (section !== 'data' || kind.out || this.#written.has(keyOf(place))) return null;
    if (this.#pointers.has(offset)) return null;
    const { data } = this.#program;
    if (offset >= data.length) return null;
    const view = new DataView(data.buffer, data.byteOffset + offset, data.length - offset);
    if (kind.data !== undefined) return kind.data(view, this.#wordSize, args);
    const text = stringText(view);
    // Any zero word would be an empty string; and what has escapes in it is hardly text.
    return text === null || text === '""' || text.includes('\\') ? null : text;
  }
}

function argumentPlace(index: number, argument: number): Place {
  return { section: 'code', offset: index * INSTRUCTION_WORDS + WORD.argument + argument };
}

function kindOf(syscall: string, argument: number): ArgumentKind {
  const kinds = Object.hasOwn(SYSCALL_ARGUMENTS, syscall) ? SYSCALL_ARGUMENTS[syscall] : undefined;
  return kinds?.[argument] ?? NO_KIND;
}

/** Small numbers as they are, addresses and the like in hexadecimal. */
function numberText(value: number): string {
  return value > 0xffff ? `0x${value.toString(16)}` : String(value);
}
