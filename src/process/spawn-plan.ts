import type { Controls } from '../controls/index.js';
import { inOrder, type StagedSteps } from '../controls/stages.js';
import { ALL_SIGNALS, NO_SIGNALS, type Plan, type Step } from '../plan/plan.js';

/** What a spawn asks of its plan. */
export interface SpawnAttributes {
  readonly file: string;
  readonly cwd?: string | null | undefined;
  readonly detached?: boolean | undefined;
  readonly uid?: number | null | undefined;
  readonly gid?: number | null | undefined;
  readonly controls?: Pick<Controls, 'steps' | 'cloneFlags' | 'key'> | undefined;
}

/** What tells a step of `stdio` from others: it opens /dev/null, or sets flags. */
function actionKey(step: Step): string {
  if (step.type === 'open') return `o${step.fd}`;
  return step.type === 'statusFlags' ? `f${step.fd}=${step.flags}` : step.type;
}

/** The plan of a spawn: the steps of one stage as Node's own has them, then those of controls. */
export function spawnPlan(
  { file, cwd, detached, uid, gid, controls }: SpawnAttributes,
  candidates: readonly string[],
  map: ReadonlyMap<number, number>,
  actions: readonly Step[],
): Plan {
  const credentials: Step[] = [];
  if (uid != null || gid != null) credentials.push({ type: 'dropGroups' });
  if (gid != null) credentials.push({ type: 'setgid', gid });
  if (uid != null) credentials.push({ type: 'setuid', uid });
  const own: StagedSteps = {
    signals: [{ type: 'signalDefaults', signals: ALL_SIGNALS }],
    session: detached ? [{ type: 'setsid' }] : [],
    descriptors: [{ type: 'descriptors', map }, ...actions],
    directory: cwd == null ? [] : [{ type: 'chdir', path: cwd }],
    credentials,
    mask: [{ type: 'signalMask', signals: NO_SIGNALS }],
  };
  const steps = controls === undefined ? inOrder(own) : inOrder(own, controls.steps);
  let key = `${detached} ${uid} ${gid} ${actions.map(actionKey)}`;
  for (const [to, from] of map) key += ` ${to}=${from}`;
  // Strings end with a NUL, which none of them contains.
  for (const path of candidates) key += `\0${path}`;
  key += `\0\0${file}\0${cwd ?? ''}\0${controls?.key ?? ''}`;
  const exec = { candidates, file, shellFallback: true };
  return { steps, exec, cloneFlags: controls?.cloneFlags ?? 0, key };
}
