/**
 * The instruction format: the contract between the linker, the interpreters in machine code
 * (`src/machine`) and the reference interpreter (`simulate.ts`).
 *
 * A linked program is memory that its interpreter may write. It opens with a header of four words:
 *
 *                         in an image                   in the binding's process
 *     word 0   stack      the initial stack pointer     self: the address of this memory
 *     word 1   env        -                             the napi_env of the caller
 *     word 2   table      -                             the address of the binding's table
 *     word 3   entry      -                             offset of the first instruction
 *
 * A plan that a vfork child runs in its parent's memory has in word 0 an address that stands for
 * the stack pointer, and in word 1 that of the environment.
 *
 * Instructions follow, each of twelve words of the target's pointer size, little-endian:
 *
 *     word 0      operation (OP)
 *     word 1      syscall number, or the address of a C function
 *     words 2-7   arguments
 *     word 8      result: the address at which the result is stored, never 0
 *     word 9      target: the address of another instruction
 *     word 10     failedAt: the interpreter's word, see below
 *     word 11     failedWith: the interpreter's word, see below
 *
 * syscall  [result] = syscall(number, a0..a5). If the value is in [-4095, -1], then the address of
 *          this instruction and the value go into `failedAt` and `failedWith` of the instruction at
 *          `target`, and that is next: a handler finds the error record in itself.
 * branch   if [a0] = a1, the instruction at `target` is next.
 * copy     [result] = [a0].
 * add      [result] += a0.
 * call     [result] = function(a0..a5), by the C calling convention. The binding only.
 * halt     return to the caller. The binding only.
 * clone    [result] = syscall(number, a0..a4), as for `syscall`, in the process that makes another.
 *          In the new one nothing is stored, and the instruction at a5 is next: the two may share
 *          this memory, and run at the same time. The binding only.
 *
 * What is not said to be next is followed by the instruction behind it. The interpreter keeps its
 * state in registers; apart from `call` it touches no stack, so that a vfork child may run it on
 * its parent's. (ia32 has too few registers, and says how it gets by.)
 */

export const HEADER_WORDS = 4;
export const INSTRUCTION_WORDS = 12;

export const HEADER = { stack: 0, self: 0, env: 1, table: 2, entry: 3 } as const;

export const WORD = {
  op: 0,
  number: 1,
  argument: 2,
  result: 8,
  target: 9,
  failedAt: 10,
  failedWith: 11,
} as const;

export const OP = { syscall: 0, branch: 1, copy: 2, add: 3, call: 4, halt: 5, clone: 6 } as const;

export type Operation = keyof typeof OP;

/** A place in the program's own memory: `offset` bytes into its data, or a word of an instruction. */
export interface Place {
  readonly section: 'header' | 'data' | 'code';
  /** header and code: a word number, counted from the first; data: a byte offset. */
  readonly offset: number;
}

/** What a word can be given: a number (an integer below 2^53, or a negative one), or a place. */
export type Operand = number | Place;

/** A position in a program, to be placed before an instruction. */
export interface Label {
  /** Index of the instruction that the label stands before; -1 until it is placed. */
  index: number;
}

/** Which step of the plan an instruction belongs to, for errors and listings. */
export interface StepName {
  /** Name of the step, as an error reports it: `chdir`, `exec` … */
  readonly step: string;
  /** The path that the step works on, if it has one. */
  readonly path?: string | undefined;
  /** The descriptor that the step works on, if it has one. */
  readonly fd?: number | undefined;
}

export interface Instruction {
  readonly op: Operation;
  /** Name of the system call or of the C function; empty for the other operations. */
  readonly name: string;
  readonly args: readonly Operand[];
  /** Where the result goes; null: into the program's scratch word. */
  result: Place | number | null;
  /**
   * syscall, clone: where to go on after an error; null: the next instruction (the error is
   * ignored).
   */
  readonly target: Label | null;
  /** clone: where the new process goes on. */
  readonly child: Label | null;
  readonly step: StepName | null;
}

/** A program before it has an address. */
export interface Program {
  readonly instructions: readonly Instruction[];
  /** Initial contents of the data. */
  readonly data: Uint8Array;
  /** Words of the data that hold an address: at byte `at` stands the address of `place`. */
  readonly pointers: readonly { readonly at: number; readonly place: Place }[];
  /** Labels worth a name in a listing. */
  readonly names: ReadonlyMap<Label, string>;
}
