import { ALL_SIGNALS, NO_SIGNALS, type Plan, type Step } from '../plan/plan.js';

/** What a spawn asks of its plan. */
export interface SpawnAttributes {
  readonly file: string;
  readonly cwd?: string | null | undefined;
  readonly detached?: boolean | undefined;
  readonly uid?: number | null | undefined;
  readonly gid?: number | null | undefined;
}

/** What tells a step of `stdio` from others: it opens /dev/null, or sets flags. */
function actionKey(step: Step): string {
  if (step.type === 'open') return `o${step.fd}`;
  return step.type === 'statusFlags' ? `f${step.fd}=${step.flags}` : step.type;
}

/** The plan of a spawn, its steps in the order in which Node's own has them. */
export function spawnPlan(
  { file, cwd, detached, uid, gid }: SpawnAttributes,
  candidates: readonly string[],
  map: ReadonlyMap<number, number>,
  actions: readonly Step[],
): Plan {
  const steps: Step[] = [{ type: 'signalDefaults', signals: ALL_SIGNALS }];
  if (detached) steps.push({ type: 'setsid' });
  steps.push({ type: 'descriptors', map }, ...actions);
  if (cwd != null) steps.push({ type: 'chdir', path: cwd });
  if (uid != null || gid != null) steps.push({ type: 'dropGroups' });
  if (gid != null) steps.push({ type: 'setgid', gid });
  if (uid != null) steps.push({ type: 'setuid', uid });
  steps.push({ type: 'signalMask', signals: NO_SIGNALS });
  let key = `${detached} ${uid} ${gid} ${actions.map(actionKey)}`;
  for (const [to, from] of map) key += ` ${to}=${from}`;
  // Strings end with a NUL, which none of them contains.
  for (const path of candidates) key += `\0${path}`;
  key += `\0\0${file}\0${cwd ?? ''}`;
  return { steps, exec: { candidates, file, shellFallback: true }, key };
}
