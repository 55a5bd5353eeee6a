import assert from 'node:assert/strict';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { exec, execFile, execFileSync, execSync, spawn, spawnSync } from '../../src/index.js';

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
