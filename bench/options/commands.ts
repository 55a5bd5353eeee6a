import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PEER_PACKAGES } from '../peer-packages.js';
import { ROOT } from '../root.js';
import type { Column } from './columns.js';

/** How the programs of a peer are run, or why they cannot be. */
export type Command =
  | { readonly argv: readonly string[]; readonly version: string }
  | { readonly missing: string };

/** Finds or compiles a peer's programs. `peers` is where its runtime was installed, `folder` takes binaries. */
export function commandOf({ id, program }: Column, peers: string, folder: string): Command {
  if (program === undefined) return { missing: 'it is not run' };
  const file = join(ROOT, 'bench/options/programs', program);
  switch (id) {
    case 'safeexec':
      return { argv: [process.execPath, file], version: `on Node ${process.version}` };
    case 'node':
      return { argv: [process.execPath, file], version: process.version };
    case 'bun':
      return found('bun', peers, (bun) => [bun, file]);
    case 'deno':
      return found('deno', peers, (deno) => [deno, 'run', '-A', '--no-config', '--quiet', file]);
    case 'python':
      // What is in PATH may be a script that chooses one.
      return found('python3', peers, (python) => {
        const script = 'import sys; print(sys.executable)';
        return [execFileSync(python, ['-c', script], { encoding: 'utf8' }).trim(), file];
      });
    case 'rust':
      return found('rustc', peers, (rustc) => {
        const binary = join(folder, 'rust');
        execFileSync(rustc, ['--edition', '2021', '-o', binary, file], { stdio: 'inherit' });
        return [binary];
      });
    case 'go':
      return found('go', peers, (go) => {
        const binary = join(folder, 'go');
        execFileSync(go, ['build', '-o', binary, file], { stdio: 'inherit' });
        return [binary];
      });
    case 'bubblewrap':
      return found('bwrap', peers, () => ['/bin/sh', file]);
    default:
      return { missing: 'nobody knows how to run it' };
  }
}

function found(name: string, peers: string, argv: (path: string) => readonly string[]): Command {
  const installed = PEER_PACKAGES[name]?.files(peers) ?? [];
  const onPath = (process.env.PATH ?? '').split(delimiter).map((part) => join(part, name));
  const path = [...installed, ...onPath].find((file) => existsSync(file));
  if (path === undefined) return { missing: `there is no ${name}` };
  try {
    return { version: versionOf(path, name), argv: argv(path) };
  } catch (error) {
    return { missing: String(error) };
  }
}

function versionOf(path: string, name: string): string {
  const { stdout } = spawnSync(path, [name === 'go' ? 'version' : '--version'], {
    encoding: 'utf8',
  });
  return /\d+\.[\d.]+/.exec(stdout)?.[0] ?? 'of unknown version';
}
