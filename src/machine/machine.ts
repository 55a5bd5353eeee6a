import type { LinkTarget } from '../program/link.js';
import type { Code } from './assembler.js';
import type { StructLayouts } from './structs.js';
import type { Architecture } from './syscalls.js';

/** Where the binding's code and table will be in memory, relative to each other. */
export interface BindingSites {
  readonly codeAddress: number;
  readonly tableAddress: number;
  /** Address of a named word of the table. */
  table(name: string): number;
}

/**
 * An architecture. Nothing outside `src/machine` knows more of one than this.
 *
 * `emitHelper` gives the code of a helper image: its entry `_start` stores the initial stack
 * pointer in word 0 of the program at `dataAddress` and interprets what follows the header.
 * `emitBinding` gives the code of the binding: `napi_register_module_v1`, which makes the function
 * `run(memory)`, and `run`, a C function that interprets from the address it is given.
 */
export interface Machine extends LinkTarget {
  readonly name: Architecture;
  readonly elf: { readonly machine: number; readonly flags: number };
  /** Types of the two relocations: a symbol's address, and base + addend. */
  readonly relocations: {
    readonly address: number;
    readonly relative: number;
    /** RELA (the addend is in the relocation) or REL (it is in the relocated word). */
    readonly addends: boolean;
  };
  readonly structs: StructLayouts;
  /** O_LARGEFILE, which open(2) needs here for files of 2 GiB and more. 64-bit machines imply it. */
  readonly largeFile?: number;
  emitHelper(codeAddress: number, dataAddress: number): Code;
  emitBinding(sites: BindingSites): Code;
}
