import { fileURLToPath } from 'node:url';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Node before 20.19 cannot require an ES module, which the preload comes to. */
const PRELOAD = (process.features as { require_module?: boolean }).require_module
  ? ['--require', fileURLToPath(new URL('./register.cjs', import.meta.url))]
  : ['--import', new URL('./register.js', import.meta.url).href];

/**
 * Worker, but that its thread has the engine under `node:child_process` as well. Node passes
 * `--import` on to most Workers, but not to those that run a string, nor to those with `execArgv`,
 * and what is in NODE_OPTIONS not to those with an environment of their own.
 */
export const RegisteredWorker = new Proxy(Worker, {
  construct(target, args, newTarget): Worker {
    const [filename, options] = args as ConstructorParameters<typeof Worker>;
    const { eval: isCode, execArgv, env } = options ?? {};
    const create = (changed: WorkerOptions | undefined): Worker =>
      Reflect.construct(target, [filename, changed], newTarget);
    const hasEnvironment = typeof env === 'object' && env !== null;
    if (execArgv ? !Array.isArray(execArgv) : !isCode && !hasEnvironment) return create(options);
    if (execArgv) return create({ ...options, execArgv: [...execArgv, ...PRELOAD] });
    for (let flags: readonly string[] = process.execArgv; ; ) {
      try {
        return create({ ...options, execArgv: [...flags, ...PRELOAD] });
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code !== 'ERR_WORKER_INVALID_EXEC_ARGV') throw error;
        // Flags of the whole process are in force in its threads, and refused where they are named.
        const kept = without(flags, message.slice(message.indexOf(': ') + 2));
        if (kept.length === flags.length) return create(options);
        flags = kept;
      }
    }
  },
});

/** Flags but for those of a list as Node writes it, and their values. */
function without(flags: readonly string[], refused: string): string[] {
  const isRefused = (flag = ''): boolean => `, ${refused}, `.includes(`, ${flag}, `);
  return flags.filter((flag, i) => {
    const isValue = !flag.startsWith('-') && isRefused(flags[i - 1]);
    return !isValue && !isRefused(flag);
  });
}
