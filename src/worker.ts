import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

const PRELOAD = fileURLToPath(new URL('./register.cjs', import.meta.url));

/**
 * A Worker whose thread has the engine under `node:child_process` as well. Node passes `--import`
 * on to most Workers, but neither to those that run a string nor to those with `execArgv`.
 */
class RegisteredWorker extends Worker {
  constructor(filename: string | URL, options?: WorkerOptions) {
    const { eval: isCode, execArgv } = options ?? {};
    if (isCode || execArgv !== undefined) {
      const own = Array.isArray(execArgv) ? execArgv : process.execArgv;
      super(filename, { ...options, execArgv: [...own, '--require', PRELOAD] });
    } else super(filename, options);
  }
}
Object.defineProperty(RegisteredWorker, 'name', { value: 'Worker' });

export { RegisteredWorker };
