import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** The signals that `run` passes on to its child. */
export const FORWARDED = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGCONT',
] as const;

/** Those that a terminal sends, to every process of its foreground process group; termios(3). */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGWINCH']);

/**
 * Calls `forward` for each signal that reaches this process, except for those that the terminal
 * has sent to the child as well. Who sent a signal, a listener in Node is not told: so what counts
 * is whether the terminal would have reached both, which is when both are in its foreground
 * process group. Gives back a function that ends it.
 */
export function forwardSignals(
  childPid: () => number | undefined,
  forward: (signal: NodeJS.Signals) => void,
): () => void {
  const listener = (signal: NodeJS.Signals): void => {
    const pid = childPid();
    if (pid !== undefined && FROM_TERMINAL.has(signal) && terminalReaches(pid)) return;
    forward(signal);
  };
  for (const signal of FORWARDED) process.on(signal, listener);
  return () => {
    for (const signal of FORWARDED) process.off(signal, listener);
  };
}

function terminalReaches(pid: number): boolean {
  try {
    const own = processGroups('self');
    return own.group === own.foreground && processGroups(String(pid)).group === own.group;
  } catch {
    // No /proc, or the child is gone: a signal too many is better than none.
    return false;
  }
}

/** A process's group, and the foreground group of its terminal, -1 without one; proc_pid_stat(5). */
function processGroups(pid: string): { readonly group: number; readonly foreground: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The second field is the name in parentheses, and may have blanks and parentheses in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { group: Number(fields[2]), foreground: Number(fields[5]) };
}

/** The number of a signal's name, real-time signals included. */
export function numberOfSignal(name: string): number {
  const known = (constants.signals as Readonly<Record<string, number>>)[name];
  return known ?? Number(/^SIGRT(\d+)$/.exec(name)?.[1] ?? 0);
}
