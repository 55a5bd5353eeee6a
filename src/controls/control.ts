import type { StagedSteps } from './stages.js';

/** What options ask of a launch. */
export interface Contribution {
  /** Plain data: equal contributions have equal JSON, by which compiled plans are found again. */
  readonly steps: StagedSteps;
  /** Flags of clone(2): new namespaces. */
  readonly cloneFlags?: number;
}

/** A group of options that belong together. */
export interface Control<Options> {
  readonly names: readonly (keyof Options & string)[];
  /**
   * Checks the options, and says what they ask for; null if that is nothing. Throws a typed error
   * for what is wrong, or cannot be had on this machine, before anything is started.
   */
  prepare(options: Options): Contribution | null;
}
