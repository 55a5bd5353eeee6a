import { spawnSync } from 'node:child_process';
import {
  type LaunchError,
  type LaunchOptions,
  launch,
  type RunOptions,
  run,
} from '../../src/index.js';

/** The output of a shell script that runs with options. */
export async function inside(script: string, options: RunOptions = {}): Promise<string> {
  const { stdout } = await run('/bin/sh', ['-c', script], { cwd: '/', ...options });
  return stdout.trimEnd();
}

export const isRoot = process.getuid?.() === 0;

/** Why there are no user namespaces here; false if there are. */
export const noUserNamespaces = await inside('true', { namespaces: { user: true } }).then(
  () => false as const,
  (error: Error) => `user namespaces cannot be made: ${error.message}`,
);

/** Why a command is not there; false if it is. */
export function without(command: string): string | false {
  const { status } = spawnSync('sh', ['-c', 'command -v "$0"', command]);
  return status === 0 ? false : `${command} is not installed`;
}

/** What is told of a launch that must fail. */
export function failure(options: Partial<LaunchOptions>): Record<string, unknown> {
  try {
    launch({ path: '/bin/true', ...options });
  } catch (error) {
    const { code, step, path } = error as LaunchError;
    return { code, step, ...(path === undefined ? {} : { path }) };
  }
  throw new Error('it was launched');
}

/** Somebody without privileges, as what a Node is started through. */
export const ANYBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
