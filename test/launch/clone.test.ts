import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

/*
 * What happens where the kernel, or what stands in for it, lacks a system call. strace makes the
 * calls fail.
 */

const library = new URL('../../src/index.js', import.meta.url).href;

/** Starts /bin/true in a process of its own: with each executor, with any, with credentials. */
const SCRIPT = `
import { readFileSync } from 'node:fs';
import { launch, spawn } from ${JSON.stringify(library)};
const outcomes = [];
for (const executor of ['direct', 'image', undefined, undefined]) {
  try {
    const { exitCode } = await launch({ path: '/bin/true', executor }).exited;
    outcomes.push(exitCode);
  } catch ({ code, step }) {
    outcomes.push(code + ' ' + step);
  }
}
const children = readFileSync('/proc/thread-self/children', 'utf8');
const failure = await new Promise((resolve, reject) => {
  spawn('/bin/true', { uid: process.getuid(), stdio: 'ignore' })
    .on('error', reject)
    .on('exit', resolve);
}).catch(({ code, step }) => code + ' ' + step);
console.log(JSON.stringify({ outcomes, children, failure }));
`;

const skip = spawnSync('strace', ['-V']).error !== undefined && 'strace is missing';

function runWith(...injections: string[]): unknown {
  const args = injections.flatMap((injection) => ['-e', `inject=${injection}`]);
  const node = [process.execPath, '--input-type=module', '-e', SCRIPT];
  const { stdout, stderr, status } = spawnSync(
    'strace',
    ['-f', '-qqq', '-o', '/dev/null', ...args, ...node],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Of the calls of clone, each launch makes two: the first is made to fail. */
const NO_CLONE_PIDFD = 'clone:error=EINVAL:when=1+2';

test('without CLONE_PIDFD the pidfd comes from pidfd_open', { skip }, () => {
  assert.deepEqual(runWith(NO_CLONE_PIDFD), { outcomes: [0, 0, 0, 0], children: '', failure: 0 });
});

test('a child that can get no pidfd is ended and reaped', { skip }, () => {
  const none = 'EMFILE pidfd_open';
  assert.deepEqual(runWith(NO_CLONE_PIDFD, 'pidfd_open:error=EMFILE'), {
    outcomes: [none, none, none, none],
    children: '',
    failure: none,
  });
});

test('a clone that fails for good is reported', { skip }, () => {
  const none = 'EAGAIN clone';
  assert.deepEqual(runWith('clone:error=EAGAIN'), {
    outcomes: [none, none, none, none],
    children: '',
    failure: none,
  });
});

test('without execveat the plan runs directly, if it may', { skip }, () => {
  const none = 'ERR_SAFEEXEC_UNSUPPORTED undefined';
  assert.deepEqual(runWith('execveat:error=ENOSYS'), {
    outcomes: [0, none, 0, 0],
    children: '',
    failure: none,
  });
});
