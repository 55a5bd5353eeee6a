import assert from 'node:assert/strict';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { execFile, launch, run, spawn, spawnSync } from '../../src/index.js';
import { inNode } from '../fixtures/in-node.js';
import { pidsOf, statOf, until } from '../process/observe.js';
import { isRoot, noUserNamespaces } from './isolated.js';

const library = new URL('../../src/index.js', import.meta.url).href;
const command = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

function isGone(pid: number): boolean {
  try {
    return statOf(pid).state === 'Z';
  } catch {
    return true;
  }
}

const SLEEP = `'/bin/sleep', ['1000']`;

test('children end with the process, those that ask for it', async () => {
  const { status, stdout } = inNode(`
    const options = { stdio: 'ignore', killOnParentExit: true };
    const pids = [
      spawn(${SLEEP}, options).pid,
      spawn(${SLEEP}, { ...options, killOnParentExit: 'SIGTERM', executor: 'direct' }).pid,
      launch({ path: '/bin/sleep', argv: ['sleep', '1000'], killOnParentExit: true }).pid,
      spawn(${SLEEP}, { stdio: 'ignore', killOnParentExit: false }).pid,
      spawn(${SLEEP}, { stdio: 'ignore' }).pid,
    ];
    process.stdout.write(JSON.stringify(pids));
    process.exit(3);`);
  assert.equal(status, 3, 'the process exits although children run');
  const pids = JSON.parse(stdout) as number[];
  const survivors = pids.splice(3);
  try {
    for (const pid of pids) await until('it is ended', () => isGone(pid));
    for (const pid of survivors) assert.equal(isGone(pid), false);
  } finally {
    for (const pid of survivors) process.kill(pid, 'SIGKILL');
  }
});

test('the signal that is named is the one that is sent', async () => {
  const { stdout } = inNode(`
    const script = 'trap "echo got it; exit" USR1; echo >&2; while :; do sleep 0.01; done';
    const stdio = ['ignore', 'inherit', 'pipe'];
    const child = spawn('/bin/sh', ['-c', script], { stdio, killOnParentExit: 'SIGUSR1' });
    child.stderr.on('data', () => process.exit());`);
  assert.match(stdout, /got it/);
});

describe('in a pid namespace', { skip: noUserNamespaces }, () => {
  const namespaces = `namespaces: { user: true, pid: true }`;

  test('all that is in it ends with the process, if that is asked for', async () => {
    // Each sleep has a number of its own, by which it is found.
    const [ended, left] = ['712345.1', '712345.2'] as const;
    const { stdout } = inNode(`
      const start = (seconds, options) => new Promise((resolve) => {
        const script = 'setsid sleep ' + seconds + ' & echo; wait';
        const stdio = ['ignore', 'pipe', 'ignore'];
        const child = spawn('/bin/sh', ['-c', script], { stdio, ${namespaces}, ...options });
        child.stdout.once('data', () => resolve(child.pid));
      });
      const pids = [await start('${ended}', { killOnParentExit: true }), await start('${left}', {})];
      process.stdout.write(JSON.stringify(pids), () => process.exit());`);
    const [first, second] = JSON.parse(stdout) as [number, number];
    try {
      await until('the monitor is ended', () => isGone(first));
      await until('the rest is', () => pidsOf(ended).length === 0);
      assert.equal(isGone(second), false);
      await until('the other is there', () => pidsOf(left).length === 1);
    } finally {
      process.kill(second, 'SIGKILL');
    }
    await until('it ends with its monitor', () => pidsOf(left).length === 0);
  });

  test('the signal that is named reaches the program', () => {
    const { stdout } = inNode(`
      const script = 'trap "echo got it; exit" USR1; echo >&2; while :; do sleep 0.01; done';
      const stdio = ['ignore', 'inherit', 'pipe'];
      const options = { stdio, ${namespaces}, killOnParentExit: 'SIGUSR1' };
      const child = spawn('/bin/sh', ['-c', script], options);
      child.stderr.on('data', () => process.exit());`);
    assert.match(stdout, /got it/);
  });

  test('also if the program is another user', { skip: !isRoot && 'takes root' }, async () => {
    const marker = '712345.3';
    const { stdout } = inNode(`
      const options = { namespaces: { pid: true }, uid: 65534, gid: 65534, killOnParentExit: true };
      const script = 'echo; exec sleep ${marker}';
      const child = spawn('/bin/sh', ['-c', script], { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
      child.stdout.once('data', () => process.stdout.write('started', () => process.exit()));`);
    assert.equal(stdout, 'started');
    await until('it is ended', () => pidsOf(marker).length === 0);
  });
});

test('children of a Worker end with the Worker', async () => {
  const code = `
    const { parentPort } = require('node:worker_threads');
    import('${library}').then(({ spawn }) => {
      const options = { stdio: 'ignore', killOnParentExit: true };
      parentPort.postMessage([spawn(${SLEEP}, options).pid, spawn(${SLEEP}, { stdio: 'ignore' }).pid]);
      setInterval(() => {}, 1000);
    });`;
  const thread = new Worker(code, { eval: true });
  const [[ended, other]] = (await once(thread, 'message')) as [[number, number]];
  await thread.terminate();
  await until('it is ended', () => isGone(ended));
  assert.equal(isGone(other), false);
  process.kill(other, 'SIGKILL');
  await until('it is reaped', () => isGone(other));
});

test('the command ends with safeexec', async () => {
  const args = ['run', '--kill-on-parent-exit', '--', '/bin/sh', '-c', 'echo $$; exec sleep 1000'];
  const cli = nodeSpawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: cli.stdout }), 'line');
  cli.kill('SIGKILL');
  await until('it is ended', () => isGone(Number(line)));
});

test('or by another signal', async () => {
  const script = 'trap "echo told; exit" TERM; echo ready; while :; do sleep 0.01; done';
  const args = ['run', '--parent-exit-signal', 'term', '--', '/bin/sh', '-c', script];
  const cli = nodeSpawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: cli.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'ready');
  cli.kill('SIGKILL');
  assert.equal((await lines.next()).value, 'told');
});

test('all forms take it', async () => {
  const options = { killOnParentExit: true } as const;
  assert.equal((await run('/bin/true', [], options)).exitCode, 0);
  assert.equal(spawnSync('/bin/true', [], options).status, 0);
  assert.equal((await launch({ path: '/bin/true', ...options }).exited)?.exitCode, 0);
  const [code] = await once(execFile('/bin/true', [], options), 'exit');
  assert.equal(code, 0);
});

test('anything but a boolean or a signal is refused', () => {
  const refused = (killOnParentExit: unknown, code: string): void => {
    const options = { killOnParentExit } as { killOnParentExit: boolean };
    assert.throws(() => spawn('/bin/true', options), { code });
    assert.throws(() => launch({ path: '/bin/true', ...options }), { code });
  };
  refused('SIGNONE', 'ERR_UNKNOWN_SIGNAL');
  refused(9, 'ERR_INVALID_ARG_TYPE');
  refused({}, 'ERR_INVALID_ARG_TYPE');
});
