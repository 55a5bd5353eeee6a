import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { launch, spawn } from '../../src/index.js';
import { STOPS, statusOf, stopped } from './observe.js';

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'only root may become somebody else';
const ID = 65_534;

test('uid and gid: all three ids, and no other groups', { skip }, async () => {
  const child = spawn(...STOPS, { uid: ID, gid: ID, stdio: 'ignore', cwd: '/' });
  const exited = once(child, 'exit');
  try {
    const status = statusOf(await stopped(child.pid));
    assert.equal(status.get('Uid'), Array(4).fill(ID).join('\t'));
    assert.equal(status.get('Gid'), Array(4).fill(ID).join('\t'));
    assert.equal(status.get('Groups'), '');
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
  assert.equal(process.getuid?.(), 0);
});

test('a user who may not become another is told so', { skip }, async () => {
  // Starts as somebody, who starts another.
  const index = new URL('../../src/index.js', import.meta.url).href;
  const code = `import('${index}').then(({ spawn }) => {
    const show = ({ code, step }) => console.log(code, step);
    try { spawn('/bin/true', { uid: 0 }).on('error', show); } catch (error) { show(error); }
  });`;
  const child = spawn(process.execPath, ['-e', code], { uid: ID, gid: ID, cwd: '/' });
  let output = '';
  child.stdout?.on('data', (data) => {
    output += data;
  });
  child.stderr?.on('data', (data) => {
    output += data;
  });
  await once(child, 'close');
  assert.equal(output, 'EPERM setuid\n');
});

test('resource limits and niceness are inherited', async () => {
  const [path, args] = STOPS;
  const child = launch({ path, argv: ['sh', ...args] });
  try {
    const limits = (pid: number | 'self') => readFileSync(`/proc/${pid}/limits`, 'latin1');
    assert.equal(limits(await stopped(child.pid)), limits('self'));
  } finally {
    child.kill('SIGKILL');
    await child.exited;
  }
});
