import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readControls } from '../../../src/cli/flags/index.js';
import { UsageError } from '../../../src/cli/usage.js';
import { cgroupRequest } from '../../../src/controls/cgroup.js';

const settings = (flags: Parameters<typeof readControls>[0]) => {
  const { cgroup } = readControls(flags);
  assert.ok(cgroup !== undefined);
  return cgroupRequest(cgroup);
};

test('flags of control groups', () => {
  assert.deepEqual(readControls({}).cgroup, undefined);
  assert.equal(readControls({ cgroup: '/a' }).cgroup, '/a');
  const request = settings({
    ...{ 'cgroup-parent': '/a', 'cgroup-name': 'b', 'cgroup-keep': true },
    ...{ 'memory-max': '1KiB', 'pids-max': 'max', 'cpu-max': '1.5' },
    'io-max': ['8:0,rbps=1KiB,wiops=7', '8:16,wbps=max'],
  });
  assert.deepEqual([request.parent, request.name, request.kill], ['/a', 'b', false]);
  assert.deepEqual(
    request.settings.map(({ file, text }) => `${file} ${text}`),
    [
      'memory.max 1024',
      'pids.max max',
      'cpu.max 150000 100000',
      'io.max 8:0 rbps=1024 wiops=7',
      'io.max 8:16 wbps=max',
    ],
  );
  assert.deepEqual(settings({ 'cgroup-keep': true }).path, null);
  assert.deepEqual(settings({ 'cpu-max': '5000:20000' }).settings, [
    { file: 'cpu.max', text: '5000 20000' },
  ]);
});

test('what is wrong with them', () => {
  for (const flags of [
    { cgroup: '/a', 'memory-max': '1' },
    { cgroup: '/a', 'cgroup-name': 'b' },
    { 'io-max': ['8:0,speed=1'] },
    { 'io-max': ['8:0,rbps'] },
  ]) {
    assert.throws(() => readControls(flags), UsageError, JSON.stringify(flags));
  }
});
