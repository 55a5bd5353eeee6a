import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { MACHINES } from '../../src/machine/index.js';
import type { Architecture } from '../../src/machine/syscalls.js';
import { compile } from '../../src/plan/compile.js';
import { emulatorFor, writeImage } from './foreign.js';

/*
 * Images of other processors as the kernel starts them when binfmt_misc knows an emulator: by exec
 * of the file, and by the engine's own launch of it. The registration is one of a user namespace
 * (Linux 6.7), so the machine's own is left as it is.
 */

const CONFIGURATION: Readonly<Partial<Record<Architecture, string>>> = {
  arm: '/usr/lib/binfmt.d/qemu-arm.conf',
  arm64: '/usr/lib/binfmt.d/qemu-aarch64.conf',
  riscv64: '/usr/lib/binfmt.d/qemu-riscv64.conf',
};
const MOUNT = '/proc/sys/fs/binfmt_misc';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-binfmt-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a shell script where `configuration` is registered. */
function registered(configuration: string, script: string, args: readonly string[] = []) {
  const setUp = `set -e; mount -t binfmt_misc binfmt_misc ${MOUNT}; cat ${configuration} >${MOUNT}/register`;
  const unshare = ['--user', '--map-root-user', '--mount', 'sh', '-c', `${setUp}; ${script}`, 'sh'];
  return spawnSync('unshare', [...unshare, ...args], { encoding: 'utf8' });
}

for (const [name, configuration] of Object.entries(CONFIGURATION)) {
  const machine = MACHINES[name as Architecture];
  let skip: string | false = false;
  if (process.arch === name || machine === undefined) skip = `${name} is this processor`;
  else if (emulatorFor(name as Architecture) === null || !existsSync(configuration)) {
    skip = `${configuration} is missing: install qemu-user-static`;
  } else if (registered(configuration, 'true').status !== 0) {
    skip = 'binfmt_misc cannot be registered in a user namespace (Linux 6.7)';
  }

  describe(name, { skip }, () => {
    const image = join(folder, name);
    const prepare = (): void => {
      if (machine === undefined) return;
      // The target is /bin/sh, with the arguments that the image was given.
      const exec = { candidates: ['/bin/sh'], file: '/bin/sh', shellFallback: false };
      const steps = [{ type: 'umask', mask: 0o27 }] as const;
      const site = { machine, executor: 'image', errorPipe: 9, argumentCount: 4 } as const;
      writeImage(image, machine, compile({ steps, exec }, site));
    };

    test('the kernel starts the image, which execs its target', () => {
      prepare();
      const script = 'exec "$@" 9>&2';
      const args = [image, '-c', 'echo "$(umask) $0"', 'an argument'];
      const { stdout, stderr } = registered(configuration, script, args);
      assert.equal(stdout, '0027 an argument\n', stderr);
    });

    test('launch() starts it like any program', () => {
      prepare();
      const index = new URL('../../src/index.js', import.meta.url).href;
      const program = `
        const { launch } = await import(${JSON.stringify(index)});
        const argv = ['image', '-c', 'exit 7', 'x'];
        const actions = [{ type: 'dup2', from: 2, to: 9 }];
        const { exitCode } = await launch({ path: ${JSON.stringify(image)}, argv, actions }).exited;
        console.log(exitCode);`;
      const args = [process.execPath, '--input-type=module', '-e', program];
      const { stdout, stderr } = registered(configuration, 'exec "$@"', args);
      assert.equal(stdout, '7\n', stderr);
    });
  });
}
