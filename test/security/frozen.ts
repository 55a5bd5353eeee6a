import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LaunchError } from '../../src/errors.js';
import { ALL_SIGNALS, type Plan, type Step } from '../../src/plan/plan.js';
import { engine } from '../../src/process/engine.js';
import type { Exit } from '../../src/process/exit.js';
import { Supervision } from '../../src/process/supervision.js';
import { statOf, until } from '../process/observe.js';

/** A helper that stands still in the middle of its plan: it opens a FIFO that nobody writes to. */
export interface Frozen {
  readonly pid: number;
  /** Lets it go on; gives its end. */
  release(): Promise<Exit | 'lost'>;
}

/** Why helpers cannot be looked at here; false if they can. */
export const noHelper: string | false = (() => {
  try {
    const refused = readFileSync('/proc/sys/vm/memfd_noexec', 'utf8').trim() === '2';
    return refused && 'vm.memfd_noexec forbids memfds that can be executed';
  } catch {
    return false;
  }
})();

/** Launches /bin/true, with steps in front of the FIFO, and waits until the helper is there. */
export async function freeze(
  steps: readonly Step[],
  argv: readonly string[] = ['true'],
  env: readonly string[] = [],
): Promise<Frozen> {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-frozen-'));
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', ['-m', '666', fifo]);
  execFileSync('chmod', ['755', folder]);
  const plan: Plan = {
    steps: [
      { type: 'signalDefaults', signals: ALL_SIGNALS },
      ...steps,
      { type: 'open', fd: 5, path: fifo },
      { type: 'close', fd: 5 },
    ],
    exec: { candidates: ['/bin/true'], file: '/bin/true', shellFallback: false },
  };
  const current = engine();
  const launched = current.launcher.launch({ plan, argv, env, executor: 'image', wait: false });
  let report: (exit: Exit | 'lost') => void = () => {};
  let refuse: (error: Error) => void = () => {};
  const ended = new Promise<Exit | 'lost'>((resolve, reject) => {
    report = resolve;
    refuse = reject;
  });
  ended.catch(() => {});
  const supervision = new Supervision(current, launched, {
    started: () => {},
    failed: (failure) => refuse(new LaunchError(failure)),
    exited: (exit) => report(exit),
  });
  const { pid } = supervision;
  const release = async (): Promise<Exit | 'lost'> => {
    // For both directions, so that it does not wait for the other end.
    const fd = openSync(fifo, constants.O_RDWR);
    try {
      return await ended;
    } finally {
      closeSync(fd);
      rmSync(folder, { recursive: true, force: true });
    }
  };
  await until('the helper waits for the FIFO', () => {
    return /memfd|safeexec/.test(readlinkSync(`/proc/${pid}/exe`)) && statOf(pid).state === 'S';
  });
  return { pid, release };
}
