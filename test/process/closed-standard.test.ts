import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FileAction, StdioOption } from '../../src/index.js';

const fixture = fileURLToPath(new URL('../fixtures/closed-standard.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
after(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly executor: string;
  readonly stdio?: StdioOption[];
  readonly actions?: FileAction[];
  readonly descriptors: [number, string][];
  readonly inherit?: number;
  readonly code?: string;
}

for (const closed of [[0], [1], [2], [0, 2], [0, 1, 2]]) {
  test(`a parent without the descriptors ${closed}`, () => {
    const report = join(folder, 'report');
    const { status, signal } = spawnSync(process.execPath, [
      fixture,
      report,
      JSON.stringify(closed),
    ]);
    assert.deepEqual([status, signal], [0, null]);
    const { results, error } = JSON.parse(readFileSync(report, 'utf8'));
    assert.equal(error, undefined);
    for (const result of results as Result[]) check(result, closed);
  });
}

function check(result: Result, closed: readonly number[]): void {
  const { stdio, actions, descriptors, code } = result;
  const what = JSON.stringify(result);
  if (code !== undefined) {
    assert.equal(code, 'EBADF', what);
    return;
  }
  const numbers = descriptors.map(([fd]) => fd);
  if (stdio !== undefined) {
    const wanted = [...stdio.keys()].filter((fd) => fd <= 2 || stdio[fd] !== 'ignore');
    assert.deepEqual(numbers, wanted, what);
    for (const [fd, file] of descriptors) {
      const pattern = stdio[fd] === 'ignore' ? /^\/dev\/null$/ : fd > 2 ? /^socket:/ : /^pipe:/;
      assert.match(file, pattern, what);
    }
    return;
  }
  const opened = (actions ?? []).map((action) =>
    action.type === 'dup2' ? action.to : 'fd' in action ? action.fd : -1,
  );
  const inherited = [0, 1, 2].filter((fd) => !closed.includes(fd));
  const wanted = [...new Set([...inherited, ...opened])].sort((a, b) => a - b);
  assert.deepEqual(numbers, wanted, what);
}
