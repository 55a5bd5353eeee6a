import type { LaunchFailure } from '../errors.js';
import { CLONE_PIDFD, SIGCHLD } from '../plan/constants.js';
import type { Place, Program, StepName } from '../program/instruction.js';
import { instructionAt } from '../program/link.js';
import { cloneFlags } from './clone.js';
import type { Kernel } from './kernel.js';
import {
  type LaunchPlaces,
  type LaunchVariant,
  launchProgram,
  type WatchSite,
} from './launch-program.js';
import { LoadedProgram } from './loaded-program.js';

/** What a launch program is given for one run: addresses, sizes, descriptors. */
export interface StartInput {
  readonly descriptors: number;
  readonly descriptorsEnd: number;
  readonly errorRead: number;
  readonly errorWrite: number;
  /** Flags of clone(2) for new namespaces. */
  readonly cloneFlags: number;
  /** The directory of the control group to start in; -1 for this process's own. */
  readonly cgroup: number;
  /** Addresses of the slots of the pipe's write end and of the image among what is in flight. */
  readonly errorSlot: number;
  readonly imageSlot: number;
  /** The image, or null: the plan is run in this memory. */
  readonly image: {
    readonly memfdFlags: number;
    readonly address: number;
    readonly size: number;
    /** The descriptor of the file that holds the image, or -1: it goes into a memfd. */
    readonly file: number;
    readonly argv: number;
    readonly envp: number;
  } | null;
  /** direct: address of the plan's first instruction. */
  readonly plan: number;
}

export interface StartResult {
  /** Why there is no child, or why it is not watched. */
  readonly failure: LaunchFailure | null;
  /** Positive if a child was started. */
  readonly pid: number;
  readonly pidfd: number;
  /** What reading the error pipe gave. */
  readonly outcome: number;
  /** The record, if `outcome` is its size. */
  readonly record: readonly [number, number];
}

/** Byte offsets of the words of a launch program; -1 for those that it does not have. */
type Offsets = Readonly<
  Record<
    | Exclude<keyof LaunchPlaces, 'errorWrite' | 'slots' | 'cloneFlags' | 'failures'>
    | 'errorSlot'
    | 'imageSlot'
    | 'closeErrorWrite'
    | 'childErrorWrite'
    | 'cloneFlags'
    | 'cloneFlagsAgain',
    number
  >
>;

/** A launch program in memory, ready to run. */
export class Start {
  readonly #loaded: LoadedProgram;
  readonly #program: Program;
  readonly #at: Offsets;
  readonly #failures: readonly number[];
  readonly #flags: number;

  constructor(kernel: Kernel, variant: LaunchVariant, watch: WatchSite) {
    const { program, places } = launchProgram(kernel.binding.machine, variant, watch);
    this.#flags = cloneFlags(variant.sharing);
    const loaded = new LoadedProgram(kernel.binding, program);
    this.#program = program;
    this.#loaded = loaded;
    const at = (place: Place | null): number => (place === null ? -1 : loaded.at(place));
    const { unstarted, unwatched } = places.failures;
    this.#failures = [...unstarted, unwatched].map(at);
    this.#at = {
      memfdFlags: at(places.memfdFlags),
      image: at(places.image),
      imageSize: at(places.imageSize),
      argv: at(places.argv),
      envp: at(places.envp),
      plan: at(places.plan),
      descriptors: at(places.descriptors),
      descriptorsEnd: at(places.descriptorsEnd),
      errorRead: at(places.errorRead),
      closeErrorWrite: at(places.errorWrite[0]),
      childErrorWrite: at(places.errorWrite[1]),
      cloneFlags: at(places.cloneFlags[0]),
      cloneFlagsAgain: at(places.cloneFlags[1]),
      cgroup: at(places.cgroup),
      errorSlot: at(places.slots[0]),
      imageSlot: at(places.slots[1]),
      memfd: at(places.memfd),
      pid: at(places.pid),
      pidfd: at(places.pidfd),
      outcome: at(places.outcome),
      record: at(places.record),
    };
  }

  run(input: StartInput): StartResult {
    const { memory } = this.#loaded;
    const at = this.#at;
    const { image } = input;
    memory.setWord(at.descriptors, input.descriptors);
    memory.setWord(at.descriptorsEnd, input.descriptorsEnd);
    if (at.errorRead >= 0) memory.setWord(at.errorRead, input.errorRead);
    memory.setWord(at.closeErrorWrite, input.errorWrite);
    memory.setWord(at.childErrorWrite, input.errorWrite);
    // With a cgroup the word is that of a struct, which has the exit signal elsewhere. Only its low
    // half is written: the flag for the cgroup is in the other.
    const flags = this.#flags | input.cloneFlags;
    if (at.cgroup >= 0) {
      memory.setInt32(at.cloneFlags, flags | CLONE_PIDFD);
      memory.setInt32(at.cgroup, input.cgroup);
    } else {
      memory.setWord(at.cloneFlags, flags | CLONE_PIDFD | SIGCHLD);
      if (at.cloneFlagsAgain >= 0) memory.setWord(at.cloneFlagsAgain, flags | SIGCHLD);
    }
    memory.setWord(at.errorSlot, input.errorSlot);
    memory.setWord(at.imageSlot, input.imageSlot);
    if (image === null) memory.setWord(at.plan, input.plan);
    else {
      if (image.file < 0) {
        memory.setWord(at.memfdFlags, image.memfdFlags);
        memory.setWord(at.image, image.address);
        memory.setWord(at.imageSize, image.size);
      }
      memory.setWord(at.argv, image.argv);
      memory.setWord(at.envp, image.envp);
    }
    memory.setWord(at.memfd, image?.file ?? -1);
    memory.setWord(at.pid, -1);
    for (const failure of this.#failures) memory.setWord(failure, 0);
    this.#loaded.run();

    let failure: LaunchFailure | null = null;
    for (const record of this.#failures) {
      const address = memory.word(record);
      if (address === 0) continue;
      failure = this.explain(address, memory.signedWord(record + memory.wordSize)) ?? null;
    }
    return {
      failure,
      pid: memory.signedWord(at.pid),
      pidfd: memory.int32(at.pidfd),
      outcome: memory.signedWord(at.outcome),
      record: [memory.word(at.record), memory.signedWord(at.record + memory.wordSize)],
    };
  }

  /** The failure that a record describes, if it is of an instruction of this program. */
  explain(address: number, result: number): LaunchFailure | undefined {
    const { memory } = this.#loaded;
    const instruction = instructionAt(this.#program, memory.wordSize, memory.address, address);
    return instruction && failureOf(instruction.name, instruction.step, result);
  }
}

export function failureOf(syscall: string, step: StepName | null, result: number): LaunchFailure {
  return { errno: -result, syscall, step: step?.step ?? syscall, path: step?.path, fd: step?.fd };
}
