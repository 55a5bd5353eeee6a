import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { HELP } from '../../src/cli/help.js';
import { cli } from './cli.js';

test('help, in all its spellings', async () => {
  for (const args of [['help'], ['--help'], ['-h']]) {
    const { code, stdout } = await cli(args);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: HELP.help });
  }
  for (const name of ['run', 'explain', 'doctor'] as const) {
    for (const args of [
      ['help', name],
      ['--help', name],
      [name, '--help'],
      [name, '-h'],
    ]) {
      const { code, stdout } = await cli(args);
      assert.deepEqual({ code, stdout }, { code: 0, stdout: HELP[name] }, args.join(' '));
    }
  }
});

test('--version is that of the package', async () => {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  assert.equal((await cli(['--version'])).stdout, `${JSON.parse(text).version}\n`);
});

test('no subcommand, or one that is not there: 2', async () => {
  const none = await cli([]);
  assert.deepEqual([none.code, none.stderr], [2, HELP.help]);
  for (const args of [['walk'], ['help', 'walk'], ['--walk'], ['constructor']]) {
    const { code, stderr } = await cli(args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^safeexec: there is no (option|subcommand) '/);
  }
});
