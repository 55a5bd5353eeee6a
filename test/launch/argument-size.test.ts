import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { checkArgumentSize } from '../../src/launch/argument-size.js';
import { binding } from '../../src/launch/binding.js';
import { Kernel } from '../../src/launch/kernel.js';
import { E2BIG, EINVAL, EPERM } from '../../src/plan/constants.js';

const real = new Kernel(binding());

/** This thread's kernel with another mprotect(2), and no limit of the stack. */
function withMprotect(mprotect: (address: number) => number): Kernel {
  const { memory, scratch, scratchAddress } = real;
  const call = (name: string, ...args: number[]): number => {
    if (name === 'mprotect') return mprotect(args[0] as number);
    assert.equal(name, 'prlimit64');
    scratch.fill(255, 0, 16);
    return 0;
  };
  return { memory, scratch, scratchAddress, call } as Kernel;
}

const withPages = (size: number): Kernel =>
  withMprotect((address) => (address % size === 0 ? 0 : -EINVAL));

/** Whether a string of so many bytes, without its NUL, is let through; in argv and in the environment. */
function passes(kernel: Kernel, size: number): boolean {
  const text = 'x'.repeat(size);
  const results = [
    () => checkArgumentSize(kernel, [text], [], null, '/x'),
    () => checkArgumentSize(kernel, ['x'], [text], null, '/x'),
  ].map((check) => {
    try {
      check();
      return true;
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).errno, -E2BIG);
      return false;
    }
  });
  assert.equal(results[0], results[1]);
  return results[0] as boolean;
}

for (const page of [4096, 16384, 65536]) {
  test(`with pages of ${page} bytes a string may have 32 of them`, () => {
    const kernel = withPages(page);
    assert.ok(passes(kernel, 32 * page - 1));
    assert.ok(!passes(kernel, 32 * page));
  });
}

test('where the size of pages cannot be found out the kernel is left to decide', () => {
  const kernel = withMprotect(() => -EPERM);
  assert.ok(passes(kernel, 131072));
  assert.ok(!passes(kernel, 32 * 65536));
});

test('the pages are those of this machine', () => {
  const page = Number(spawnSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }).stdout);
  assert.ok(passes(real, 32 * page - 1));
  assert.ok(!passes(real, 32 * page));
});
