import { accessDenied } from '../errors.js';
import { binding } from '../launch/binding.js';
import { features } from '../launch/features.js';
import { InFlight } from '../launch/in-flight.js';
import { Kernel } from '../launch/kernel.js';
import { Launcher } from '../launch/launcher.js';
import { debugReport } from './debug.js';
import { mayStartProcesses } from './permission.js';
import { Watcher } from './watcher.js';

/** What a thread needs to start and watch processes. */
export interface Engine {
  readonly kernel: Kernel;
  readonly inFlight: InFlight;
  readonly launcher: Launcher;
  readonly watcher: Watcher;
}

let current: Engine | undefined;

/**
 * This thread's engine. Throws UnsupportedError where there cannot be one, and ERR_ACCESS_DENIED, as
 * Node's own module does, where this process may start none, as `file`: add-ons are not held back
 * by Node.
 */
export function engine(file = ''): Engine {
  if (!mayStartProcesses()) throw accessDenied(file);
  if (current === undefined) {
    const kernel = new Kernel(binding());
    const inFlight = new InFlight(kernel);
    const found = features(inFlight);
    const watcher = new Watcher(inFlight);
    const launcher = new Launcher(inFlight, found, watcher, debugReport);
    current = { kernel, inFlight, watcher, launcher };
  }
  return current;
}
