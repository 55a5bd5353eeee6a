import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Node before 20.19 cannot require an ES module, which the preload comes to. */
const PRELOAD = (process.features as { require_module?: boolean }).require_module
  ? ['--require', fileURLToPath(new URL('./register.cjs', import.meta.url))]
  : ['--import', new URL('./register.js', import.meta.url).href];

/**
 * A Worker whose thread has the engine under `node:child_process` as well. Node passes `--import`
 * on to most Workers, but neither to those that run a string nor to those with `execArgv`.
 */
class RegisteredWorker extends Worker {
  constructor(filename: string | URL, options?: WorkerOptions) {
    const { eval: isCode, execArgv } = options ?? {};
    if (isCode || execArgv !== undefined) {
      const own = Array.isArray(execArgv) ? execArgv : process.execArgv;
      super(filename, { ...options, execArgv: [...own, ...PRELOAD] });
    } else super(filename, options);
  }
}
Object.defineProperty(RegisteredWorker, 'name', { value: 'Worker' });

export { RegisteredWorker };
