import type { Place, StepName } from '../program/instruction.js';
import { instructionAt } from '../program/link.js';
import type { LaunchFailure } from '../errors.js';
import type { Executor } from './executor.js';
import type { Kernel } from './kernel.js';
import { type LaunchPlaces, launchProgram, type WatchSite } from './launch-program.js';
import { LoadedProgram } from './loaded-program.js';

/** What a launch program is given for one run. Addresses, sizes and descriptors. */
export interface StartInput {
  readonly descriptors: number;
  readonly descriptorsEnd: number;
  readonly errorRead: number;
  readonly errorWrite: number;
  /** image */
  readonly memfdFlags?: number;
  readonly image?: number;
  readonly imageSize?: number;
  readonly argv?: number;
  readonly envp?: number;
  /** direct */
  readonly plan?: number;
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

/** A launch program in memory, ready to run. */
export class Start {
  readonly #loaded: LoadedProgram;
  readonly #program;
  readonly #at: Readonly<Record<keyof StartInput, readonly number[]>>;
  readonly #results;
  readonly #failures: readonly number[];

  constructor(kernel: Kernel, executor: Executor, site: WatchSite) {
    const { program, places } = launchProgram(kernel.binding.machine, executor === 'direct', site);
    this.#program = program;
    this.#loaded = new LoadedProgram(kernel.binding, program);
    const at = (place: Place): number => this.#loaded.at(place);
    const one = (name: Exclude<keyof LaunchPlaces, 'errorWrite' | 'failures'>) => [at(places[name])];
    const image = (name: 'memfdFlags' | 'image' | 'imageSize' | 'argv' | 'envp') =>
      executor === 'image' ? one(name) : [];
    this.#at = {
      descriptors: one('descriptors'),
      descriptorsEnd: one('descriptorsEnd'),
      errorRead: one('errorRead'),
      errorWrite: places.errorWrite.map(at),
      memfdFlags: image('memfdFlags'),
      image: image('image'),
      imageSize: image('imageSize'),
      argv: image('argv'),
      envp: image('envp'),
      plan: executor === 'direct' ? one('plan') : [],
    };
    this.#results = {
      memfd: at(places.memfd),
      pid: at(places.pid),
      pidfd: at(places.pidfd),
      outcome: at(places.outcome),
      record: at(places.record),
    };
    this.#failures = [...places.failures.unstarted, places.failures.unwatched].map(at);
  }

  run(input: StartInput): StartResult {
    const { memory } = this.#loaded;
    const results = this.#results;
    for (const name in input) {
      const value = input[name as keyof StartInput] as number;
      for (const at of this.#at[name as keyof StartInput]) memory.setWord(at, value);
    }
    memory.setWord(results.memfd, -1);
    memory.setWord(results.pid, -1);
    for (const at of this.#failures) memory.setWord(at, 0);
    this.#loaded.run();

    let failure: LaunchFailure | null = null;
    for (const at of this.#failures) {
      if (memory.word(at) !== 0) {
        const result = memory.signedWord(at + memory.wordSize);
        failure = this.explain(memory.word(at), result) ?? null;
      }
    }
    const { record } = results;
    return {
      failure,
      pid: memory.signedWord(results.pid),
      pidfd: memory.int32(results.pidfd),
      outcome: memory.signedWord(results.outcome),
      record: [memory.word(record), memory.signedWord(record + memory.wordSize)],
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
