import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const library = new URL('../../src/index.js', import.meta.url).href;

/** Starts the same program twice: the second time its environment is a copy. */
const SCRIPT = `
const { spawn, spawnSync } = await import(${JSON.stringify(library)});
const seen = [];
for (let i = 0; i < 2; i++) {
  const child = spawn('/usr/bin/env', ['-0']);
  child.stdout.setEncoding('utf8');
  let text = '';
  for await (const part of child.stdout) text += part;
  seen.push(text);
}
process.stdout.write(JSON.stringify(seen));
`;

function seenWith(env: NodeJS.ProcessEnv, prefix: readonly string[] = []): string[][] {
  const [file = '', ...args] = [...prefix, process.execPath];
  const { stdout, stderr } = spawnSync(file, [...args, '--input-type=module', '-e', SCRIPT], {
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  assert.notEqual(stdout, '', stderr);
  return (JSON.parse(stdout) as string[]).map((text) => text.split('\0').filter((v) => v !== ''));
}

test('a copy of the environment is the environment', () => {
  const many = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`VARIABLE_${i}`, 'ä'.repeat(i)]),
  );
  for (const env of [{ A: '1', B: '', C: 'x=y' }, many, { LONG: 'x'.repeat(100_000) }]) {
    const [first, second] = seenWith(env);
    assert.deepEqual(
      first,
      Object.entries(env).map(([name, value]) => `${name}=${value}`),
    );
    assert.deepEqual(second, first);
  }
});

test('an environment with nothing in it is copied as well', () => {
  assert.deepEqual(seenWith({}), [[], []]);
});
