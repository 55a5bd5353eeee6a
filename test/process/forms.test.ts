import assert from 'node:assert/strict';
import type * as node from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { exec, execFile, execFileSync, execSync, run, spawn, spawnSync } from '../../src/index.js';

/** Compiles only if `Type` is the type of the value, no wider and no narrower. */
function exactly<Type>() {
  return <Given>(value: Given & ([Type] extends [Given] ? unknown : never) & Type): Type => value;
}

test('types follow from the arguments as with node:child_process', async () => {
  const { stdout, stderr } = await promisify(execFile)('echo', ['file']);
  assert.equal(exactly<string>()(stdout), 'file\n');
  assert.equal(exactly<string>()(stderr), '');
  const shell = await promisify(exec)('echo shell', { encoding: 'buffer' });
  assert.equal(shell.stdout.toString('latin1'), 'shell\n');
  assert.equal(exactly<string>()(execSync('echo a', { encoding: 'utf8' })), 'a\n');
  assert.equal(execFileSync('echo', ['b']).toString(), 'b\n');
  assert.equal(exactly<string>()(spawnSync('echo', ['c'], { encoding: 'utf8' }).stdout), 'c\n');

  const child = spawn('cat');
  child.stdin.end('through a pipe');
  let output = '';
  for await (const chunk of child.stdout) output += chunk;
  assert.equal(output, 'through a pipe');
  assert.ok(child.resourceUsage === null || child.resourceUsage.maxRSS > 0);
  const silent = spawn('true', { stdio: 'ignore', executor: 'direct' });
  assert.equal(silent.stdout?.readable, undefined);
});

test('which streams a child has follows from its stdio', () => {
  const child = spawn('true', ['a'], { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.equal(exactly<null>()(child.stdin), null);
  exactly<Readable>()(child.stdout).resume();
  assert.equal(exactly<null>()(child.stderr), null);
  const more = spawn('true', { stdio: ['pipe', 1, null, 'pipe'] });
  exactly<Writable>()(more.stdin).end();
  assert.equal(exactly<null>()(more.stdout), null);
  exactly<Readable>()(more.stderr).resume();
  // What is only known when it runs may be either.
  const either = spawn('true', [], { stdio: [process.argv.length > 0 ? 'pipe' : 'ignore', 1, 2] });
  exactly<Writable | null>()(either.stdin)?.end();
});

test('a child can be passed on as what it is in node:child_process', () => {
  const all: node.ChildProcessWithoutNullStreams = spawn('true');
  const some: node.ChildProcessByStdio<null, Readable, null> = spawn('true', [], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const any: node.ChildProcess = spawn('true', [], { stdio: 'ignore' });
  for (const { pid } of [all, some, any]) assert.ok(pid);
});

test('output is Buffers where the encoding says so, with arguments and without', async () => {
  const bare = await run('true', { encoding: 'buffer' });
  assert.equal(exactly<Buffer>()(bare.stdout).length, 0);
  const { stdout } = await run('echo', ['a'], { encoding: 'buffer' });
  assert.deepEqual(exactly<Buffer>()(stdout), Buffer.from('a\n'));
  assert.equal(exactly<string>()((await run('true', { encoding: 'hex' })).stdout), '');
});
