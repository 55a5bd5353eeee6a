import type { Launcher } from '../launch/launcher.js';
import type { Cgroup } from './cgroup-group.js';
import type { SandboxInForce } from './sandbox.js';
import type { StagedSteps } from './stages.js';

/** What options ask of a launch. */
export interface Contribution {
  /** Plain data: equal contributions have equal JSON, by which compiled plans are found again. */
  readonly steps: StagedSteps;
  /** Flags of clone(2): new namespaces. */
  readonly cloneFlags?: number;
  /**
   * Paths mean something else in the child than here: the program is looked for by the child alone,
   * and nothing is refused beforehand.
   */
  readonly changesRoot?: boolean;
  /** The working directory, by descriptor. */
  readonly cwdFd?: number | undefined;
  /** The program, by descriptor. */
  readonly execFd?: HeldProgram | undefined;
  /** Opens or makes what the launch needs. Throws LaunchError, and leaves nothing behind. */
  readonly acquire?: (launcher: Launcher) => Resource;
}

/** A program by its descriptor, and whether that stays open in it. */
export interface HeldProgram {
  readonly fd: number;
  readonly keepOpen: boolean;
}

/** What a launch needs to have been opened or made, and has to be put away after it. */
export interface Resource {
  /** Steps with descriptors that were opened. */
  readonly steps: StagedSteps;
  /** The directory of the control group to start in. */
  readonly cgroup?: number | undefined;
  readonly group?: Cgroup | undefined;
  /** What of a sandbox is in force. */
  readonly sandbox?: SandboxInForce | undefined;
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
