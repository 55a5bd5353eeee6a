import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The folders from the bottom up, and which each may import from, as the documentation has it. */
function layers(): ReadonlyMap<string, ReadonlySet<string>> {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const may = new Map<string, ReadonlySet<string>>();
  for (const [, folder, from] of page.matchAll(/^\| `src\/(\w+)` .*\| ([^|]+?) *\|$/gm)) {
    const names = { nothing: [], 'all above': [...may.keys()] }[from as string];
    may.set(folder as string, new Set(names ?? (from as string).split(', ')));
  }
  return may;
}

/** What every folder may import. */
const SHARED = new Set(['plan/constants.ts', 'errors.ts', 'validate.ts']);

/** The files that each file of `src` imports, types included, by their paths in it. */
function imports(): [from: string, to: string][] {
  const src = join(root, 'src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(src, file), 'utf8');
      const found = text.matchAll(/(?:\bfrom|\bimport\(|^import) ?'(\.[^']+)\.js'/gm);
      return [...found].map(([, to]): [string, string] => [
        file,
        `${join(dirname(file), to as string)}.ts`,
      ]);
    });
}

const folderOf = (file: string): string =>
  file.includes('/') ? (file.split('/')[0] as string) : '';

test('imports go one way, as docs/architecture.md has it', () => {
  const may = layers();
  const all = imports();
  assert.deepEqual(
    [...may.keys()].sort(),
    [...new Set(all.map(([from]) => folderOf(from)))].filter(Boolean).sort(),
  );
  const wrong = all.filter(([from, to]) => {
    const folder = folderOf(from);
    if (folder === '' || SHARED.has(to)) return false;
    return folderOf(to) !== folder && !may.get(folder)?.has(folderOf(to));
  });
  assert.deepEqual(wrong, []);
});

test('what all import imports types and constants only', () => {
  for (const file of SHARED) {
    const text = readFileSync(join(root, 'src', file), 'utf8');
    const modules = [...text.matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)'/gm)];
    for (const [, module] of modules)
      assert.match(module as string, /(constants|errors)\.js$/, file);
  }
});

test('the folders import what the table says that they do', () => {
  const used = new Set(imports().map(([from, to]) => `${folderOf(from)} ${folderOf(to)}`));
  for (const [folder, names] of layers()) {
    if (names.size > 3) continue;
    for (const name of names) assert.ok(used.has(`${folder} ${name}`), `${folder}: ${name}`);
  }
});
