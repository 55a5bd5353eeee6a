import type { Observation } from './observation.js';

export type Answer = 'yes' | 'partial' | 'no';

/** Something that may be asked for of a new process, or be seen of one. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** What a run shows. */
  judge(seen: Observation): Answer | boolean;
  /** How the peer is started: with signals blocked and ignored, at a terminal, … */
  readonly setting?:
    | 'signals'
    | 'terminal'
    | 'ownTerminal'
    | 'traced'
    | 'withoutSetuid'
    | 'cgroup'
    | 'cgroupLimits';
}

export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
}
