import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runNode } from './support.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const EXAMPLE = /```js\n(.*?)```\n+```output\n(.*?)```/gs;

/** Each example of the pages, and what the page says that it prints. Run as a user of the package. */
describe('examples in docs/', { concurrency: 2 }, () => {
  let count = 0;
  for (const page of readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))) {
    const text = readFileSync(join(root, 'docs', page), 'utf8');
    for (const [i, [, code, output]] of [...text.matchAll(EXAMPLE)].entries()) {
      count++;
      test(`${page} ${i + 1}`, async () => {
        const ended = await runNode(['--input-type=module', '-e', code as string], { cwd: root });
        assert.deepEqual(
          { ...ended, stderr: '' },
          { ...ended, stderr: '', stdout: output, code: 0 },
        );
        assert.equal(ended.stderr, '');
      });
    }
  }
  assert(count >= 6);
});
