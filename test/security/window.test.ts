import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { descriptorsOf, signalsIn, statOf, statusOf, until } from '../process/observe.js';

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

/** Looks at a child that strace keeps in front of its exec, in the parent's memory. */
async function atTheWindow(
  look: (child: number, node: number) => unknown,
  start = "launch({ path: '/bin/true', executor: 'image' }).exited",
): Promise<void> {
  // A descriptor that is close-on-exec, as all of Node's are. The first launch finds out what the
  // kernel offers; the second is the one to look at.
  const script = `
    const { openSync } = await import('node:fs');
    openSync('/etc', 'r');
    const { launch, spawn } = await import(${JSON.stringify(library)});
    const start = () => ${start};
    await start();
    process.stdin.once('data', async () => process.exit((await start()).exitCode));
    console.log('ready');
  `;
  const node = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const pid = node.pid as number;
  const ended = once(node, 'exit');
  await once(node.stdout, 'data');
  const injection = 'inject=execveat:delay_enter=60000000';
  const strace = spawn(
    'strace',
    ['-f', '-qqq', '-o', '/dev/null', '-e', injection, '-p', `${pid}`],
    {
      stdio: 'ignore',
    },
  );
  await until('node is traced', () => statusOf(pid).get('TracerPid') !== '0');
  node.stdin.end('go');
  try {
    await look(await until('there is a child', () => childrenOf(pid)[0]), pid);
  } finally {
    // Without a tracer they go on at once.
    strace.kill('SIGKILL');
    assert.deepEqual(await ended, [0, null]);
  }
}

test('between clone and execveat the child has all signals blocked, and its parent thread waits', {
  skip,
}, async () => {
  await atTheWindow((child, node) => {
    const blocked = new Set(signalsIn(child, 'SigBlk'));
    for (let signal = 1; signal <= 64; signal++) {
      assert.equal(blocked.has(signal), signal !== 9 && signal !== 19, `signal ${signal}`);
    }
    // It is still in the parent's memory, and alone of all threads stands there.
    assert.equal(statusOf(child).get('VmSize'), statusOf(node).get('VmSize'));
    assert.match(readFileSync(`/proc/${node}/task/${node}/stat`, 'latin1'), /\) [DSt] /);
  });
});

test('the same after spawn, where the parent thread goes on', { skip }, async () => {
  const start = `new Promise((exited) => {
    spawn('/bin/true').on('exit', (exitCode) => exited({ exitCode }));
  })`;
  await atTheWindow(async (child, node) => {
    assert.equal(signalsIn(child, 'SigBlk').length, 62);
    await until('the launch is over', () => signalsIn(node, 'SigBlk').length === 0);
    assert.equal(statusOf(child).get('VmSize'), statusOf(node).get('VmSize'));
  }, start);
});

test('until its exec the child has a copy of the whole table, and then only what was given', {
  skip,
}, async () => {
  await atTheWindow((child, node) => {
    // What is made with the child itself is not in its copy.
    const own = [...descriptorsOf(node)].filter(([, text]) => !text.includes('pidfd'));
    const copied = descriptorsOf(child);
    assert.deepEqual(
      own.filter(([fd, text]) => copied.get(fd) !== text),
      [],
    );
    // What the parent has closed behind the clone: the error pipe's write end, and the image.
    assert.ok(copied.size - own.length <= 2, [...copied.values()].join(' '));
    assert.ok([...descriptorsOf(child).values()].includes('/etc'));
  });
  // What of it the target has, inheritance.test.ts says.
});
