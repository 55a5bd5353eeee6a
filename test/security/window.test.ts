import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { signalsIn, statOf, statusOf, until } from '../process/observe.js';

const skip = spawnSync('strace', ['-V']).error !== undefined && 'strace is missing';
const library = new URL('../../src/index.js', import.meta.url).href;

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => {
      try {
        return statOf(other).parent === pid;
      } catch {
        return false;
      }
    });
}

test('between clone and execveat the child has all signals blocked, and its parent thread waits', {
  skip,
}, async () => {
  const script = `import(${JSON.stringify(library)}).then(({ launch }) => launch({ path: '/bin/true' }))`;
  // The child is kept in front of its exec, the second of the program: five seconds are enough to look.
  const strace = spawn(
    'strace',
    [
      '-f',
      '-qqq',
      '-o',
      '/dev/null',
      '-e',
      'trace=execveat',
      '-e',
      'inject=execveat:delay_enter=3000000:when=1',
      process.execPath,
      '-e',
      script,
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => strace.once('exit', resolve));
  const node = await until('node runs', () => childrenOf(strace.pid as number)[0]);
  const child = await until('there is a child', () => childrenOf(node)[0]);
  const blocked = new Set(signalsIn(child, 'SigBlk'));
  for (let signal = 1; signal <= 64; signal++) {
    assert.equal(blocked.has(signal), signal !== 9 && signal !== 19, `signal ${signal}`);
  }
  // It is still in the parent's memory, and alone of all threads stands there.
  assert.equal(statusOf(child).get('VmSize'), statusOf(node).get('VmSize'));
  assert.match(readFileSync(`/proc/${node}/task/${node}/stat`, 'latin1'), /\) [DSt] /);
  assert.equal(await ended, 0);
});
