import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { statOf, until } from '../process/observe.js';
import { soak } from '../soak.js';
import { SteppedParent, missingStrace as skip } from './stepping.js';

const isRoot = process.getuid?.() === 0;

const folder = mkdtempSync(join(tmpdir(), 'safeexec-ends-'));
chmodSync(folder, 0o777);
after(() => rmSync(folder, { recursive: true, force: true }));

/** The new process makes these calls, and nothing else in its parent at that time. */
const HELPER_CALLS = [
  'execveat',
  ...(soak ? ['rt_sigaction', 'setsid', 'openat', 'chdir'] : []),
  'close_range',
  ...(soak && isRoot ? ['setgroups', 'setgid', 'setuid'] : []),
  'prctl',
  'getppid',
  'execve',
];

function isGone(pid: number): boolean {
  try {
    return statOf(pid).state === 'Z';
  } catch {
    return true;
  }
}

/** Kills the parent while its child has stopped at a system call; whether the target ran then. */
async function killedAt(syscall: string, options: object): Promise<boolean> {
  const mark = join(folder, `${syscall}-${Math.random()}`);
  const ids = isRoot && !('executor' in options) ? { uid: 65534, gid: 65534 } : {};
  const all = { stdio: 'ignore', detached: true, cwd: '/', ...ids, ...options };
  const code = `spawn('/bin/sh', ['-c', 'echo > "$0"', ${JSON.stringify(mark)}], ${JSON.stringify(all)});`;
  const parent = await SteppedParent.start(code);
  try {
    await parent.interfere(syscall, 'STOP');
    const child = await parent.stopped();
    const exit = once(parent.process, 'exit');
    parent.process.kill('SIGKILL');
    await exit;
    process.kill(child, 'SIGCONT');
    await until('the child has ended', () => isGone(child));
    return existsSync(mark);
  } finally {
    await parent.end();
  }
}

describe('a parent that is killed in the middle of a launch', { skip, concurrency: 2 }, () => {
  for (const syscall of HELPER_CALLS) {
    test(`with killOnParentExit, at ${syscall}: the target does not run`, async () => {
      assert.equal(await killedAt(syscall, { killOnParentExit: true }), false);
    });
  }
  for (const syscall of soak ? ['rt_sigaction', 'getppid', 'execve'] : ['getppid']) {
    test(`the same in memory that is shared, at ${syscall}`, async () => {
      const options = { killOnParentExit: true, executor: 'direct' };
      assert.equal(await killedAt(syscall, options), false);
    });
  }
  test('with a signal that is blocked until the exec', async () => {
    assert.equal(await killedAt('execve', { killOnParentExit: 'SIGTERM' }), false);
  });
  for (const syscall of soak ? ['execveat', 'close_range', 'execve'] : ['close_range']) {
    test(`without it, at ${syscall}: the target runs all the same`, async () => {
      assert.equal(await killedAt(syscall, {}), true);
    });
  }
});

/** Kills the child at a system call, and gives what its parent says of it. */
async function childKilledAt(syscall: string, code: string): Promise<unknown> {
  const parent = await SteppedParent.start(`
    const say = (value) => console.log('said ' + JSON.stringify(value));
    ${code}`);
  try {
    await parent.interfere(syscall, 'KILL');
    const said = await parent.output.next(/^said (.*)/);
    return JSON.parse(said?.[1] ?? 'null');
  } finally {
    await parent.end();
  }
}

describe('a child that is killed before its program runs', { skip, concurrency: 2 }, () => {
  const options = JSON.stringify({ stdio: 'ignore', cwd: '/' });
  for (const syscall of soak
    ? ['execveat', 'rt_sigaction', 'chdir', 'execve']
    : ['execveat', 'chdir']) {
    test(`at ${syscall}: spawn() tells of an exit by that signal`, async () => {
      const said = await childKilledAt(
        syscall,
        `const child = spawn('/bin/true', ${options});
         child.on('error', (error) => say(error.message));
         child.on('exit', (code, signal) => say({ code, signal }));`,
      );
      assert.deepEqual(said, { code: null, signal: 'SIGKILL' });
    });
  }
  test('launch() gives back a process that has ended so', async () => {
    const code = `say((await launch({ path: '/bin/true', setsid: true }).exited).signal);`;
    assert.equal(await childKilledAt('setsid', code), 'SIGKILL');
  });
  test('so does spawnSync()', async () => {
    const code = `
      const { status, signal, error } = spawnSync('/bin/true', { detached: true });
      say({ status, signal, error });`;
    assert.deepEqual(await childKilledAt('setsid', code), { status: null, signal: 'SIGKILL' });
  });
});
