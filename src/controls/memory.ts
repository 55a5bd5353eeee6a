import { existsSync, readFileSync } from 'node:fs';
import { UnsupportedError } from '../errors.js';
import { ADDR_NO_RANDOMIZE, OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN } from '../plan/constants.js';
import type { Step } from '../plan/plan.js';
import { validateBoolean, validateInteger } from '../validate.js';
import type { Contribution, Control } from './control.js';

/** How the kernel deals with the process's memory. */
export interface MemoryOptions {
  /**
   * How soon the kernel ends the process when memory is short: -1000, never, to 1000, first. Below
   * this process's own it needs CAP_SYS_RESOURCE. Children inherit it. Needs /proc:
   * proc_pid_oom_score_adj(5). Default: this process's.
   */
  readonly oomScoreAdjust?: number | undefined;
  /**
   * Whether the kernel may give the process huge pages unasked: false is PR_SET_THP_DISABLE(2const)
   * (Linux 3.15), and true takes it back. Children inherit it. Only with the image executor.
   * Default: as in this process.
   */
  readonly transparentHugePages?: boolean | undefined;
  /**
   * Whether the addresses of the program, its libraries, stack and heap are drawn anew: false is
   * ADDR_NO_RANDOMIZE of personality(2), as `setarch -R`. Children inherit it; a set-user-ID program
   * is randomized all the same. Needs /proc. Default: as in this thread.
   */
  readonly addressRandomization?: boolean | undefined;
  /**
   * Whether the process can be traced and dumps core: PR_SET_DUMPABLE(2const). Nothing that is set
   * before an exec lasts: the kernel makes every program dumpable whose file may be read. So `true`
   * is what happens in any case, and `false` an UnsupportedError. The program itself can call
   * prctl(2); `limits: { core: 0 }` does without core files. Default true.
   */
  readonly dumpable?: boolean | undefined;
}

export const MEMORY: Control<MemoryOptions> = {
  names: ['oomScoreAdjust', 'transparentHugePages', 'addressRandomization', 'dumpable'],
  prepare,
};

function prepare(options: MemoryOptions): Contribution {
  const { oomScoreAdjust, transparentHugePages, addressRandomization, dumpable } = options;
  const steps: Step[] = [];
  if (oomScoreAdjust !== undefined) {
    const name = 'options.oomScoreAdjust';
    validateInteger(oomScoreAdjust, name, OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX);
    requireOomScore();
    steps.push({ type: 'oomScoreAdjust', value: oomScoreAdjust });
  }
  if (transparentHugePages !== undefined) {
    validateBoolean(transparentHugePages, 'options.transparentHugePages');
    steps.push({ type: 'transparentHugePages', enabled: transparentHugePages });
  }
  if (addressRandomization !== undefined) {
    validateBoolean(addressRandomization, 'options.addressRandomization');
    const others = currentPersonality() & ~ADDR_NO_RANDOMIZE;
    const persona = addressRandomization ? others : others | ADDR_NO_RANDOMIZE;
    steps.push({ type: 'personality', persona: persona >>> 0 });
  }
  if (dumpable !== undefined) {
    validateBoolean(dumpable, 'options.dumpable');
    if (!dumpable) throw undumpable();
  }
  return { steps: { scheduling: steps } };
}

/** Why no program can be started that is not dumpable. */
function undumpable(): UnsupportedError {
  const reason = 'execve(2) sets it anew, so that only the program itself can clear it';
  return new UnsupportedError(`no process starts without being dumpable: ${reason}`, 'dumpable');
}

/** Throws UnsupportedError where the process has no oom_score_adj to be seen. */
export function requireOomScore(): void {
  // A plan can be explained on a system that has none.
  if (process.platform !== 'linux' || existsSync('/proc/self/oom_score_adj')) return;
  throw new UnsupportedError('oomScoreAdjust needs /proc', '/proc/self/oom_score_adj');
}

/** The personality of this thread, which its children have. A call of it would change a thread. */
export function currentPersonality(): number {
  if (process.platform !== 'linux') return 0;
  const path = '/proc/thread-self/personality';
  try {
    return Number.parseInt(readFileSync(path, 'latin1'), 16);
  } catch (error) {
    throw new UnsupportedError('addressRandomization needs /proc', path, error);
  }
}
