import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inNode, resultInNode } from '../fixtures/in-node.js';

test('a child keeps the event loop alive, and no longer than it lives', () => {
  const { stdout, status } = inNode(`
    spawn('/bin/sleep', ['0.05'], { stdio: 'ignore' }).on('exit', (code) => console.log(code));`);
  assert.deepEqual([stdout, status], ['0\n', 0]);
});

test('unref lets it end, ref takes that back', () => {
  const { stdout, status } = inNode(`
    const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    child.unref();
    console.log(child.pid);`);
  assert.equal(status, 0);
  process.kill(Number(stdout), 'SIGKILL');
  const again = inNode(`
    const child = spawn('/bin/sleep', ['0.05'], { stdio: 'ignore' });
    child.unref();
    child.ref();
    child.on('exit', (code) => console.log(code));`);
  assert.equal(again.stdout, '0\n');
});

test('a program that starts nothing, or failed to, ends', () => {
  const { stdout, status } = inNode(`
    engine();
    spawn('/no/such').on('error', ({ code }) => console.log(code));
    try { launch({ path: '/no/such' }); } catch ({ code }) { console.log(code); }`);
  assert.deepEqual([stdout, status], ['ENOENT\nENOENT\n', 0]);
});

test('an uncaught exception in a listener is reported, and the next exit still comes', () => {
  const { stdout } = inNode(`
    process.on('uncaughtException', ({ message }) => console.log(message));
    spawn('/bin/true', { stdio: 'ignore' }).on('exit', () => {
      spawn('/bin/true', { stdio: 'ignore' }).on('exit', () => console.log('second'));
      throw new Error('first');
    });`);
  assert.deepEqual(stdout.trim().split('\n'), ['first', 'second']);
});

test('several exits at once, the listener of one throwing', () => {
  const result = resultInNode(`
    const seen = [];
    process.on('uncaughtException', () => seen.push('caught'));
    const all = Array.from({ length: 10 }, () => spawn('/bin/sleep', ['0.05'], { stdio: 'ignore' }));
    await Promise.all(all.map((child, i) => new Promise((resolve) => child.on('exit', () => {
      seen.push('exit');
      resolve();
      if (i % 2) throw new Error('in a listener');
    }))));
    setImmediate(() => console.log(JSON.stringify(seen.sort())));`);
  assert.deepEqual(result, [...Array(5).fill('caught'), ...Array(10).fill('exit')]);
});

test('SIGCHLD may be ignored or handled by somebody else', () => {
  const result = resultInNode(`
    const { spawn: theirs } = await import('node:child_process');
    process.on('SIGCHLD', () => {});
    const end = (child) => new Promise((resolve) => child.on('exit', resolve));
    const codes = await Promise.all([
      end(theirs('/bin/sh', ['-c', 'exit 5'])), end(spawn('/bin/sh', ['-c', 'exit 6'])),
      launch({ path: '/bin/sh', argv: ['sh', '-c', 'exit 7'] }).exited.then((exit) => exit.exitCode),
    ]);
    console.log(JSON.stringify(codes));`);
  assert.deepEqual(result, [5, 6, 7]);
});
