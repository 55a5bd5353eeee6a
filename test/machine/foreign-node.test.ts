import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { emulatorFor, foreign, missingEmulator } from './foreign.js';

/*
 * The library in a Node of another architecture, run by qemu's user mode emulation. qemu 7.2 makes
 * a fork of every vfork, and knows no CLONE_PIDFD and no execveat(2): so this covers the binding,
 * both halves of a `direct` launch, the watching of processes, and what the library does in place
 * of what is missing. Images are run by images.test.ts, and all of it on a kernel by
 * foreign-kernel.test.ts.
 */

const smoke = fileURLToPath(new URL('smoke.js', import.meta.url));

const executed = {
  launched: { exitCode: 7, hasUsage: true, sent: true, signal: 'SIGTERM' },
  refused: { code: 'ENOENT', step: 'chdir', syscall: 'chdir', path: '/nowhere' },
  spawned: { output: 'through the pipes', errors: 'value /usr\n', code: null, signal: 'SIGKILL' },
  missing: { code: 'ENOENT' },
};

for (const architecture of ['arm64', 'riscv64'] as const) {
  const folder = join(foreign, architecture);
  const node = join(folder, 'usr/bin/node');
  const emulator = emulatorFor(architecture);
  const skip =
    emulator === null
      ? missingEmulator(architecture)
      : !existsSync(node) && `${node} is not there: scripts/install-foreign-nodes.sh fetches it`;

  test(`the library in a Node for ${architecture}`, { skip }, () => {
    const command = [...(emulator ? [emulator, '-L', folder] : []), node, smoke];
    const [file = '', ...args] = command;
    const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const { image, ...found } = JSON.parse(stdout);
    assert.deepEqual(found, {
      arch: architecture,
      isShipped: true,
      isSelf: true,
      error: -9,
      direct: executed,
      chosen: executed,
      stdout: 'run\n',
      worker: 1,
    });
    // Whoever insists on images gets them or is told what is missing.
    assert.ok(image.step === 'chdir' || image.missing === 'execveat', JSON.stringify(image));
  });
}
