import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { prepareControls } from '../../src/controls/index.js';
import { launch, type SpawnSyncOptions, spawn } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { engine } from '../../src/process/engine.js';
import { findCandidates } from '../../src/process/lookup.js';
import { spawnPlan } from '../../src/process/spawn-plan.js';
import { inNode } from '../fixtures/in-node.js';
import { failureOf, failureWith, outputOf } from './probe.js';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
const inside = join(folder, 'inside');
mkdirSync(inside);
const script = join(inside, 'script');
writeFileSync(script, '#!/bin/sh\necho "script $0 $1"\n', { mode: 0o755 });
const unexecutable = join(inside, 'unexecutable');
writeFileSync(unexecutable, '', { mode: 0o644 });
const fds = new Map(
  [folder, inside, script, unexecutable, '/bin/sh'].map((path) => [path, openSync(path, 'r')]),
);
const fdOf = (path: string): number => fds.get(path) as number;
after(() => {
  for (const fd of fds.values()) closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** The descriptors that a shell has, and where it is. */
const LOOK = 'ls /proc/$$/fd; pwd';
/** A descriptor with which ls itself looks is not among those of the shell. */
const seen = (directory: string, ...fds: number[]): string => `${fds.join('\n')}\n${directory}\n`;

for (const executor of EXECUTORS) {
  test(`${executor}: cwdFd, and nothing of it stays open`, () => {
    const look = (options: SpawnSyncOptions) =>
      outputOf(['sh', '-c', LOOK], { executor, ...options });
    assert.equal(look({ cwdFd: fdOf(inside) }), seen(inside, 0, 1, 2));
    const stdio = ['pipe', 'pipe', 'pipe', 'ignore', fdOf(folder)] as const;
    assert.equal(look({ cwdFd: fdOf(inside), stdio }), seen(inside, 0, 1, 2, 4));
    assert.equal(look({ cwdFd: fdOf(folder), stdio }), seen(folder, 0, 1, 2, 4));
  });

  test(`${executor}: relative paths of the program start at cwdFd`, () => {
    const options = { executor, cwdFd: fdOf(folder) };
    assert.equal(outputOf(['inside/script', 'x'], options), 'script inside/script x\n');
    const env = { PATH: 'inside' };
    assert.equal(outputOf(['script', 'x'], { ...options, env }), 'script inside/script x\n');
    assert.deepEqual(failureOf('script', { ...options, env: { PATH: '.' } }), ['ENOENT', 'exec']);
  });

  test(`${executor}: execFd, and nothing of it stays open`, () => {
    const options = { executor, execFd: fdOf('/bin/sh') };
    const command = ['no such name', '-c', `echo "$0"; ${LOOK}`];
    assert.equal(outputOf(command, options), `no such name\n${seen(process.cwd(), 0, 1, 2)}`);
    const both = { ...options, cwdFd: fdOf(inside), argv0: 'other' };
    assert.equal(outputOf(command, both), `other\n${seen(inside, 0, 1, 2)}`);
  });

  test(`${executor}: a script by its descriptor needs keepOpen`, () => {
    const fd = fdOf(script);
    const output = outputOf(['name', 'x'], { executor, execFd: { fd, keepOpen: true } });
    assert.equal(output, 'script /dev/fd/3 x\n');
    assert.deepEqual(failureWith({ executor, execFd: fd }), ['ENOENT', 'exec']);
    assert.deepEqual(failureWith({ executor, execFd: { fd, keepOpen: false } }), [
      'ENOENT',
      'exec',
    ]);
  });

  for (const closeOthers of [true, false]) {
    test(`${executor}: launch() with closeOthers ${closeOthers}`, async () => {
      const out = join(folder, 'out');
      const look = async (options: object): Promise<string> => {
        const child = launch({
          ...{
            path: 'name',
            argv: ['name', '-c', `exec >"${out}"; ${LOOK}`],
            executor,
            closeOthers,
          },
          ...options,
        });
        assert.equal((await child.exited)?.exitCode, 0);
        return outputOf(['cat', out], {});
      };
      const standard = [0, 1, 2];
      const cwdFd = fdOf(inside);
      const execFd = fdOf('/bin/sh');
      const plain = await look({ path: '/bin/sh' });
      assert.ok(plain.startsWith(standard.join('\n')));
      assert.equal(
        await look({ execFd, cwdFd }),
        plain.replace(`${process.cwd()}\n`, `${inside}\n`),
      );
      const actions = [{ type: 'dup2', from: execFd, to: 50 }] as const;
      const given = await look({ execFd: 50, actions });
      assert.deepEqual(given.split('\n').includes('50'), true);
      const kept = await look({ execFd: { fd: execFd, keepOpen: true } });
      assert.deepEqual(kept.split('\n').includes(String(execFd)), true);
    });
  }

  test(`${executor}: what fails names its step, and nothing is left behind`, () => {
    const before = readdirSync('/proc/self/fd').length;
    const failure = (options: object) => failureWith({ executor, ...options });
    assert.deepEqual(failure({ cwdFd: fdOf(script) }), ['ENOTDIR', 'fchdir']);
    assert.deepEqual(failure({ cwdFd: 999 }), ['EBADF', 'fchdir']);
    assert.deepEqual(failure({ execFd: fdOf(unexecutable) }), ['EACCES', 'exec']);
    assert.deepEqual(failure({ execFd: fdOf(folder) }), ['EACCES', 'exec']);
    assert.deepEqual(failure({ execFd: 999 }), ['EBADF', 'descriptors']);
    const path = '/bin/true';
    const fd = fdOf(unexecutable);
    for (const [options, code, step] of [
      [{ cwdFd: fdOf(script) }, 'ENOTDIR', 'fchdir'],
      [{ cwdFd: 999 }, 'EBADF', 'descriptors'],
      [{ execFd: fd }, 'EACCES', 'exec'],
      [{ execFd: 999 }, 'EBADF', 'descriptors'],
    ] as const) {
      assert.throws(() => launch({ path, executor, ...options }), { code, step });
    }
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });
}

test('spawn() finds a program from cwdFd, and says at once that there is none', async () => {
  const child = spawn('inside/none', { cwdFd: fdOf(folder) });
  assert.equal(child.pid, undefined);
  const [error] = await new Promise<unknown[]>((resolve) =>
    child.on('error', (...all) => resolve(all)),
  );
  assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT');
});

test('where the root is another, nothing is looked for here', () => {
  const { kernel } = engine();
  const controls = { changesRoot: true, cwdFd: undefined, execFd: undefined };
  const env = ['PATH=/no/such:/bin'];
  const look = { cwd: '/no/such', controls };
  const candidates = findCandidates(kernel, 'none', env, look);
  assert.deepEqual(candidates, ['/no/such/none', '/bin/none']);
  assert.throws(() => findCandidates(kernel, 'none', env, { cwd: '/no/such' }), { step: 'chdir' });
  assert.throws(() => findCandidates(kernel, 'none', env, {}), { code: 'ENOENT' });
});

test('held descriptors get numbers above those of the child', () => {
  const controls = prepareControls({ cwdFd: 7, execFd: { fd: 8, keepOpen: true } });
  const map = new Map([
    [0, 9],
    [4, 5],
  ]);
  const plan = spawnPlan({ file: 'x', controls }, [], map, []);
  assert.equal(plan.exec.fd, 5);
  assert.deepEqual(
    plan.steps.filter(({ type }) =>
      ['descriptors', 'fchdir', 'close', 'closeOnExec'].includes(type),
    ),
    [
      { type: 'descriptors', map: new Map([...map, [5, 8], [6, 7]]) },
      { type: 'fchdir', fd: 6 },
      { type: 'close', fd: 6 },
    ],
  );
  const other = prepareControls({ cwdFd: 7, execFd: 8 });
  assert.notEqual(spawnPlan({ file: 'x', controls: other }, [], map, []).key, plan.key);
});

describe('what cannot be meant is refused', () => {
  const wrong: readonly [object, string][] = [
    [{ cwdFd: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ cwdFd: '3' }, 'ERR_INVALID_ARG_TYPE'],
    [{ execFd: 1.5 }, 'ERR_OUT_OF_RANGE'],
    [{ execFd: '3' }, 'ERR_INVALID_ARG_TYPE'],
    [{ execFd: null }, 'ERR_INVALID_ARG_TYPE'],
    [{ execFd: {} }, 'ERR_INVALID_ARG_TYPE'],
    [{ execFd: { fd: 3, keep: true } }, 'ERR_INVALID_ARG_VALUE'],
    [{ execFd: { fd: 3, keepOpen: 1 } }, 'ERR_INVALID_ARG_TYPE'],
  ];
  for (const [options, code] of wrong) {
    test(JSON.stringify(options), () => {
      assert.throws(() => launch({ path: '/bin/true', ...options }), { code });
      assert.throws(() => spawn('/bin/true', options), { code });
    });
  }

  test('two of a kind', () => {
    const code = 'ERR_INVALID_ARG_VALUE';
    assert.throws(() => spawn('/bin/true', { cwd: '/', cwdFd: 3 }), { code });
    assert.throws(() => spawn('true', { shell: true, execFd: 3 }), { code });
  });
});

test('SAFEEXEC_DEBUG names the file that stands for a descriptor', () => {
  const { stderr, status } = inNode(
    `const { openSync } = await import('node:fs');
    spawn('the-name', { execFd: openSync('/bin/true', 'r') });`,
    { env: { ...process.env, SAFEEXEC_DEBUG: '1' } },
  );
  assert.equal(status, 0, stderr);
  assert.match(stderr, / ms the-name \["the-name"\]: pid \d+\n$/);
});
