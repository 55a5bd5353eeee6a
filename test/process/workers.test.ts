import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { launch, run, spawn } from '../../src/index.js';
import { children, descriptorsOf, until } from './observe.js';

const library = new URL('../../src/index.js', import.meta.url).href;

/** A Worker that has the library; `post` sends to here. */
function worker(code: string): Worker {
  const prelude = `
    const { parentPort } = require('node:worker_threads');
    const post = (value) => parentPort.postMessage(value);
    import('${library}').then(async ({ spawn, launch, run }) => { ${code} });`;
  return new Worker(prelude, { eval: true });
}

async function message<T>(from: Worker): Promise<T> {
  const [value] = await Promise.race([
    once(from, 'message'),
    once(from, 'error').then(([error]) => Promise.reject(error)),
  ]);
  return value as T;
}

/** Descriptors that are nobody's children's and no stream's: their kinds, counted. */
function kinds(): string {
  const files = [...descriptorsOf('self').values()].map((file) => file.replace(/:\[\d+\]/, ''));
  return JSON.stringify(files.sort());
}

test('children of a Worker are seen to end there', async () => {
  const thread = worker(`post((await run('/bin/sh', ['-c', 'echo $((6*7))'])).stdout);`);
  const ended = once(thread, 'exit');
  assert.equal(await message(thread), '42\n');
  assert.deepEqual(await ended, [0], 'it ends by itself');
});

test('many Workers at once, each with many children', async () => {
  const code = `
    const codes = await Promise.all(Array.from({ length: 15 }, (_, i) =>
      run('/bin/sh', ['-c', 'exit ' + i], { reject: false }).then((r) => r.exitCode)));
    post(codes);`;
  const threads = Array.from({ length: 10 }, () => worker(code));
  const own = Promise.all(
    Array.from({ length: 15 }, () => once(spawn('/bin/true', { stdio: 'ignore' }), 'exit')),
  );
  for (const codes of await Promise.all(threads.map((thread) => message<number[]>(thread)))) {
    assert.deepEqual(
      codes,
      Array.from({ length: 15 }, (_, i) => i),
    );
  }
  assert.equal((await own).length, 15);
  await until('nothing is left of them', () => children().size === 0);
});

test('what a terminated Worker leaves is reaped, and its descriptors closed', async () => {
  await once(spawn('/bin/true', { stdio: 'ignore' }), 'exit');
  const code = `
    const pids = [];
    for (let i = 0; i < 8; i++) {
      pids.push(spawn('/bin/sleep', ['1000'], { stdio: i % 2 ? 'pipe' : 'ignore' }).pid);
      pids.push(launch({ path: '/bin/sleep', argv: ['sleep', '1000'] }).pid);
    }
    post(pids);
    setInterval(() => {}, 1000);`;
  // The first of them may start what stays: threads of Node's, for one.
  let before = '';
  for (let round = 0; round < 3; round++) {
    const thread = worker(code);
    const pids = await message<number[]>(thread);
    await thread.terminate();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('all are reaped', () => children().size === 0);
    if (round === 0) {
      await until('its descriptors are closed', () => !kinds().includes('pidfd'));
      before = kinds();
    } else await until('its descriptors are closed', () => kinds() === before);
  }
});

test('Workers that end while they start processes do no harm', async () => {
  const code = `
    post('ready');
    for (;;) launch({ path: '/bin/true' });`;
  for (let round = 0; round < 8; round++) {
    const thread = worker(code);
    await message(thread);
    await thread.terminate();
  }
  await until('all are reaped', () => children().size === 0);
  const child = spawn('/bin/true', { stdio: 'ignore' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('a Worker ends although a child of its is unreferenced', async () => {
  const thread = worker(`
    const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    child.unref();
    post(child.pid);`);
  const ended = once(thread, 'exit');
  const pid = await message<number>(thread);
  await ended;
  process.kill(pid, 'SIGKILL');
  await until('it is reaped', () => !children().has(pid));
});

test('a thousand children alive at once', async () => {
  const all = Array.from({ length: 1000 }, () =>
    spawn('/bin/cat', { stdio: ['pipe', 'ignore', 'ignore'] }),
  );
  const exits = Promise.all(all.map((child) => once(child, 'exit')));
  for (const child of all) assert.equal(child.kill(0), true);
  for (const child of all) child.stdin?.end();
  for (const [code, signal] of await exits) assert.deepEqual([code, signal], [0, null]);
  assert.equal(children().size, 0);
});

test('exits are told although all of the thread pool is held', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
  const fifo = join(folder, 'fifo');
  const { exitCode } = await run('mkfifo', [fifo]);
  assert.equal(exitCode, 0);
  // Each of these holds a thread until somebody writes; another operation does not get its turn.
  const size = Number(process.env.UV_THREADPOOL_SIZE) || 4;
  const held = Array.from({ length: size }, () => open(fifo, 'r'));
  let behind = false;
  const last = stat(folder).then(() => {
    behind = true;
  });
  const child = spawn('/bin/echo', ['x']);
  assert.equal(await text(child.stdout as Readable), 'x\n');
  await until('it exits', () => child.exitCode === 0);
  const { exited } = launch({ path: '/bin/true' });
  assert.equal((await exited)?.exitCode, 0);
  assert.equal(behind, false);
  closeSync(openSync(fifo, constants.O_WRONLY));
  for (const handle of await Promise.all(held)) await handle.close();
  await last;
  rmSync(folder, { recursive: true });
});
