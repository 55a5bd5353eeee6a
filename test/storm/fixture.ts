import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { soak } from '../soak.js';

const run = promisify(execFile);

/**
 * Runs a fixture in a Node of its own, where nothing else opens descriptors or starts threads, and
 * gives the figures that it prints as JSON. `through` runs Node in its turn.
 */
export async function figuresOf<Figures>(
  name: string,
  args: readonly (string | number)[] = [],
  through: readonly string[] = [],
): Promise<Figures> {
  const file = fileURLToPath(new URL(`./fixtures/${name}.js`, import.meta.url));
  const [command, ...rest] = [...through, process.execPath, '--expose-gc', file] as const;
  const { stdout } = await run(command as string, [...rest, ...args.map(String)], {
    timeout: soak ? 3_600_000 : 120_000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout);
}

/** Figures in one line, for the report of a long run. */
export function inWords(figures: object): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(', ') || 'none' : value}`)
    .join('; ');
}
