import { isMainThread } from 'node:worker_threads';

interface Count {
  running: number;
}

/** One count for all copies of this library in a process: each would listen for itself. */
const COUNT = Symbol.for('safeexec.workers');

/**
 * How many Workers the main thread has that may change the environment at any time: those that were
 * started with SHARE_ENV, but which these are cannot be seen.
 */
export function workersOfMainThread(): () => number {
  if (!isMainThread) return () => 0;
  const known = globalThis as { [COUNT]?: Count };
  let count = known[COUNT];
  if (count === undefined) {
    const started: Count = { running: 0 };
    process.on('worker', (worker) => {
      started.running++;
      worker.once('exit', () => started.running--);
    });
    Object.defineProperty(known, COUNT, { value: started });
    count = started;
  }
  const shared = count;
  return () => shared.running;
}
