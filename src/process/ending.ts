import * as events from 'node:events';
import { setTimeout } from 'node:timers';
import { AbortError } from '../errors.js';
import { afterSpawn, type ChildProcess } from './child-process.js';

/** Sends a signal when the time is up; `late` is told if that reached the process. */
export function endAfter(
  child: ChildProcess,
  timeout: number,
  signal: number | undefined,
  late: () => void = () => {},
): void {
  const timer = setTimeout(() => {
    if (tryKill(child, signal)) late();
  }, timerDelay(timeout));
  // `close` comes after a failed start as well. Not `error`: who listens for that takes it from the
  // caller, who may want to have it thrown.
  for (const end of ['exit', 'close']) child.once(end, () => clearTimeout(timer));
}

/** Node's timers take 31 bits, and make one millisecond of anything longer. */
export function timerDelay(milliseconds: number): number {
  return Math.min(milliseconds, 0x7fffffff);
}

/** `begin` is for a process that was started, `cancel` for one that was not. */
export function endOnAbort(child: ChildProcess, signal: AbortSignal, kill: number | undefined) {
  const abort = (): void => {
    if (!tryKill(child, kill)) return;
    // One that could not be started has an error of its own.
    afterSpawn(child, () => child.emit('error', new AbortError(signal.reason)));
  };
  const listening = signal.aborted ? undefined : onAbort(signal, abort);
  const cancel = (): void => listening?.[Symbol.dispose]();
  const begin = (): void => {
    if (listening === undefined) process.nextTick(abort);
    else child.once('exit', cancel);
  };
  return { begin, cancel };
}

function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  // From Node 20.5 on: then nobody can keep the event from coming here.
  const { addAbortListener } = events as { addAbortListener?: typeof onAbort };
  if (addAbortListener) return addAbortListener(signal, listener);
  signal.addEventListener('abort', listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) };
}

function tryKill(child: ChildProcess, signal: number | undefined): boolean {
  try {
    return child.kill(signal as NodeJS.Signals | undefined);
  } catch (error) {
    child.emit('error', error);
    return false;
  }
}
