import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { foreign } from './foreign.js';

const fixture = fileURLToPath(new URL('foreign-32-fixture.js', import.meta.url));

interface Runtime {
  readonly folder: string;
  readonly node: string;
  /** The command that runs this Node; its arguments follow. */
  readonly command: readonly string[];
}

/**
 * Debian's Node for i386 looks for parts of its library below /usr/share: in a mount namespace of
 * its own it has its /usr laid over ours.
 */
function ia32(): Runtime {
  const folder = join(foreign, 'ia32');
  const mount = 'mount -t overlay overlay -o "lowerdir=$0/usr:/usr" /usr';
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const command = ['unshare', '--mount', ...asUser, 'sh', '-c'];
  return {
    folder,
    node: join(folder, 'usr/bin/node'),
    command: [...command, `${mount} && exec /usr/bin/node "$@"`, folder],
  };
}

function armv7l(): Runtime {
  const folder = join(foreign, 'armv7l');
  const node = join(folder, 'usr/bin/node');
  return { folder, node, command: ['qemu-arm-static', '-L', folder, node] };
}

/** Why a runtime cannot be used here, or false. */
function unusable({ node, command: [command, ...args] }: Runtime, arch: string): string | false {
  if (!existsSync(node)) return `${node} is not there: scripts/install-foreign-nodes.sh fetches it`;
  const { error, stdout, stderr } = spawnSync(command as string, [...args, '-p', 'process.arch'], {
    encoding: 'utf8',
  });
  if (error !== undefined) return error.message;
  return stdout.trim() === arch ? false : `${node} does not run: ${stderr.trim().split('\n')[0]}`;
}

for (const [arch, runtime] of [
  ['ia32', ia32()],
  ['arm', armv7l()],
] as const) {
  const skip = unusable(runtime, arch);
  test(`the library in a Node for ${arch}`, { skip }, async (t) => {
    const [command, ...args] = runtime.command as [string, ...string[]];
    const folder = mkdtempSync(join(tmpdir(), 'safeexec-foreign-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const { stdout } = await promisify(execFile)(command, [...args, fixture, folder], {
      timeout: 120_000,
    });
    const found = JSON.parse(stdout);
    for (const launches of Object.values(found.executors) as { rss?: number }[]) {
      assert.ok(Number(launches.rss) > 0, 'the resource usage is read');
      delete launches.rss;
    }
    const launches = {
      exited: 7,
      ended: 'SIGTERM',
      big: 0,
      missing: { code: 'ENOENT', step: 'exec' },
      directory: { code: 'ENOENT', step: 'chdir' },
      patient: 0,
      spawned: { code: 0, output: 'zero yes\n/\ninput' },
      ran: 'one\n',
      refused: { code: 1 },
    };
    assert.deepEqual(found, {
      arch,
      shipped: true,
      pid: true,
      closed: -9,
      pages: 'page',
      function: { status: 0, created: true },
      fromWorker: 'worker\n',
      executors: { chosen: launches, direct: launches },
    });
  });
}
