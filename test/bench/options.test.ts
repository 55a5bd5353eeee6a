import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COLUMNS } from '../../bench/options/columns.js';
import { optionsTable, withTable } from '../../bench/options/markdown.js';
import { readResults } from '../../bench/options/results.js';
import { ROWS } from '../../bench/options/rows.js';
import { ROOT } from '../../bench/root.js';

const results = readResults();
const document = readFileSync(join(ROOT, 'docs/comparison.md'), 'utf8');

test('docs/comparison.md has the results in it', () => {
  assert.equal(withTable(document, optionsTable(results)), document);
});

test('the table has every row, and no cell is empty', () => {
  const lines = document.split('\n').filter((line) => line.startsWith('| '));
  for (const { title } of ROWS) {
    const [line, ...others] = lines.filter((each) => each.startsWith(`| ${title} |`));
    assert.ok(line !== undefined && others.length === 0, title);
    const cells = line.split(' | ').slice(1);
    assert.equal(cells.length, COLUMNS.length, title);
    for (const cell of cells) assert.match(cell, /^(yes|no|partial <sup>\d+<\/sup>)( \|)?$/, title);
  }
});

test('answers are those of the claims, and each partial one says why', () => {
  for (const { id, claims } of COLUMNS) {
    for (const row of ROWS) {
      const cell = results[id]?.cells[row.id];
      const claim = claims[row.id] ?? 'no';
      assert.ok(cell !== undefined, `${id}, ${row.id}`);
      assert.equal(cell.answer === 'partial', cell.note !== undefined, `${id}, ${row.id}`);
      // What a machine could not run says so.
      if (cell.note?.startsWith('not run: ')) continue;
      const expected = typeof claim === 'string' ? claim : 'partial';
      assert.equal(cell.answer, expected, `${id}, ${row.id}`);
    }
  }
});

test('each claim is of a row, and has a program if it is run', () => {
  const ids = new Set(ROWS.map(({ id }) => id));
  for (const { id, program, claims } of COLUMNS) {
    const file = program && join(ROOT, 'bench/options/programs', program);
    const text = file && readFileSync(file, 'utf8');
    for (const [row, claim] of Object.entries(claims)) {
      assert.ok(ids.has(row), `${id}, ${row}`);
      const isRun = text !== undefined && (typeof claim === 'string' || 'partial' in claim);
      if (isRun) assert.match(text, new RegExp(`\\b${row}\\b`), `${program}: ${row}`);
    }
  }
});
