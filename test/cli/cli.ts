import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The built command. */
export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface CliOptions {
  /** Arguments of node itself. */
  readonly node?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs; it is in a session of its own, so that no terminal is involved. */
export function start(args: readonly string[], options: CliOptions = {}): ChildProcess {
  return spawn(process.execPath, [...(options.node ?? []), MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: options.env,
    cwd: options.cwd,
  });
}

/** What a command that runs to its end gave. */
export async function finish(child: ChildProcess): Promise<CliResult> {
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (_, signal) => {
      // The command must never end so. What it started would go on, and keep its output open.
      if (signal === null) return;
      try {
        process.kill(-(child.pid as number), 'SIGKILL');
      } catch {}
    });
    child.once('close', (code) => resolve({ code, ...output }));
  });
}

/** Runs a command to its end. */
export function cli(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return finish(start(args, options));
}

/** `--import` of a module with this source. */
export function preload(source: string): string[] {
  return ['--import', `data:text/javascript,${encodeURIComponent(source)}`];
}

/** A preloaded module with which the binding cannot be loaded. */
export const NO_BINDING = preload(`
  process.dlopen = () => { throw new Error('no binding in this test') };
`);
