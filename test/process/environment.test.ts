import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import { type EnvironmentOption, launch, spawn } from '../../src/index.js';
import { pairs, searchPath } from '../../src/process/environment.js';
import { inNode } from '../fixtures/in-node.js';
import { STOPS, stopped } from './observe.js';

/** A variable as a child has it, or undefined. */
async function seen(name: string, env?: EnvironmentOption | null): Promise<string | undefined> {
  const child = spawn('/usr/bin/env', env === undefined ? {} : { env });
  const lines = (await text(child.stdout as Readable)).split('\n');
  return lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
}

test('changes of process.env are seen by children', async () => {
  const name = 'SAFEEXEC_TEST';
  delete process.env[name];
  for (const value of ['one', '', 'zwei €', 'x'.repeat(5000)]) {
    process.env[name] = value;
    assert.equal(await seen(name), value);
    assert.equal(await seen(name, null), value);
  }
  delete process.env[name];
  assert.equal(await seen(name), undefined);
});

test('an environment of their own has nothing of ours', async () => {
  process.env.SAFEEXEC_OURS = '1';
  assert.equal(await seen('SAFEEXEC_OURS', { OTHER: '1' }), undefined);
  assert.equal(await seen('OTHER', { OTHER: '1' }), '1');
  delete process.env.SAFEEXEC_OURS;
});

test('pairs: undefined is left out, inherited properties are not, all else becomes a string', () => {
  const parent = { INHERITED: 'yes', HIDDEN: 'no' };
  const env = Object.create(parent);
  Object.assign(env, { A: 1, B: null, C: undefined, D: '', HIDDEN: undefined });
  assert.deepEqual(pairs(env), ['A=1', 'B=null', 'D=', 'INHERITED=yes']);
  for (const bad of [{ A: 'x\0y' }, { 'A\0': 'x' }]) {
    assert.throws(() => pairs(bad), { code: 'ERR_INVALID_ARG_VALUE' });
  }
});

test('the search path is the one of the new process', () => {
  assert.equal(searchPath(['A=1', 'PATH=/x:/y', 'PATH=/z']), '/x:/y');
  assert.equal(searchPath(['A=1']), '/bin:/usr/bin');
  assert.equal(searchPath('inherit'), process.env.PATH);
});

test('where process.env was replaced, the replacement counts', () => {
  const code = `
    process.env = { ...process.env, REPLACED: 'yes' };
    delete process.env.ORIGINAL;
    const command = 'echo "<$REPLACED> <$ORIGINAL>"';
    await launch({ path: '/bin/sh', argv: ['sh', '-c', command] }).exited;`;
  const { stdout } = inNode(code, { env: { ...process.env, ORIGINAL: 'there' } });
  assert.equal(stdout, '<yes> <>\n');
});

test('the probe of process.env leaves nothing in it', () => {
  const { stdout } = inNode(`spawn('/usr/bin/env', { stdio: 'inherit' });`);
  assert.ok(stdout.includes('PATH='));
  assert.ok(!stdout.includes('SAFEEXEC_PROBE'));
});

test('a Worker has an environment of its own', async () => {
  const url = new URL('../../src/index.js', import.meta.url).href;
  const code = `
    process.env.IN_WORKER = 'yes';
    import('${url}').then(async ({ run }) => {
      const { stdout } = await run('/bin/sh', ['-c', 'echo "$IN_WORKER $IN_MAIN"']);
      require('node:worker_threads').parentPort.postMessage(stdout);
    });`;
  process.env.IN_MAIN = 'copied';
  const worker = new Worker(code, { eval: true });
  process.env.IN_MAIN = 'changed later';
  const output = await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  assert.equal(output, 'yes copied\n');
  assert.equal(process.env.IN_WORKER, undefined);
  delete process.env.IN_MAIN;
});

test('a Worker that shares the environment', async () => {
  const url = new URL('../../src/index.js', import.meta.url).href;
  const code = `
    process.env.SHARED_NOW = 'yes';
    import('${url}').then(async ({ run }) => {
      const { stdout } = await run('/bin/sh', ['-c', 'echo "$SHARED_NOW"']);
      require('node:worker_threads').parentPort.postMessage(stdout);
    });`;
  const worker = new Worker(code, { eval: true, env: SHARE_ENV });
  const output = await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  assert.equal(output, 'yes\n');
  assert.equal(await seen('SHARED_NOW'), 'yes');
  delete process.env.SHARED_NOW;
});

test('launch takes the same environments', async () => {
  const [path, args] = STOPS;
  const child = launch({ path, argv: ['sh', ...args], env: { ONLY: 'this' } });
  try {
    await stopped(child.pid);
    const environ = readFileSync(`/proc/${child.pid}/environ`, 'utf8').split('\0');
    assert.deepEqual(
      environ.filter((pair) => !pair.startsWith('NODE_V8')),
      ['ONLY=this', ''],
    );
  } finally {
    child.kill('SIGKILL');
    await child.exited;
  }
});
