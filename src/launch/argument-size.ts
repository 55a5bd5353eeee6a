import { LaunchError } from '../errors.js';
import { _STK_LIM, ARG_MAX, E2BIG, MAX_ARG_STRLEN, RLIMIT_STACK } from '../plan/constants.js';
import type { Kernel } from './kernel.js';
import type { EnvironmentSize } from './own-environment.js';
import type { Environment } from './vectors.js';

/** What no process may exceed: three quarters of the default stack limit; execve(2). */
const NEVER_ALLOWED = (_STK_LIM / 4) * 3;

/** Sizes of pages that Linux has on the machines here. MAX_ARG_STRLEN is for the first. */
const PAGE_SIZES = [4096, 16384, 65536] as const;

/**
 * Throws E2BIG, as execve(2) would, before anything is started. `own` is the size of the process's
 * own environment if that is passed on, and known.
 */
export function checkArgumentSize(
  kernel: Kernel,
  argv: readonly string[],
  env: Environment,
  own: EnvironmentSize | null,
  path: string,
): void {
  const tooBig = () => new LaunchError({ errno: E2BIG, syscall: 'execve', step: 'exec', path });
  const word = kernel.memory.wordSize;
  let total = own === null ? 0 : own.bytes + own.count * word;
  for (const strings of env === 'inherit' ? [argv] : [argv, env]) {
    for (const text of strings) {
      // A string of UTF-16 becomes at most three times as many bytes.
      const size = text.length * 3 < MAX_ARG_STRLEN ? text.length : Buffer.byteLength(text);
      if (size >= MAX_ARG_STRLEN && size >= longestString(kernel)) throw tooBig();
      total += size + 1 + word;
    }
  }
  if (total > ARG_MAX && total > limit(kernel)) throw tooBig();
}

/**
 * What a string with its NUL may have: 32 pages, which are larger than 4 KiB on some kernels for
 * arm64. mprotect(2) refuses an address between two pages; of no pages at all it changes nothing.
 */
function longestString(kernel: Pick<Kernel, 'call'>): number {
  const page = PAGE_SIZES.find((size) => kernel.call('mprotect', size, 0, 0) === 0);
  return (MAX_ARG_STRLEN / PAGE_SIZES[0]) * (page ?? (PAGE_SIZES.at(-1) as number));
}

/** A quarter of the stack limit, within bounds; execve(2). */
function limit(kernel: Kernel): number {
  kernel.call('prlimit64', 0, RLIMIT_STACK, 0, kernel.scratchAddress);
  const view = new DataView(kernel.scratch.buffer, kernel.scratch.byteOffset);
  const soft = Number(view.getBigUint64(0, true));
  return Math.max(ARG_MAX, Math.min(soft / 4, NEVER_ALLOWED));
}
