import type { Executor } from '../../src/launch/executor.js';

/** What runs a plan: an executor, the first that works, or one that is left on older systems. */
export type Variant = Executor | 'default' | 'file' | 'no close_range';

/** Where a call is made: which operation, and by what. */
export interface Site {
  readonly operation: string;
  readonly executor: Variant;
  /** `child`, or in the parent a program, or the function that makes the call. */
  readonly by: string;
  readonly syscall: string;
  /** The step that the program gives it; null for calls from JavaScript. */
  readonly step: string | null;
  /** Whether the program deals with its error; from JavaScript that is not known. */
  readonly handled: boolean | null;
  /** Which of the operation's events it is in, and which of the event's calls of that name. */
  readonly event: string;
  readonly nth: number;
}

/** A call that is made to fail. */
export interface Cell {
  readonly site: Site;
  readonly errno: string;
}

/** What came of it. */
export interface Row extends Cell {
  readonly outcome: string;
  /** What is wrong with that; null if it is as it should be. */
  readonly fault: string | null;
}
