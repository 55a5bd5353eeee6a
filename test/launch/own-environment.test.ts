import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { binding } from '../../src/launch/binding.js';
import { Kernel } from '../../src/launch/kernel.js';
import { Memory } from '../../src/launch/memory.js';
import { OwnEnvironment } from '../../src/launch/own-environment.js';

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

const current = new Kernel(binding());
const { run, machine } = current.binding;
const { wordSize } = machine;

/** What is passed on, read back; `between` runs between the measuring and the copying. */
function copyOf(own: OwnEnvironment, between: () => void = () => {}): string[] {
  const size = own.measure();
  between();
  const used = (size.count + 1) * wordSize + size.bytes;
  const memory = new Memory(run, wordSize, used + 64);
  memory.bytes.fill(0x7a);
  own.copyTo(memory.address, size);
  assert.ok(memory.bytes.subarray(used).every((byte) => byte === 0x7a));
  assert.equal(memory.word(size.count * wordSize), 0);
  return Array.from({ length: size.count }, (_, i) => {
    const at = memory.word(i * wordSize) - memory.address;
    return memory.bytes.toString('utf8', at, memory.bytes.indexOf(0, at));
  });
}

const expected = () => Object.entries(process.env).map(([name, value]) => `${name}=${value}`);

describe("the process's own environment", () => {
  const own = new OwnEnvironment(current);

  test('is copied whole', () => {
    process.env.SAFEEXEC_TEST_EMPTY = '';
    process.env.SAFEEXEC_TEST_WIDE = '\u00e4\u20ac\u{1f600}';
    try {
      assert.deepEqual(copyOf(own), expected());
    } finally {
      delete process.env.SAFEEXEC_TEST_EMPTY;
      delete process.env.SAFEEXEC_TEST_WIDE;
    }
  });

  test('is copied as it was measured, if it grows meanwhile', () => {
    const names = Array.from({ length: 1000 }, (_, i) => `SAFEEXEC_TEST_${i}`);
    const before = expected();
    try {
      const copied = copyOf(own, () => {
        for (const name of names) process.env[name] = name.repeat(10);
      });
      assert.deepEqual(copied, before);
      // More than there was room for.
      assert.deepEqual(copyOf(own), expected());
    } finally {
      for (const name of names) delete process.env[name];
    }
    assert.deepEqual(copyOf(own), before);
  });

  test('may be none at all', () => {
    const variable = current.binding.functions.get('environ') as number;
    const vector = current.load(variable);
    current.store(variable, 0);
    try {
      assert.deepEqual(copyOf(own), []);
    } finally {
      current.store(variable, vector);
    }
  });
});
