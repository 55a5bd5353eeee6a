import { type ImageTemplate, imageTemplate } from '../elf/image.js';
import { followDescriptors, highestTarget, imageOnly, type Plan } from '../plan/plan.js';
import type { Program } from '../program/instruction.js';
import type { Binding } from './binding.js';
import { compilePlan } from './compiled-plan.js';
import type { Executor } from './executor.js';
import { Memory } from './memory.js';

/** What a launch must know of a plan. */
export interface StudiedPlan {
  /** The parent's descriptors that the plan uses. */
  readonly sources: readonly number[];
  /** The highest descriptor it names. */
  readonly highest: number;
  /** Why `direct` cannot run it; undefined if it can. */
  readonly imageOnly: string | undefined;
  readonly compiled: Map<string, PlacedPlan>;
}

export interface PlacedPlan {
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
  readonly #closeRange: boolean;
  readonly #template: ImageTemplate;
  readonly #studied = new Map<string, StudiedPlan>();

  constructor(binding: Binding, closeRange: boolean) {
    this.#closeRange = closeRange;
    this.#binding = binding;
    this.#template = imageTemplate(binding.machine);
    this.imageProgramAddress = this.#template.programAddress;
  }

  study(plan: Plan): StudiedPlan {
    let studied = plan.key === undefined ? undefined : this.#studied.get(plan.key);
    if (studied !== undefined) return studied;
    const { sources } = followDescriptors(plan.steps, []);
    studied = {
      sources: [...sources],
      highest: highestTarget(plan),
      imageOnly: imageOnly(plan),
      compiled: new Map(),
    };
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
  ): PlacedPlan {
    const key = `${executor} ${errorPipe} ${argumentCount}`;
    let compiled = kept.get(key);
    if (compiled !== undefined) return compiled;
    const { machine } = this.#binding;
    const site = { machine, executor, errorPipe, argumentCount, closeRange: this.#closeRange };
    const { program, bytes } = compilePlan(plan, site, this.#template);
    const image = executor === 'image' ? this.#place(bytes) : null;
    compiled = { program, size: bytes.length, image };
    if (kept.size >= KEPT) kept.clear();
    kept.set(key, compiled);
    return compiled;
  }

  /** An image in memory that has an address. */
  #place(bytes: Uint8Array): Memory {
    const { machine, run } = this.#binding;
    const memory = new Memory(run, machine.wordSize, bytes.length);
    memory.bytes.set(bytes);
    return memory;
  }
}
