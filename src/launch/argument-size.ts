import { LaunchError } from '../errors.js';
import { E2BIG } from '../plan/constants.js';
import type { Kernel } from './kernel.js';
import type { Environment } from './vectors.js';

/** MAX_ARG_STRLEN: the longest argument or environment string, with its NUL; execve(2). */
const LONGEST_STRING = 131072;
/** ARG_MAX, which every process may use, whatever its stack limit; execve(2). */
const ALWAYS_ALLOWED = 131072;
/** What no process may exceed: three quarters of the default stack limit of 8 MiB. */
const NEVER_ALLOWED = 6 * 1024 * 1024;
const RLIMIT_STACK = 3;

/** Throws E2BIG, as execve(2) would, before anything is started. */
export function checkArgumentSize(
  kernel: Kernel,
  argv: readonly string[],
  env: Environment,
  path: string,
): void {
  const tooBig = () => new LaunchError({ errno: E2BIG, syscall: 'execve', step: 'exec', path });
  let total = 0;
  for (const strings of env === 'inherit' ? [argv] : [argv, env]) {
    for (const text of strings) {
      // A string of UTF-16 becomes at most three times as many bytes.
      const size = text.length * 3 < LONGEST_STRING ? text.length : Buffer.byteLength(text);
      if (size >= LONGEST_STRING) throw tooBig();
      total += size + 1 + kernel.memory.wordSize;
    }
  }
  if (total > ALWAYS_ALLOWED && total > limit(kernel)) throw tooBig();
}

/** A quarter of the stack limit, within bounds; execve(2). */
function limit(kernel: Kernel): number {
  kernel.call('prlimit64', 0, RLIMIT_STACK, 0, kernel.scratchAddress);
  const view = new DataView(kernel.scratch.buffer, kernel.scratch.byteOffset);
  const soft = Number(view.getBigUint64(0, true));
  return Math.max(ALWAYS_ALLOWED, Math.min(soft / 4, NEVER_ALLOWED));
}
