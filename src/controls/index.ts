import type { Contribution, Control } from './control.js';
import { STAGES, type StagedSteps } from './stages.js';

/** Options by which a process is controlled, and that Node does not have. */
// biome-ignore lint/suspicious/noEmptyInterface: each area adds its own
export interface ControlOptions {}

/** In the order in which the steps of one stage run. */
const CONTROLS: readonly Control<ControlOptions>[] = [];

/** Names of all control options. */
export const CONTROL_NAMES: readonly (keyof ControlOptions)[] = CONTROLS.flatMap(
  ({ names }) => names,
);

/** What all control options of one launch ask for together. */
export interface Controls {
  readonly steps: StagedSteps;
  readonly cloneFlags: number;
  /** Equal for equal controls. */
  readonly key: string;
}

/** Checks control options; undefined if none is set. Throws before anything is started. */
export function prepareControls(options: ControlOptions): Controls | undefined {
  const contributions: Contribution[] = [];
  for (const { names, prepare } of CONTROLS) {
    if (names.every((name) => options[name] === undefined)) continue;
    const contribution = prepare(options);
    if (contribution !== null) contributions.push(contribution);
  }
  if (contributions.length === 0) return undefined;
  let cloneFlags = 0;
  for (const contribution of contributions) cloneFlags |= contribution.cloneFlags ?? 0;
  const steps = Object.fromEntries(
    STAGES.map((stage) => [stage, contributions.flatMap((each) => each.steps[stage] ?? [])]),
  );
  return { steps, cloneFlags, key: JSON.stringify([cloneFlags, steps]) };
}
