import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, run, spawn, spawnSync } from '../../src/index.js';
import { imageOnly } from '../../src/plan/plan.js';
import { engine } from '../../src/process/engine.js';

const isRoot = process.getuid?.() === 0;
const skip = !isRoot && 'only root may become somebody else';
const OTHER = 65534;

test('direct refuses to change credentials', () => {
  const refused = { code: 'ERR_INVALID_ARG_VALUE', message: /options\.executor/ };
  for (const ids of [{ uid: OTHER }, { gid: OTHER }, { uid: 0, gid: 0 }]) {
    assert.throws(() => spawn('/bin/true', { executor: 'direct', ...ids }), refused);
    assert.throws(() => spawnSync('/bin/true', { executor: 'direct', ...ids }), refused);
  }
  for (const step of [
    { type: 'dropGroups' },
    { type: 'setgid', gid: OTHER },
    { type: 'setuid', uid: OTHER },
  ] as const) {
    assert.match(imageOnly({ steps: [step] }) ?? '', /shares memory/);
  }
});

test('no fall-back changes credentials in shared memory', { skip }, () => {
  // Whatever keeps images from running: the plan is not run in another way.
  const { launcher } = engine();
  const plan = {
    steps: [{ type: 'setuid', uid: OTHER } as const],
    exec: { candidates: ['/no/such/program'], file: '/no/such/program', shellFallback: false },
  };
  const request = { plan, argv: ['x'], env: [], executor: undefined, wait: true };
  assert.throws(() => launcher.launch(request), { step: 'exec', code: 'ENOENT' });
  assert.equal(process.getuid?.(), 0);
});

test('a set-user-ID program runs as its owner, and its parent’s ids stay', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-setuid-'));
  try {
    const program = join(folder, 'id');
    copyFileSync('/usr/bin/id', program);
    chownSync(program, OTHER, OTHER);
    chmodSync(program, 0o4755);
    chmodSync(folder, 0o755);
    const { stdout } = await run(program, ['-u']);
    if (stdout.trim() === '0') return t.skip('this file system is mounted nosuid');
    assert.equal(stdout, `${OTHER}\n`);
    assert.equal((await run(program, ['-ru'])).stdout, '0\n');
    assert.equal(process.geteuid?.(), 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a step that fails keeps the target from running', { skip }, () => {
  assert.throws(
    () => launch({ path: '/bin/true', actions: [{ type: 'chdir', path: '/no/such' }] }),
    {
      step: 'chdir',
    },
  );
  const { status, error } = spawnSync('/bin/true', { uid: -1 });
  assert.equal(status, null);
  assert.equal((error as { step?: string }).step, 'setuid');
});
