import { LaunchError } from '../errors.js';
import { EINVAL, F_DUPFD_CLOEXEC, O_CLOEXEC, O_NONBLOCK } from '../plan/constants.js';
import type { InFlight } from './in-flight.js';

/**
 * The close-on-exec pipe over which a failing step is reported; end of file means success, or that
 * the process ended before it got that far. Both ends are in flight.
 */
export interface ErrorPipe {
  read: number;
  write: number;
}

/**
 * Opens an error pipe whose write end is above `highest`, the highest descriptor that the plan
 * names: there it is in nobody's way. `wait` makes reading it block.
 */
export function openErrorPipe(inFlight: InFlight, highest: number, wait: boolean): ErrorPipe {
  const flags = wait ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK;
  const { result, first: read, second: write } = inFlight.pipe(flags);
  if (result < 0) throw new LaunchError({ errno: -result, syscall: 'pipe2', step: 'error pipe' });
  if (write > highest) return { read, write };
  const moved = inFlight.open('fcntl', write, F_DUPFD_CLOEXEC, highest + 1);
  inFlight.close(write);
  if (moved < 0) {
    inFlight.close(read);
    // EINVAL: there is no number above that one. RLIMIT_NOFILE is the limit, and excludes it or the next.
    const fd = moved === -EINVAL ? highest : undefined;
    throw new LaunchError({ errno: -moved, syscall: 'fcntl', step: 'error pipe', fd });
  }
  return { read, write: moved };
}
