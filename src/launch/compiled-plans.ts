import { type ImageTemplate, imageTemplate, writeImageHead } from '../elf/image.js';
import type { Machine } from '../machine/machine.js';
import { compile } from '../plan/compile.js';
import { followDescriptors, highestTarget, type Plan } from '../plan/plan.js';
import type { Program } from '../program/instruction.js';
import { layoutOf, link } from '../program/link.js';
import type { Executor } from './executor.js';

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
  /** image: the whole file. direct: room for the plan, which is linked anew for each launch. */
  readonly bytes: Uint8Array;
}

/** How many plans are kept, and for each how many compiled forms. */
const KEPT = 64;

/** Compiles plans, and keeps what it compiled of those that have a key. */
export class CompiledPlans {
  /** Address for which the programs of images are linked. */
  readonly imageProgramAddress: number;
  readonly #machine: Machine;
  readonly #template: ImageTemplate;
  readonly #studied = new Map<string, StudiedPlan>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#template = imageTemplate(machine);
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
    const machine = this.#machine;
    const program = compile(plan, { machine, executor, errorPipe, argumentCount });
    const { size } = layoutOf(program, machine.wordSize);
    const head = executor === 'image' ? this.#template.head.length : 0;
    const bytes = new Uint8Array(head + size);
    if (executor === 'image') {
      writeImageHead(this.#template, machine.wordSize, size, bytes);
      link(program, machine, this.imageProgramAddress, bytes.subarray(head));
    }
    compiled = { program, bytes };
    if (kept.size >= KEPT) kept.clear();
    kept.set(key, compiled);
    return compiled;
  }
}
