// `npm run compare`: starts processes by each peer's own means, looks at what they see of
// themselves, and writes the table in docs/comparison.md. Arguments choose columns by their id.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installPeers } from '../peer-packages.js';
import { ROOT } from '../root.js';
import { type Claim, COLUMNS, type Column } from './columns.js';
import { commandOf } from './commands.js';
import { optionsTable, withTable } from './markdown.js';
import { observe } from './observe.js';
import { type Cell, type ColumnResult, readResults, writeResults } from './results.js';
import type { Row } from './row.js';
import { ROWS } from './rows.js';
import { makeScratch, type Scratch } from './scratch.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { row: { type: 'string', multiple: true } },
});
if (process.getuid?.() !== 0) throw new Error('it takes root: ids, namespaces, priorities');

const chosen = COLUMNS.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
const today = new Date().toISOString().slice(0, 10);
const peers = installPeers();
const scratch = makeScratch();
const results = { ...readResults() };
let surprises = 0;
try {
  for (const column of chosen) {
    const result = columnResult(column, scratch);
    if (result !== null) results[column.id] = result;
  }
} finally {
  scratch.remove();
}
// Some rows alone are for looking at them.
if (values.row === undefined) {
  writeResults(results);
  const file = join(ROOT, 'docs/comparison.md');
  writeFileSync(file, withTable(readFileSync(file, 'utf8'), optionsTable(results)));
}
console.log(`${surprises} cells are not what the claims say`);
process.exitCode = surprises > 0 ? 1 : 0;

/** null leaves the column as it was. */
function columnResult(column: Column, scratch: Scratch): ColumnResult | null {
  const { id, claims, program } = column;
  if (program === undefined) {
    const cells = ROWS.map((row) => [row.id, documented(claims[row.id])]);
    return { version: 'of 252 and later', date: today, cells: Object.fromEntries(cells) };
  }
  const command = commandOf(column, peers, scratch.path);
  if ('missing' in command) {
    console.log(`${id}: left as it was, ${command.missing}`);
    return null;
  }
  const rows = ROWS.filter((row) => values.row?.includes(row.id) ?? true);
  const cells = rows.map((row) => [row.id, cellOf(id, row, claims[row.id], command.argv)]);
  return { version: command.version, date: today, cells: Object.fromEntries(cells) };
}

function documented(claim: Claim = 'no'): Cell {
  if (typeof claim === 'string') return { answer: claim };
  return { answer: 'partial', note: 'partial' in claim ? claim.partial : claim.documented };
}

function cellOf(column: string, row: Row, claim: Claim | undefined, argv: readonly string[]): Cell {
  if (claim === undefined || (typeof claim === 'object' && 'documented' in claim)) {
    return documented(claim);
  }
  const obstacle = obstacleOf(row);
  if (obstacle !== null) return { answer: 'partial', note: `not run: ${obstacle}` };
  const { answer, complaint } = observe(argv, row, scratch);
  // A claim may say less than a run shows, for a run does not show everything; but not more.
  const expected = typeof claim === 'string' ? claim : 'partial';
  if (expected === 'partial' && answer !== 'no') return documented(claim);
  if (answer !== expected) {
    surprises++;
    console.log(`${column}, ${row.id}: ${answer} instead of ${expected}: ${complaint}`);
  }
  return answer === 'partial' ? { answer, note: 'not wholly' } : { answer };
}

/** Why a row cannot be run on this machine. */
function obstacleOf({ setting }: Row): string | null {
  const { group } = scratch;
  if (setting === 'cgroup' && group === '') {
    return 'the machine had no control group of version 2 to write to';
  }
  if (setting !== 'cgroupLimits') return null;
  const hasPids =
    group !== '' && /\bpids\b/.test(readFileSync(join(group, 'cgroup.controllers'), 'utf8'));
  return hasPids ? null : 'the machine had no controller `pids` in a control group of version 2';
}
