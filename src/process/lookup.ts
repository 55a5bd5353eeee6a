import type { Controls } from '../controls/index.js';
import { LaunchError, type LaunchFailure } from '../errors.js';
import type { Kernel } from '../launch/kernel.js';
import type { Environment } from '../launch/vectors.js';
import {
  AT_FDCWD,
  EACCES,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  PATH_MAX,
  X_OK,
} from '../plan/constants.js';
import { searchPath } from './environment.js';

/** What a program is looked for from. */
export interface LookupOptions {
  readonly cwd?: string | null | undefined;
  readonly controls?: Pick<Controls, 'cwdFd' | 'execFd' | 'changesRoot'> | undefined;
}

/**
 * The paths at which a plan looks for `file`, from the first that may be executed on. Throws
 * LaunchError if there is none, or no such directory: then nothing needs to be started. What the
 * child alone can know, because its root is another, is left to it.
 */
export function findCandidates(
  kernel: Kernel,
  file: string,
  env: Environment,
  { cwd, controls }: LookupOptions,
): string[] {
  const { cwdFd, execFd, changesRoot } = controls ?? {};
  if (execFd !== undefined) return [];
  const candidates = candidatesFor(file, file.includes('/') ? '' : searchPath(env));
  if (changesRoot) return candidates;
  const access = (path: string): number => executable(kernel, cwdFd ?? AT_FDCWD, path);
  if (cwdFd !== undefined) {
    const errno = -access('.');
    if (errno > 0) throw new LaunchError({ errno, syscall: 'fchdir', step: 'fchdir', fd: cwdFd });
  }
  const found = lookAhead(access, candidates, file, cwd ?? undefined);
  if (!('index' in found)) throw new LaunchError(found);
  return candidates.slice(found.index);
}

/** The paths that execvpe(3) would try for `file`, in order. */
export function candidatesFor(file: string, path: string): string[] {
  // What is too long for a path is so in every folder.
  if (file.length >= PATH_MAX || file.includes('/')) return [file];
  const folders = new Set(path.split(':'));
  return [...folders].map((folder) => (folder === '' ? `./${file}` : `${folder}/${file}`));
}

/**
 * Looks whether a launch can succeed, so that one that cannot costs no process: whether the
 * directory is there, and which candidate is the first that may be executed. `access` is
 * access(2) for X_OK: it gives 0, or a negated error number.
 */
export function lookAhead(
  access: (path: string) => number,
  candidates: readonly string[],
  file: string,
  cwd: string | undefined,
): { readonly index: number } | LaunchFailure {
  for (const [path, syscall, step] of [
    [cwd, 'chdir', 'chdir'],
    [file, 'execve', 'exec'],
  ] as const) {
    if (path && path.length >= PATH_MAX) return { errno: ENAMETOOLONG, syscall, step, path };
  }
  if (cwd !== undefined) {
    // With the dot at its end a path that is no directory is refused.
    const result = access(`${cwd}/.`);
    if (result < 0) return { errno: -result, syscall: 'chdir', step: 'chdir', path: cwd };
  }
  let errno = ENOENT;
  for (const [index, candidate] of candidates.entries()) {
    const path = cwd === undefined || candidate.startsWith('/') ? candidate : `${cwd}/${candidate}`;
    const result = access(path);
    if (result === 0) return { index };
    if (result === -EACCES) errno = EACCES;
    else if (result !== -ENOENT && result !== -ENOTDIR) {
      return { errno: -result, syscall: 'execve', step: 'exec', path: file };
    } else if (candidates.length === 1) errno = -result;
  }
  return { errno, syscall: 'execve', step: 'exec', path: file };
}

function executable(kernel: Kernel, directory: number, path: string): number {
  // What is too long for the scratch memory is too long for the kernel.
  return kernel.call('faccessat', directory, kernel.string(path.slice(0, 5000)), X_OK);
}
