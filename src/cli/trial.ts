import { accessSync, constants } from 'node:fs';
import { errnoCode, UnsupportedError } from '../errors.js';
import { binding } from '../launch/binding.js';
import type { Executor } from '../launch/executor.js';
import { Kernel } from '../launch/kernel.js';
import type { Way } from '../launch/ways.js';
import { O_WRONLY } from '../plan/constants.js';
import { engine } from '../process/engine.js';
import { type LaunchedProcess, launch } from '../process/launch.js';

/** Something is not there; the message says why. */
export class Missing extends Error {}

let kernelInUse: Kernel | undefined;

/** System calls, for those who look; Missing without the binding. */
export function kernel(): Kernel {
  try {
    kernelInUse ??= new Kernel(binding());
    return kernelInUse;
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    throw new Missing('cannot be tried: the binding is not loaded');
  }
}

/** The result of a call; throws unless it is a success or the negated error number `expected`. */
export function must(syscall: string, result: number, expected?: number): number {
  if (result < 0 && result !== expected) {
    throw new Missing(`${syscall} fails with ${errnoCode(-result)}`);
  }
  return result;
}

/** A process was started, and ended. */
export interface Trial {
  readonly command: string;
  /** What carried the plan. */
  readonly way: Way;
}

const trials = new Map<Executor | undefined, Promise<Trial>>();

/**
 * Starts a command, looks at its pidfd, and waits for its end; once for each executor, and for
 * none: for whatever a launch takes that names none. Missing if that fails.
 */
export function tryLaunch(executor?: Executor): Promise<Trial> {
  let trial = trials.get(executor);
  if (trial === undefined) {
    trial = launchTrial(executor);
    trials.set(executor, trial);
  }
  return trial;
}

async function launchTrial(executor: Executor | undefined): Promise<Trial> {
  kernel();
  const argv = trialCommand();
  const [path] = argv as [string];
  const actions = [{ type: 'open', fd: 1, path: '/dev/null', flags: O_WRONLY }] as const;
  let child: LaunchedProcess;
  try {
    child = launch({ path, argv, actions, executor });
  } catch (error) {
    const { message } = error as Error;
    throw new Missing(message.replace(/^safeexec: /, ''));
  }
  const way = engine().launcher.last as Way;
  const answer = kernel().call('pidfd_send_signal', child.pidfd, 0);
  const exit = await child.exited;
  if (exit === null) throw new Missing('somebody else reaped the process');
  if (exit.exitCode !== 0) {
    throw new Missing(`${path} ended with ${exit.signal ?? `code ${exit.exitCode}`}`);
  }
  must('pidfd_send_signal to the new process', answer);
  return { command: argv.join(' '), way };
}

/** The command of a trial launch: the smallest that is there. */
export function trialCommand(): string[] {
  for (const path of ['/bin/true', '/usr/bin/true']) {
    try {
      accessSync(path, constants.X_OK);
      return [path];
    } catch {}
  }
  return [process.execPath, '--version'];
}
