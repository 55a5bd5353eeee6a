import assert from 'node:assert/strict';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { LaunchError, type LaunchOptions, launch } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { resultInNode } from '../fixtures/in-node.js';
import { traces } from './observe.js';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'file');
writeFileSync(file, '');
const fileDescriptor = openSync(file, 'r');

/** What fails, with which code, in which step. */
const FAILING: readonly [string, string, string, Partial<LaunchOptions>][] = [
  ['open', 'ENOENT', 'open', { actions: [{ type: 'open', fd: 3, path: '/no/such' }] }],
  [
    'dup2',
    'EBADF',
    'dup2',
    {
      actions: [
        { type: 'open', fd: 9, path: '/' },
        { type: 'close', fd: 9 },
        { type: 'dup2', from: 9, to: 1 },
      ],
    },
  ],
  ['chdir', 'ENOENT', 'chdir', { actions: [{ type: 'chdir', path: '/no/such' }] }],
  ['cwd', 'ENOENT', 'chdir', { cwd: '/no/such' }],
  ['chdir to a file', 'ENOTDIR', 'chdir', { actions: [{ type: 'chdir', path: file }] }],
  ['fchdir', 'ENOTDIR', 'fchdir', { actions: [{ type: 'fchdir', fd: fileDescriptor }] }],
  ['tcsetpgrp', 'ENOTTY', 'tcsetpgrp', { actions: [{ type: 'tcsetpgrp', fd: fileDescriptor }] }],
  ['a group of none', 'EPERM', 'setpgid', { setpgid: 0x7ffffff0 }],
  ['a source', 'EBADF', 'descriptors', { actions: [{ type: 'dup2', from: 9999, to: 1 }] }],
  ['exec', 'ENOENT', 'exec', { path: '/no/such' }],
  ['exec of a file', 'EACCES', 'exec', { path: file }],
  ['exec of a directory', 'EACCES', 'exec', { path: '/' }],
  ['exec below a file', 'ENOTDIR', 'exec', { path: `${file}/x` }],
  ['an argument too long', 'E2BIG', 'exec', { argv: ['x'.repeat(131072)] }],
  ['too many arguments', 'E2BIG', 'exec', { argv: Array(200).fill('x'.repeat(100_000)) }],
];

for (const executor of EXECUTORS) {
  test(`${executor}: a failing step is named, and nothing is left behind`, () => {
    const attempt = () => {
      for (const [name, code, step, options] of FAILING) {
        assert.throws(
          () => launch({ path: '/bin/true', ...options, executor }),
          (error) => {
            assert.ok(error instanceof LaunchError, name);
            assert.deepEqual([error.code, error.step], [code, step], name);
            assert.ok(error.errno < 0 && error.message.includes(code), name);
            return true;
          },
        );
      }
    };
    attempt();
    const before = traces();
    attempt();
    assert.deepEqual(traces(), before);
  });

  test(`${executor}: without descriptors to spare it fails cleanly at each step`, () => {
    const code = `
      const { openSync, closeSync } = await import('node:fs');
      const launchOne = () => launch({ path: '/bin/true', executor: '${executor}' }).exited;
      await launchOne();
      const kept = [];
      const steps = [];
      for (;;) try { kept.push(openSync('/dev/null')); } catch { break; }
      let started = false;
      for (let free = 0; free < 8 && !started; free++) {
        if (free > 0) closeSync(kept.pop());
        try { await launchOne(); started = true; } catch (error) {
          steps.push(error.code + ' ' + error.step);
        }
        // As many as before are free again.
        const probe = [];
        for (;;) try { probe.push(openSync('/dev/null')); } catch { break; }
        if (probe.length !== free) throw new Error(free + ' were free, now ' + probe.length);
        for (const fd of probe) closeSync(fd);
      }
      console.log(JSON.stringify({ started, steps: [...new Set(steps)] }));
    `;
    const through = ['/bin/sh', '-c', 'ulimit -n 64; exec "$@"', 'sh'];
    const { started, steps } = resultInNode(code, { through }) as {
      started: boolean;
      steps: string[];
    };
    assert.equal(started, true);
    const wanted = ['EMFILE error pipe', 'EMFILE clone'];
    if (executor === 'image') wanted.splice(1, 0, 'EMFILE memfd_create');
    assert.deepEqual(steps, wanted);
  });
}
