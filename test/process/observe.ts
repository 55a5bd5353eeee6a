import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * What tests see of a process from outside, in /proc; proc(5). A child that is to be looked at
 * stops itself: then its dynamic linker is done, and nothing in it changes any more.
 */
export const STOPS: readonly [string, string[]] = ['/bin/sh', ['-c', 'kill -STOP $$']];

/** Waits for a condition that is about to come true; the deadline is for when it does not. */
export async function until<T>(what: string, condition: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited too long: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits until the process has stopped itself. */
export async function stopped(pid: number | undefined): Promise<number> {
  if (pid === undefined) throw new Error('no process');
  await until(`${pid} stops`, () => statOf(pid).state === 'T');
  return pid;
}

/** Open descriptors, and what they refer to. */
export function descriptorsOf(pid: number | 'self'): Map<number, string> {
  const result = new Map<number, string>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      result.set(Number(name), readlinkSync(`/proc/${pid}/fd/${name}`));
    } catch (error) {
      // The descriptor by which the folder itself was read.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return new Map([...result].sort(([a], [b]) => a - b));
}

export interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Foreground process group of its controlling terminal. */
  readonly foreground: number;
}

export function statOf(pid: number | 'self'): Stat {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in brackets, may have anything in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [parent, group, session, , foreground] = fields.slice(1).map(Number) as number[];
  return {
    state: fields[0] as string,
    parent: parent as number,
    group: group as number,
    session: session as number,
    foreground: foreground as number,
  };
}

/** The lines of /proc/PID/status. */
export function statusOf(pid: number | 'self' | 'thread-self'): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').trimEnd().split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

/** Numbers of the signals in a set of /proc/PID/status: SigBlk, SigIgn, SigCgt. */
export function signalsIn(pid: number | 'self' | 'thread-self', field: string): number[] {
  const set = BigInt(`0x${statusOf(pid).get(field)}`);
  return Array.from({ length: 64 }, (_, i) => i + 1).filter((n) => set & (1n << BigInt(n - 1)));
}

/** The children of this process, zombies too: pid and state. */
export function children(): Map<number, string> {
  const result = new Map<number, string>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const { parent, state } = statOf(Number(name));
      if (parent === process.pid) result.set(Number(name), state);
    } catch {
      // It is gone.
    }
  }
  return result;
}

/** What a launch might leave behind in this process. */
export function traces() {
  return {
    descriptors: [...descriptorsOf('self')],
    children: [...children()],
    blocked: signalsIn('thread-self', 'SigBlk'),
  };
}

/** Processes whose command line ends with a word. */
export function pidsOf(word: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').endsWith(`\0${word}\0`);
      } catch {
        return false;
      }
    });
}
