import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readControls } from '../../../src/cli/flags/index.js';
import { UsageError } from '../../../src/cli/usage.js';
import { checkSandbox } from '../../../src/controls/sandbox-options.js';
import { noUserNamespaces } from '../../controls/isolated.js';
import { cli } from '../cli.js';

const settings = (flags: Parameters<typeof readControls>[0]) =>
  checkSandbox({ sandbox: readControls({ sandbox: true, ...flags }).sandbox });

test('flags of a sandbox', () => {
  assert.deepEqual(readControls({}).sandbox, undefined);
  assert.deepEqual(settings({}), checkSandbox({ sandbox: true }));
  assert.deepEqual(
    settings({
      ...{ read: ['/usr', '/a'], write: ['/a/b'], net: true, 'best-effort': true },
      ...{ tmp: '1MiB', processes: '7', memory: '4096' },
    }),
    {
      ...{ read: ['/a', '/usr'], optional: false, write: ['/a/b'], net: true, bestEffort: true },
      ...{ tmp: 2 ** 20, processes: 7, memory: 4096 },
    },
  );
  assert.equal(settings({ tmp: '0' })?.tmp, false);
  for (const flags of [{ read: ['/usr'] }, { net: true }, { tmp: '0' }]) {
    assert.throws(() => readControls(flags), UsageError, JSON.stringify(flags));
  }
});

test('run --sandbox', { skip: noUserNamespaces }, async () => {
  const script = 'cat /etc/shadow; ls -d /tmp; hostname';
  const { stdout, stderr, code } = await cli([
    ...['run', '--sandbox', '--tmp', '0', '--cwd', '/', '--', 'sh', '-c', script],
  ]);
  assert.deepEqual([stdout, code], ['sandbox\n', 0]);
  assert.match(stderr, /shadow.*No such file/);
  const refused = await cli(['run', '--sandbox', '--uid', '1', '--', 'true']);
  assert.deepEqual(refused.code, 2);
  assert.match(refused.stderr, /decided by `sandbox`/);
});
