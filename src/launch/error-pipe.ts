import { LaunchError } from '../errors.js';
import { F_DUPFD_CLOEXEC, O_CLOEXEC, O_NONBLOCK } from '../plan/constants.js';
import type { Kernel } from './kernel.js';

/** The close-on-exec pipe over which a failing step is reported; end of file means success. */
export interface ErrorPipe {
  read: number;
  write: number;
}

/**
 * Opens an error pipe whose write end is above `highest`, the highest descriptor that the plan
 * names: there it is in nobody's way. `wait` makes reading it block.
 */
export function openErrorPipe(kernel: Kernel, highest: number, wait: boolean): ErrorPipe {
  const flags = wait ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK;
  const result = kernel.call('pipe2', kernel.scratchAddress, flags);
  if (result < 0) throw new LaunchError({ errno: -result, syscall: 'pipe2', step: 'error pipe' });
  const read = kernel.memory.int32(kernel.scratchAt);
  const write = kernel.memory.int32(kernel.scratchAt + 4);
  if (write > highest) return { read, write };
  const moved = kernel.call('fcntl', write, F_DUPFD_CLOEXEC, highest + 1);
  kernel.call('close', write);
  if (moved < 0) {
    kernel.call('close', read);
    throw new LaunchError({ errno: -moved, syscall: 'fcntl', step: 'error pipe' });
  }
  return { read, write: moved };
}
