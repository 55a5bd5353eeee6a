import type { StdioOptions } from 'node:child_process';
import * as node from 'node:child_process';
import * as ours from '../src/index.js';
import type { Take } from './sample.js';

/** What the launches here start: it does nothing, and there is one everywhere. */
export const PROGRAM = '/bin/true';

/** Both figures of a launch, microseconds. */
export interface Times {
  /** How long the call held its thread. */
  readonly hold: number;
  /** From the call to the exit seen. */
  readonly total: number;
}

interface Child {
  once(event: 'exit' | 'close', listener: () => void): unknown;
}

function timed(spawn: () => Child, event: 'exit' | 'close'): Promise<Times> {
  return new Promise((resolve) => {
    const start = performance.now();
    const child = spawn();
    const hold = performance.now() - start;
    child.once(event, () => {
      resolve({ hold: hold * 1e3, total: (performance.now() - start) * 1e3 });
    });
  });
}

/** One launch with ours, or with node:child_process; waits until it is over. */
export function launches(stdio: 'ignore' | 'pipe'): readonly [Take<Times>, Take<Times>] {
  const event = stdio === 'pipe' ? 'close' : 'exit';
  return [
    () => timed(() => ours.spawn(PROGRAM, [], { stdio }), event),
    () => timed(() => node.spawn(PROGRAM, [], { stdio: stdio as StdioOptions }), event),
  ];
}

/** V8 has compiled a path that was gone this often. */
export const WARM_UP = 1500;

/** Launches in a turn: enough that the pages which a fork write-protected have been paid for. */
export const TURN = 60;
