import type { Launcher } from '../launch/launcher.js';
import type { Cgroup } from './cgroup-group.js';
import type { StagedSteps } from './stages.js';

/** What options ask of a launch. */
export interface Contribution {
  /** Plain data: equal contributions have equal JSON, by which compiled plans are found again. */
  readonly steps: StagedSteps;
  /** Flags of clone(2): new namespaces. */
  readonly cloneFlags?: number;
  /** The child's paths mean something else than the parent's. */
  readonly changesRoot?: boolean;
  /** Opens or makes what the launch needs. Throws LaunchError, and leaves nothing behind. */
  readonly acquire?: (launcher: Launcher) => Resource;
}

/** What a launch needs to have been opened or made, and has to be put away after it. */
export interface Resource {
  /** Steps with descriptors that were opened. */
  readonly steps: StagedSteps;
  /** The directory of the control group to start in. */
  readonly cgroup?: number | undefined;
  readonly group?: Cgroup | undefined;
  /** The launch is over, and its descriptors are needed no more; whatever came of it. */
  launched(): void;
  /** There is no process. */
  failed(): void;
  /** The process was reaped. */
  ended(): void;
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
