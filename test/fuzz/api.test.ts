import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runs } from '../soak.js';

const DRIVER = fileURLToPath(new URL('api-driver.js', import.meta.url));

/** What values become that are taken for the name of a program, wholly or up to a NUL. */
const TRAPS = [
  'undefined',
  'null',
  'true',
  'false',
  'NaN',
  '[object Object]',
  'Symbol(s)',
  '-1',
  '0.5',
  'x\u{fffd}',
];

test('values of any kind: a typed error or a legal start, nothing by accident, no crash', () => {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-fuzz-'));
  try {
    const [home, path] = [join(folder, 'home'), join(folder, 'path')];
    for (const each of [home, path]) mkdirSync(each);
    for (const at of [home, path]) {
      for (const name of TRAPS) {
        writeFileSync(join(at, name), `#!/bin/sh\necho "$0" >>${home}/mark\n`);
        chmodSync(join(at, name), 0o755);
      }
    }
    const progress = join(folder, 'progress');
    const fd = openSync(progress, 'w+');
    const options = {
      cwd: home,
      env: { PATH: path, SAFEEXEC_DEBUG: '1', FUZZ_RUNS: String(runs(60)) },
      stdio: ['ignore' as const, 'pipe' as const, 'pipe' as const, fd],
      encoding: 'utf8' as const,
      maxBuffer: 1e9,
      // Without a terminal that tcsetpgrp could mean.
      detached: true,
    };
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [DRIVER], options);
    closeSync(fd);
    const last = `the last case was ${readFileSync(progress, 'utf8')}`;
    assert.equal(signal, null, `${last}\n${stderr.slice(-5000)}`);
    assert.equal(status, 0, `${last}\n${stderr.slice(-5000)}`);
    const report = JSON.parse(stdout.slice(stdout.lastIndexOf('{')));
    assert.deepEqual(report.marks, []);
    // Without legal starts the rest would say little.
    assert.ok(report.cases > 500 && report.launches > report.cases / 20, stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
