import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { LaunchFailure } from '../../src/errors.js';
import { MACHINES, machineFor } from '../../src/machine/index.js';
import type { Machine } from '../../src/machine/machine.js';
import { noUserNamespaces } from '../controls/isolated.js';
import { emulatorFor, idleProgram, missingEmulator, runPlan, writeImage } from './foreign.js';
import { type Case, FILES, imageCases } from './image-cases.js';

/*
 * Plans are compiled for every machine and run as image files: on this processor by the kernel, and
 * for other processors by qemu's user mode emulation. Their target is a program for this processor,
 * so that qemu is gone when it is looked at. What a plan does is compared with what the same plan
 * does as an image for this processor.
 *
 * What this cannot check is that a kernel for the other processor accepts the file, and starts it
 * from a memfd: qemu has a loader of its own, and version 7.2 no execveat(2). For some of the plans
 * foreign-kernel.test.ts does.
 */

/** Above all descriptors that the plans name. */
const ERROR_PIPE = 21;

const native = machineFor(process.arch);
const others = Object.values(MACHINES).filter((machine) => machine !== native);
const isRoot = process.getuid?.() === 0;

const folder = mkdtempSync(join(tmpdir(), 'safeexec-images-'));
const target = join(folder, 'idle');
const stdio: (number | undefined)[] = [];

before(() => {
  chmodSync(folder, 0o755);
  writeImage(target, native, idleProgram(native));
  for (const [fd, name] of Object.entries(FILES)) {
    writeFileSync(join(folder, name), '');
    stdio[Number(fd)] = openSync(join(folder, name), 'r');
  }
  mkdirSync(join(folder, 'directory'));
  writeFileSync(join(folder, 'script'), 'printf "%s\\n" "$0" "$@" >"$OUT"\n', { mode: 0o755 });
  writeFileSync(
    join(folder, 'look-around'),
    '{ echo $$; cat /proc/sys/kernel/hostname file; tail -1 /proc/self/timens_offsets; } >"$OUT"\n',
    { mode: 0o755 },
  );
  writeFileSync(join(folder, 'not-executable'), '', { mode: 0o644 });
});

after(() => {
  for (const fd of stdio) if (fd !== undefined) closeSync(fd);
  rmSync(folder, { recursive: true, force: true });
});

const errorNames = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]));

/** A failure in one line. */
function inShort({ step, syscall, errno, path, fd }: LaunchFailure): string {
  const subject = path?.startsWith(folder) ? path.slice(folder.length + 1) : path;
  return `${step}: ${syscall} ${errorNames.get(errno)} ${subject ?? fd ?? ''}`.trim();
}

async function outcomeOf(machine: Machine, emulator: string, given: Case) {
  const { steps, exec, expect, closeRange } = given;
  const plan = {
    steps,
    exec: { candidates: [target], file: 'wanted', shellFallback: false, ...exec },
  };
  rmSync(join(folder, 'directory/out'), { force: true });
  const outcome = await runPlan(machine, emulator, plan, {
    stdio,
    errorPipe: ERROR_PIPE,
    args: ['first', '', 'third argument'],
    env: { VARIABLE: 'of the test', OUT: join(folder, 'directory/out') },
    before: 'trap "" TTOU WINCH\numask 022',
    folder,
    endsByItself: 'written' in expect,
    closeRange,
  });
  return 'written' in expect
    ? { ...outcome, out: readFileSync(join(folder, 'directory/out'), 'utf8') }
    : outcome;
}

const expected = new Map<string, ReturnType<typeof outcomeOf>>();

for (const machine of [native, ...others]) {
  const emulator = emulatorFor(machine.name);
  describe(machine.name, () => {
    for (const row of imageCases(folder, target)) {
      const skip =
        emulator === null
          ? missingEmulator(machine.name)
          : row.root && !isRoot
            ? 'only root changes credentials'
            : row.native && emulator !== ''
              ? 'qemu has no namespaces'
              : row.native && noUserNamespaces;
      test(row.title, { skip }, async () => {
        const outcome = await outcomeOf(machine, emulator ?? '', row);
        const { expect } = row;
        if ('failure' in expect) {
          assert.ok('failure' in outcome);
          assert.equal(inShort(outcome.failure), expect.failure);
          assert.equal(outcome.exitCode, 127);
        } else if ('report' in expect) {
          if ('failure' in outcome) assert.fail(inShort(outcome.failure));
          assert.ok('report' in outcome);
          expect.report(outcome.report);
        } else {
          assert.deepEqual(outcome, { exitCode: 0, out: expect.written });
        }
        let same = expected.get(row.title);
        if (same === undefined) {
          same = machine === native ? Promise.resolve(outcome) : outcomeOf(native, '', row);
          expected.set(row.title, same);
        }
        assert.deepEqual(outcome, await same);
      });
    }
  });
}
