import { type ImageTemplate, imageTemplate, writeImageHead } from '../elf/image.js';
import { compile } from '../plan/compile.js';
import { followDescriptors, highestTarget, type Plan } from '../plan/plan.js';
import type { Program } from '../program/instruction.js';
import { layoutOf, link } from '../program/link.js';
import type { Binding } from './binding.js';
import type { Executor } from './executor.js';
import { Memory } from './memory.js';

/** What a launch must know of a plan. */
export interface StudiedPlan {
  /** The parent's descriptors that the plan uses. */
  readonly sources: readonly number[];
  /** The highest descriptor it names. */
  readonly highest: number;
  readonly compiled: Map<string, CompiledPlan>;
}

export interface CompiledPlan {
  readonly program: Program;
  /** Bytes of the image, or of the linked program. */
  readonly size: number;
  /** The image. null for `direct`, which links the program anew for each launch. */
  readonly image: Memory | null;
}

/** How many plans are kept, and for each how many compiled forms. */
const KEPT = 64;

/** Compiles plans, and keeps what it compiled of those that have a key. */
export class CompiledPlans {
  /** Address for which the programs of images are linked. */
  readonly imageProgramAddress: number;
  readonly #binding: Binding;
  readonly #template: ImageTemplate;
  readonly #studied = new Map<string, StudiedPlan>();

  constructor(binding: Binding) {
    this.#binding = binding;
    this.#template = imageTemplate(binding.machine);
    this.imageProgramAddress = this.#template.programAddress;
  }

  study(plan: Plan): StudiedPlan {
    let studied = plan.key === undefined ? undefined : this.#studied.get(plan.key);
    if (studied !== undefined) return studied;
    const { sources } = followDescriptors(plan.steps, []);
    studied = { sources: [...sources], highest: highestTarget(plan), compiled: new Map() };
    if (plan.key !== undefined) {
      if (this.#studied.size >= KEPT) this.#studied.clear();
      this.#studied.set(plan.key, studied);
    }
    return studied;
  }

  /** The plan as a program for an error pipe and a number of arguments; linked if for an image. */
  compile(
    plan: Plan,
    { compiled: kept }: StudiedPlan,
    executor: Executor,
    errorPipe: number,
    argumentCount: number,
  ): CompiledPlan {
    const key = `${executor} ${errorPipe} ${argumentCount}`;
    let compiled = kept.get(key);
    if (compiled !== undefined) return compiled;
    const { machine } = this.#binding;
    const program = compile(plan, { machine, executor, errorPipe, argumentCount });
    const { size } = layoutOf(program, machine.wordSize);
    compiled = executor === 'image' ? this.#image(program, size) : { program, size, image: null };
    if (kept.size >= KEPT) kept.clear();
    kept.set(key, compiled);
    return compiled;
  }

  #image(program: Program, programSize: number): CompiledPlan {
    const { machine, run } = this.#binding;
    const { head } = this.#template;
    const size = head.length + programSize;
    const image = new Memory(run, machine.wordSize, size);
    writeImageHead(this.#template, machine.wordSize, programSize, image.bytes);
    link(program, machine, this.imageProgramAddress, image.bytes.subarray(head.length));
    return { program, size, image };
  }
}
