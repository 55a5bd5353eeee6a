import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { currentPersonality } from '../../src/controls/memory.js';
import { launch, spawn } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { ADDR_NO_RANDOMIZE } from '../../src/plan/constants.js';
import {
  failuresWithoutPrivileges,
  isRoot,
  nodeOutput,
  outputOf,
  peerOutput,
  procFile,
  statusLine,
} from './probe.js';

const ownScore = Number(readFileSync('/proc/self/oom_score_adj', 'latin1'));

for (const executor of EXECUTORS) {
  test(`${executor}: oomScoreAdjust is the child's alone`, () => {
    const value = Math.min(ownScore + 7, 1000);
    const name = 'oom_score_adj';
    assert.equal(procFile(name, { executor, oomScoreAdjust: value }), `${value}\n`);
    assert.equal(Number(readFileSync('/proc/self/oom_score_adj', 'latin1')), ownScore);
  });

  test(`${executor}: addressRandomization is kept through exec, and taken back`, () => {
    const options = { executor, addressRandomization: false };
    assert.equal(Number(`0x${procFile('personality', options)}`), ADDR_NO_RANDOMIZE);
    const place = () => outputOf(['grep', '-F', '[stack]', '/proc/self/maps'], options);
    assert.equal(place(), place());
    assert.equal(currentPersonality(), 0, 'of this process nothing changed');
  });
}

test('addressRandomization: true in a process that has none', () => {
  const code = `
    for (const addressRandomization of [undefined, true, false]) {
      const { stdout } = spawnSync('cat', ['/proc/self/personality'], { addressRandomization });
      console.log(Number.parseInt(stdout, 16));
    }`;
  const output = nodeOutput(code, { addressRandomization: false });
  assert.equal(output, `${ADDR_NO_RANDOMIZE}\n0\n${ADDR_NO_RANDOMIZE}\n`);
});

test('the same as setarch -R', (context) => {
  const peer = peerOutput(['setarch', '-R', 'cat', '/proc/self/personality']);
  if (peer === null) return context.skip('setarch(8) is not installed');
  assert.equal(procFile('personality', { addressRandomization: false }), peer);
});

const shown = statusLine('THP_enabled', {});
const noShow = shown === undefined && '/proc/self/status has no THP_enabled before Linux 5.0';

test('transparentHugePages: off, and on again in a child of that', { skip: noShow }, () => {
  assert.equal(statusLine('THP_enabled', { transparentHugePages: false }), '0');
  assert.equal(statusLine('THP_enabled', {}), shown);
  const code = `
    for (const transparentHugePages of [undefined, true]) {
      const { stdout } = spawnSync('cat', ['/proc/self/status'], { transparentHugePages });
      console.log(/THP_enabled:\\s*(\\d)/.exec(stdout)[1]);
    }`;
  assert.equal(nodeOutput(code, { transparentHugePages: false }), '0\n1\n');
});

test('transparentHugePages is refused where memory is shared', () => {
  const options = { transparentHugePages: false, executor: 'direct' } as const;
  const expected = { code: 'ERR_INVALID_ARG_VALUE', message: /huge pages/ };
  assert.throws(() => launch({ path: '/bin/true', ...options }), expected);
  assert.throws(() => spawn('/bin/true', options), expected);
});

test('what is refused names its step', () => {
  const lower = Math.max(ownScore - 1, -1000);
  const failures = failuresWithoutPrivileges([
    { oomScoreAdjust: lower },
    { oomScoreAdjust: lower, executor: 'direct' },
    { oomScoreAdjust: 1000 },
  ]);
  const expected = lower === ownScore ? 'none' : 'EACCES oomScoreAdjust';
  assert.deepEqual(failures, [expected, expected, 'none']);
});

describe('what cannot be meant is refused', () => {
  const wrong: readonly [object, string][] = [
    [{ oomScoreAdjust: 1001 }, 'ERR_OUT_OF_RANGE'],
    [{ oomScoreAdjust: -1001 }, 'ERR_OUT_OF_RANGE'],
    [{ oomScoreAdjust: 0.5 }, 'ERR_OUT_OF_RANGE'],
    [{ oomScoreAdjust: '5' }, 'ERR_INVALID_ARG_TYPE'],
    [{ transparentHugePages: 0 }, 'ERR_INVALID_ARG_TYPE'],
    [{ addressRandomization: 'no' }, 'ERR_INVALID_ARG_TYPE'],
  ];
  for (const [options, code] of wrong) {
    test(JSON.stringify(options), () => {
      assert.throws(() => launch({ path: '/bin/true', ...options }), { code });
      assert.throws(() => spawn('/bin/true', options), { code });
    });
  }
});

test('dumpable: exec decides, so that nothing else can be had', () => {
  assert.throws(() => launch({ path: '/bin/true', dumpable: false }), {
    name: 'UnsupportedError',
    missing: 'dumpable',
    message: /execve/,
  });
  assert.throws(() => launch({ path: '/bin/true', dumpable: 0 as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
  // The helper is not dumpable when it has changed its user; the files of such are root's.
  const uid = isRoot ? 65_534 : (process.getuid?.() as number);
  const ids = isRoot ? { uid, gid: uid } : {};
  const owner = outputOf(['stat', '-c', '%u', '/proc/self/environ'], { ...ids, dumpable: true });
  assert.equal(owner, `${uid}\n`);
});
