import { idSteps } from '../controls/credentials.js';
import type { Controls } from '../controls/index.js';
import { inOrder, type Stage, type StagedSteps } from '../controls/stages.js';
import { ALL_SIGNALS, NO_SIGNALS, type Plan, type Step } from '../plan/plan.js';

/** What a spawn asks of its plan. */
export interface SpawnAttributes {
  readonly file: string;
  readonly cwd?: string | null | undefined;
  readonly detached?: boolean | undefined;
  /** As Node's ChildProcess hands them over; `controls` have them too. */
  readonly uid?: number | null | undefined;
  readonly gid?: number | null | undefined;
  readonly controls?:
    | Pick<Controls, 'steps' | 'cloneFlags' | 'cwdFd' | 'execFd' | 'key'>
    | undefined;
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
    const held = holdDescriptors(map, controls ?? {});
    const fd = held.execFd;
    plan = {
      steps: inOrder(ownSteps(attributes, held, actions), controls?.steps ?? {}),
      exec: { candidates, file, fd, shellFallback: fd === undefined },
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
  { map, steps: heldSteps }: Held,
  actions: readonly Step[],
): StagedSteps {
  const asked = (stage: Stage, type: Step['type']): boolean =>
    controls?.steps[stage]?.some((step) => step.type === type) ?? false;
  return {
    signals: asked('signals', 'signalDefaults')
      ? []
      : [{ type: 'signalDefaults', signals: ALL_SIGNALS }],
    session: detached && !asked('session', 'setsid') ? [{ type: 'setsid' }] : [],
    descriptors: [{ type: 'descriptors', map }, ...actions],
    directory: cwd == null ? heldSteps : [{ type: 'chdir', path: cwd }, ...heldSteps],
    credentials: controls === undefined ? idSteps(uid, gid) : [],
    mask: asked('mask', 'signalMask') ? [] : [{ type: 'signalMask', signals: NO_SIGNALS }],
  };
}

/** The child's descriptors with those that are held for a while, and what becomes of these. */
interface Held {
  readonly map: ReadonlyMap<number, number>;
  readonly steps: readonly Step[];
  /** The program's. */
  readonly execFd: number | undefined;
}

/**
 * Directory and program by descriptor: each gets a number above those of the child, at which it is
 * used and then closed.
 */
function holdDescriptors(
  map: ReadonlyMap<number, number>,
  { cwdFd, execFd }: Partial<Pick<Controls, 'cwdFd' | 'execFd'>>,
): Held {
  if (cwdFd === undefined && execFd === undefined) return { map, steps: [], execFd: undefined };
  const extended = new Map(map);
  const steps: Step[] = [];
  let next = Math.max(2, ...map.keys()) + 1;
  let program: number | undefined;
  if (execFd !== undefined) {
    program = next++;
    extended.set(program, execFd.fd);
    if (!execFd.keepOpen) steps.push({ type: 'closeOnExec', fds: [program] });
  }
  if (cwdFd !== undefined) {
    extended.set(next, cwdFd);
    steps.push({ type: 'fchdir', fd: next }, { type: 'close', fd: next });
  }
  return { map: extended, steps, execFd: program };
}
