import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../../', import.meta.url);
const page = readFileSync(new URL('docs/security.md', root), 'utf8');
const ROW = /^\| *(\d+) *\| *([\w/.-]+\.test\.ts) *\| *(.+?) *\|$/gm;

test('each claim of docs/security.md has tests, and each test named there exists', () => {
  const rows = [...page.matchAll(ROW)].map(([, claim, file, name]) => ({
    claim: Number(claim),
    file: file as string,
    name: name as string,
  }));
  const claims = [...page.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    claims,
    Array.from({ length: claims.length }, (_, i) => i + 1),
  );
  assert.deepEqual(
    claims.filter((claim) => !rows.some((row) => row.claim === claim)),
    [],
    'claims without a test',
  );
  for (const { file, name } of rows) {
    const source = readFileSync(new URL(`test/${file}`, root), 'utf8');
    // A test in a loop over ways or executors has its name after a placeholder.
    const isThere = [name, name.replace(/^\w+: /, '')].some((text) =>
      new RegExp(`test\\(\\s*[\`'"](?:\\$\\{\\w+\\}: )?${quoted(text)}[\`'"]`).test(source),
    );
    assert.ok(isThere, `${file} has no test '${name}'`);
  }
});

function quoted(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
