import type { Machine } from '../../machine/machine.js';
import type { ProgramBuilder } from '../../program/builder.js';
import type { Label, Operand, Place, StepName } from '../../program/instruction.js';
import type { SignalSet } from '../plan.js';

/** Where the plan will run, and what it finds there. */
export interface Site {
  readonly machine: Machine;
  /** Write end of the error pipe, as the new process has it: above all that the plan uses. */
  readonly errorPipe: number;
  /**
   * `image`: in an address space of its own; argv and envp are on the initial stack, as the kernel
   * put them there. `direct`: in the parent's memory; word 0 of the header points to where they
   * are in the same way, word 1 to envp.
   */
  readonly executor: 'image' | 'direct';
  /** How many strings argv has. */
  readonly argumentCount: number;
  /** Whether the kernel has close_range(2), Linux 5.9. Default true. */
  readonly closeRange?: boolean | undefined;
}

/** What a step writes its instructions with. */
export class Emitter {
  readonly b: ProgramBuilder;
  readonly site: Site;
  /** The handler that reports a failed step and exits. */
  readonly fail: Label;
  #defaultAction: Place | null = null;

  constructor(b: ProgramBuilder, fail: Label, site: Site) {
    this.b = b;
    this.fail = fail;
    this.site = site;
  }

  /** A system call whose error ends the launch. Gives the index of its instruction. */
  call(name: string, args: readonly Operand[], step: StepName): number {
    return this.b.syscall(name, args, { onError: this.fail, step });
  }

  /** A struct sigaction that says SIG_DFL: all zero. */
  defaultAction(): Place {
    this.#defaultAction ??= this.b.reserve(this.site.machine.structs.sigaction.size);
    return this.#defaultAction;
  }

  /** A sigset_t. */
  signalSet([low, high]: SignalSet): Place {
    return this.b.bytes(new Uint8Array(Uint32Array.of(low, high).buffer), 8);
  }
}
