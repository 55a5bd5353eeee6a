import type { Emitter } from './emitter.js';

/** All that is known of one kind of step. */
export interface StepKind<Step> {
  /** Writes the instructions. Whatever the executor, nothing of the parent's may be changed. */
  emit(step: Step, emitter: Emitter): void;
  /**
   * Descriptors that the step uses: the parent's, unless a step before it has opened them. The
   * error pipe is above them.
   */
  names?(step: Step): readonly number[];
  /**
   * Why only the image executor can do this: other credentials, or another process, in memory that
   * is shared with the parent. The reason is for an error message.
   */
  readonly imageOnly?: string;
}

/** One kind for each type of step of a union. */
export type StepKinds<Union extends { readonly type: string }> = {
  readonly [Type in Union['type']]: StepKind<Extract<Union, { readonly type: Type }>>;
};
