import { idSteps } from '../controls/credentials.js';
import type { Controls } from '../controls/index.js';
import { inOrder, type StagedSteps } from '../controls/stages.js';
import { ALL_SIGNALS, NO_SIGNALS, type Plan, type Step } from '../plan/plan.js';

/** What a spawn asks of its plan. */
export interface SpawnAttributes {
  readonly file: string;
  readonly cwd?: string | null | undefined;
  readonly detached?: boolean | undefined;
  /** As Node's ChildProcess hands them over; `controls` have them too. */
  readonly uid?: number | null | undefined;
  readonly gid?: number | null | undefined;
  readonly controls?: Pick<Controls, 'steps' | 'cloneFlags' | 'key'> | undefined;
}

/** What tells a step of `stdio` from others: it opens /dev/null, or sets flags. */
function actionKey(step: Step): string {
  if (step.type === 'open') return `o${step.fd}`;
  return step.type === 'statusFlags' ? `f${step.fd}=${step.flags}` : step.type;
}

/** How many plans are kept. */
const KEPT = 64;
const kept = new Map<string, Plan>();

/**
 * The plan of a spawn: the steps of one stage as Node's own has them, then those of controls.
 * Processes are mostly started in the same few ways, so plans are kept by what they depend on.
 */
export function spawnPlan(
  attributes: SpawnAttributes,
  candidates: readonly string[],
  map: ReadonlyMap<number, number>,
  actions: readonly Step[],
): Plan {
  const { file, cwd, detached, uid, gid, controls } = attributes;
  let key = `${detached} ${uid} ${gid}`;
  for (const action of actions) key += ` ${actionKey(action)}`;
  for (const [to, from] of map) key += ` ${to}=${from}`;
  // Strings end with a NUL, which none of them contains.
  for (const path of candidates) key += `\0${path}`;
  key += `\0\0${file}\0${cwd ?? ''}\0${controls?.key ?? ''}`;
  let plan = kept.get(key);
  if (plan === undefined) {
    plan = {
      steps: inOrder(ownSteps(attributes, map, actions), controls?.steps ?? {}),
      exec: { candidates, file, shellFallback: true },
      cloneFlags: controls?.cloneFlags ?? 0,
      key,
    };
    if (kept.size >= KEPT) kept.clear();
    kept.set(key, plan);
  }
  return plan;
}

function ownSteps(
  { cwd, detached, uid, gid, controls }: SpawnAttributes,
  map: ReadonlyMap<number, number>,
  actions: readonly Step[],
): StagedSteps {
  return {
    signals: [{ type: 'signalDefaults', signals: ALL_SIGNALS }],
    session: detached ? [{ type: 'setsid' }] : [],
    descriptors: [{ type: 'descriptors', map }, ...actions],
    directory: cwd == null ? [] : [{ type: 'chdir', path: cwd }],
    credentials: controls === undefined ? idSteps(uid, gid) : [],
    mask: [{ type: 'signalMask', signals: NO_SIGNALS }],
  };
}
