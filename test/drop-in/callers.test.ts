import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fixture, parse, REGISTER, runNode } from './support.js';

const script = fixture('callers.js');
const CALLERS = [
  'execa',
  'zx',
  'cross-spawn',
  'tinyexec',
  'nano-spawn',
  'concurrently',
  'npm-run-all2',
  'simple-git',
];
/** Those that take a spawn from their user, and use it. */
const TAKE_SPAWN = ['zx', 'concurrently'];

function available(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('packages that start processes', { concurrency: 2 }, () => {
  for (const caller of CALLERS) {
    const program = { 'npm-run-all2': 'npm', 'simple-git': 'git' }[caller];
    const skip = program && !available(program) && `${program} is not installed`;
    test(caller, { skip }, async () => {
      const reference = await runNode([script, caller]);
      const expected = parse(reference);
      const registered = await runNode(['--import', REGISTER, script, caller], {
        env: { SAFEEXEC_DEBUG: '1' },
      });
      assert.deepEqual(parse(registered), expected);
      // It was the engine that started them.
      assert.match(registered.stderr, /^safeexec\[\d+\] image/m);
      if (TAKE_SPAWN.includes(caller)) {
        const given = await runNode([script, caller, 'ours'], { env: { SAFEEXEC_DEBUG: '1' } });
        assert.deepEqual(parse(given), expected);
        assert.match(given.stderr, /^safeexec\[\d+\] image/m);
      }
    });
  }
});
