import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';

interface PeerPackage {
  /** What npm installs. */
  readonly package: string;
  /** Where the executable is then, best first. */
  files(folder: string): readonly string[];
}

const CPU = arch() === 'arm64' ? 'aarch64' : arch();

/**
 * Runtimes that npm has. Their executables are in packages for one platform each: the scripts that
 * would link them into place at install are not run by npm 11, and need not be.
 */
export const PEER_PACKAGES: Readonly<Record<string, PeerPackage>> = {
  bun: {
    package: `@oven/bun-linux-${CPU}`,
    files: (folder) => [join(folder, `node_modules/@oven/bun-linux-${CPU}/bin/bun`)],
  },
  deno: {
    package: `@deno/linux-${arch()}-glibc`,
    files: (folder) => [join(folder, `node_modules/@deno/linux-${arch()}-glibc/deno`)],
  },
};

/** Installs the runtimes into a folder that later runs find again. Gives its path. */
export function installPeers(): string {
  const folder = join(tmpdir(), `safeexec-bench-peers-${process.getuid?.()}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const missing: string[] = [];
  for (const { package: name } of Object.values(PEER_PACKAGES)) {
    try {
      execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', name], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    } catch (error) {
      missing.push(`${name}: ${String((error as { stderr?: unknown }).stderr ?? error)}`);
    }
  }
  for (const text of missing) console.error(`could not install ${text}`);
  return folder;
}
