import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MACHINES } from '../../src/machine/index.js';
import { compile } from '../../src/plan/compile.js';
import { O_CLOEXEC } from '../../src/plan/constants.js';

test('32-bit machines open files with O_LARGEFILE, without which those of 2 GiB are refused', () => {
  const largeFile = { ia32: 0o100000, arm: 0o400000 } as const;
  for (const machine of Object.values(MACHINES)) {
    const { instructions } = compile(
      {
        steps: [{ type: 'open', fd: 3, path: '/big', flags: 2 | O_CLOEXEC }],
        exec: { candidates: ['/bin/true'], file: 'true', shellFallback: false },
      },
      { machine, errorPipe: 4, executor: 'image', argumentCount: 1 },
    );
    const open = instructions.find(({ name }) => name === 'openat');
    const expected = { ...largeFile, x64: 0, arm64: 0, riscv64: 0 }[machine.name];
    assert.equal(open?.args[2], 2 | expected, machine.name);
  }
});
