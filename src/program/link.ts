import { InternalError } from '../errors.js';
import {
  HEADER_WORDS,
  INSTRUCTION_WORDS,
  type Instruction,
  OP,
  type Operand,
  type Place,
  type Program,
  WORD,
} from './instruction.js';

/** The word of a clone that says where the new process goes on. */
const CHILD = WORD.argument + 5;

/** What the linker must know of a machine. */
export interface LinkTarget {
  readonly wordSize: 4 | 8;
  /** Number of a syscall; throws if the machine has none of that name. */
  syscallNumber(name: string): number;
}

/** Where the parts of a linked program are, in bytes from its start. */
export interface Layout {
  readonly code: number;
  /** One word that takes the results nobody asked for. */
  readonly scratch: number;
  readonly data: number;
  readonly size: number;
}

export function layoutOf(program: Program, wordSize: number): Layout {
  const code = HEADER_WORDS * wordSize;
  const scratch = code + program.instructions.length * INSTRUCTION_WORDS * wordSize;
  const data = alignUp(scratch + wordSize, 16);
  return { code, scratch, data, size: alignUp(data + program.data.length, wordSize) };
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** Offset of a place from the start of the linked program. */
export function offsetOf(place: Place, layout: Layout, wordSize: number): number {
  switch (place.section) {
    case 'header':
      return place.offset * wordSize;
    case 'code':
      return layout.code + place.offset * wordSize;
    case 'data':
      return layout.data + place.offset;
  }
}

/**
 * Writes `program` into `memory` as it has to stand when the start of `memory` is at address
 * `base`. `functions` gives the addresses of C functions; without it the program is one for a new
 * process, where `call`, `halt` and `clone` mean nothing.
 * `memory` must be aligned to 4 bytes and hold at least `layoutOf(program).size` bytes, `base` be
 * aligned to a word.
 *
 * What is linked cannot leave the program. Every address that is written points into the program's
 * own memory, unless it was given as a number; a word that is read or written there lies in it as a
 * whole; a target is an instruction; the last instruction is not followed by another; and no result
 * changes what an instruction does or where it leads. All else is an InternalError, and so is a
 * number that no word of the machine can hold.
 */
export function link(
  program: Program,
  target: LinkTarget,
  base: number,
  memory: Uint8Array,
  functions?: ReadonlyMap<string, number>,
): Layout {
  const { wordSize } = target;
  const layout = layoutOf(program, wordSize);
  if (memory.length < layout.size) throw new InternalError('the program does not fit its memory');
  if (memory.byteOffset % 4 !== 0) throw new InternalError('the memory is not aligned');
  checkEnd(program, functions === undefined);
  const words = new Uint32Array(memory.buffer, memory.byteOffset, layout.size >> 2);
  const wide = wordSize === 8;
  words.fill(0);

  const [lowest, highest] = wide
    ? [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
    : [-0x80000000, 0xffffffff];
  const put = (word: number, value: number): void => {
    if (!Number.isInteger(value) || value < lowest || value > highest) {
      throw new InternalError(`${value} does not fit a word`);
    }
    if (wide) {
      words[word * 2] = value | 0;
      words[word * 2 + 1] = value < 0 ? high(value) : value > 0xffffffff ? high(value) : 0;
    } else words[word] = value | 0;
  };
  const { instructions } = program;
  const limits = {
    header: HEADER_WORDS,
    code: instructions.length * INSTRUCTION_WORDS,
    data: program.data.length,
  };
  if (!(base >= 0 && base % wordSize === 0 && base + layout.size <= highest)) {
    throw new InternalError(`a program cannot be at address ${base}`);
  }
  /** `bytes` is how much of the data is used there at the least. */
  const resolve = (operand: Operand, bytes = 1): number => {
    if (typeof operand === 'number') return operand;
    const { section, offset } = operand;
    const room = section === 'data' ? bytes : 1;
    if (!(Number.isInteger(offset) && offset >= 0 && offset + room <= limits[section])) {
      throw new InternalError('an operand points outside the program');
    }
    return base + offsetOf(operand, layout, wordSize);
  };

  const codeWord = layout.code / wordSize;
  const stride = INSTRUCTION_WORDS * wordSize;
  const addressOf = (index: number): number => {
    if (!(Number.isInteger(index) && index >= 0 && index < instructions.length)) {
      throw new InternalError('an instruction leads outside the program');
    }
    return base + layout.code + index * stride;
  };
  for (let i = 0; i < instructions.length; i++) {
    const instruction = instructions[i] as (typeof instructions)[number];
    const at = codeWord + i * INSTRUCTION_WORDS;
    put(at + WORD.op, OP[instruction.op]);
    if (instruction.op === 'syscall' || instruction.op === 'clone') {
      put(at + WORD.number, target.syscallNumber(instruction.name));
    } else if (instruction.op === 'call') {
      const address = functions?.get(instruction.name);
      if (!address) throw new InternalError(`${instruction.name} is not exported by the host`);
      put(at + WORD.number, address);
    }
    const { args } = instruction;
    if (args.length > 6) throw new InternalError('an instruction has at most six arguments');
    if (args.length > 5 && instruction.op === 'clone') {
      throw new InternalError('a clone has at most five arguments');
    }
    for (let a = 0; a < args.length; a++) {
      const loads = a === 0 && (instruction.op === 'branch' || instruction.op === 'copy');
      put(at + WORD.argument + a, resolve(args[a] as Operand, loads ? wordSize : 1));
    }
    const { result } = instruction;
    if (result !== null && typeof result !== 'number') checkResult(result, instructions);
    put(at + WORD.result, result === null ? base + layout.scratch : resolve(result, wordSize));
    // The last one does not go on, and has no use for a target of its own.
    const next =
      instruction.target === null ? (i + 1) % instructions.length : instruction.target.index;
    put(at + WORD.target, addressOf(next));
    if (instruction.op === 'clone') {
      put(at + CHILD, addressOf(instruction.child?.index ?? -1));
    }
  }
  memory.set(program.data, layout.data);
  for (const { at, place } of program.pointers) {
    if (!(at >= 0 && at + wordSize <= program.data.length)) {
      throw new InternalError('a pointer lies outside the data');
    }
    if (at % wordSize !== 0) throw new InternalError('a pointer is not aligned');
    put((layout.data + at) / wordSize, resolve(place));
  }
  return layout;
}

/** Whatever is executed is followed by an instruction, for the last one has none behind it. */
function checkEnd({ instructions }: Program, isChild: boolean): void {
  const last = instructions.at(-1);
  if (last?.op !== 'halt' && !(last && isJump(last, instructions.length - 1))) {
    throw new InternalError('the program could run off its end: it must end with a halt or a jump');
  }
  if (isChild && instructions.some(({ op }) => op === 'halt')) {
    throw new InternalError('a program of a new process has nowhere to halt');
  }
  if (isChild && instructions.some(({ op }) => op === 'clone')) {
    throw new InternalError('only the binding can go on in two processes');
  }
}

/** Whether an instruction is what `ProgramBuilder.jump` writes: its own word 3 is what it says. */
function isJump({ op, args: [own, value], target }: Instruction, index: number): boolean {
  return (
    op === 'branch' &&
    target !== null &&
    value === 0 &&
    typeof own === 'object' &&
    own.section === 'code' &&
    own.offset === index * INSTRUCTION_WORDS + WORD.argument + 1
  );
}

/** A result may become an argument, but not what is done or where that leads. */
function checkResult({ section, offset }: Place, instructions: readonly Instruction[]): void {
  if (section !== 'code') return;
  const word = offset % INSTRUCTION_WORDS;
  const changed = instructions[Math.floor(offset / INSTRUCTION_WORDS)];
  const leads = word === WORD.target || (word === CHILD && changed?.op === 'clone');
  if (leads || word === WORD.op || word === WORD.number) {
    throw new InternalError('a result would change the program');
  }
}

function high(value: number): number {
  return Math.floor(value / 0x100000000) | 0;
}

/** The instruction at `address` in a program that was linked at `base`, or undefined. */
export function instructionAt(program: Program, wordSize: number, base: number, address: number) {
  const offset = address - base - HEADER_WORDS * wordSize;
  const index = offset / (INSTRUCTION_WORDS * wordSize);
  return Number.isInteger(index) ? program.instructions[index] : undefined;
}
