import { binding } from '../launch/binding.js';
import { Kernel } from '../launch/kernel.js';
import { Launcher } from '../launch/launcher.js';
import { debugReport } from './debug.js';
import { Watcher } from './watcher.js';

/** What a thread needs to start and watch processes. */
export interface Engine {
  readonly kernel: Kernel;
  readonly launcher: Launcher;
  readonly watcher: Watcher;
}

let current: Engine | undefined;

/** This thread's engine. Throws UnsupportedError where there cannot be one. */
export function engine(): Engine {
  if (current === undefined) {
    const kernel = new Kernel(binding());
    const watcher = new Watcher(kernel);
    current = { kernel, watcher, launcher: new Launcher(kernel, watcher, debugReport) };
  }
  return current;
}
