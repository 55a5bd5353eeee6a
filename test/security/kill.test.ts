import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { launch, spawn } from '../../src/index.js';
import { inNode } from '../fixtures/in-node.js';

const namespace = ['unshare', '--pid', '--fork', '--mount-proc'];
const probe = spawnSync(namespace[0] as string, [...namespace.slice(1), 'true']);
const skip = probe.status !== 0 && 'a pid namespace takes unshare(1) and root';

test('a pid that was given again is not hit by kill', { skip }, () => {
  // In a namespace of its own, where the next pid can be chosen: pid_namespaces(7).
  const { status, stdout, stderr } = inNode(
    `
    import { writeFileSync } from 'node:fs';
    const ends = (child) => new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
    const again = async (pid, start) => {
      for (;;) {
        writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
        const other = start();
        if (other.pid === pid) return other;
        // Some thread of Node's took it: then once more, when that is free.
        other.kill('SIGKILL');
        await ends(other);
      }
    };
    const first = spawn('/bin/true', { stdio: 'ignore' });
    await ends(first);
    const second = launch({ path: '/bin/true' });
    await second.exited;
    const sleep = () => spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    const strangers = [await again(first.pid, sleep), await again(second.pid, sleep)];
    const results = [first.kill('SIGKILL'), first.kill(0), second.kill('SIGKILL'), second.kill(0)];
    const alive = strangers.map((stranger) => stranger.kill(0));
    const hit = strangers.map((stranger) => stranger.signalCode);
    console.log(JSON.stringify({ results, alive, hit }));
    for (const stranger of strangers) stranger.kill('SIGKILL');
    `,
    { through: namespace },
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    results: [false, false, false, false],
    alive: [true, true],
    hit: [null, null],
  });
});

test('kill finds nobody once the process was reaped', async () => {
  const child = launch({ path: '/bin/true' });
  await child.exited;
  assert.equal(child.pidfd, -1);
  assert.equal(child.kill(), false);
  const other = spawn('/bin/true', { stdio: 'ignore' });
  await new Promise((resolve) => other.once('exit', resolve));
  assert.equal(other.kill(), false);
});
