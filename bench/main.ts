// `npm run bench`: measures, prints a table, writes bench/results.json. See docs/benchmarks.md.
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Context, Measurement, Row, Skipped } from './measurement.js';
import { MEASUREMENTS } from './measurements.js';
import { installPeers } from './peer-packages.js';
import { ROOT } from './root.js';
import { table } from './table.js';

/** Milliseconds for all measurements together. */
const BUDGET = 110_000;
const QUICK_BUDGET = 20_000;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  },
});
const { quick, only } = values;
const names = MEASUREMENTS.map(({ name }) => name);
for (const name of only ?? []) {
  if (!names.includes(name)) throw new Error(`--only ${name}: there are ${names.join(', ')}`);
}
const chosen = MEASUREMENTS.filter(({ name }) => only === undefined || only.includes(name));

const machine = {
  cpu: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
  memory: `${Math.round(totalmem() / 1024 ** 3)} GiB`,
  kernel: `${process.platform} ${release()} ${process.arch}`,
  node: process.version,
  load: readFileSync('/proc/loadavg', 'utf8').trim(),
};
console.log(`${Object.values(machine).slice(0, 4).join(', ')}; load ${machine.load}\n`);

const peers = values.peers ? installPeers() : null;
// One measurement alone gets the time it has in a run of all.
const shares = MEASUREMENTS.reduce((sum, { share }) => sum + share, 0);
const unit = (quick ? QUICK_BUDGET : BUDGET) / shares;
const started = new Date();
const results: { name: string; rows: (Row | Skipped)[] }[] = [];
for (const { name, share } of chosen) {
  process.stderr.write(`${name} …\n`);
  results.push({ name, rows: await measure(name, { budget: unit * share, quick, peers }) });
}
const rows = results.flatMap((result) => result.rows);
console.log(table(rows));
const targets = rows.flatMap((row) => ('skipped' in row || !row.target ? [] : [row.target]));
const met = targets.filter((target) => target.met).length;
console.log(`\n${met} of ${targets.length} targets met in this run`);
const file = join(ROOT, 'bench/results.json');
writeFileSync(
  file,
  `${JSON.stringify({ started, seconds: seconds(started), quick, machine, results }, null, 2)}\n`,
);
console.log(`all figures: ${file}`);

/** Runs one measurement in a process of its own; one that fails is a row that says so. */
function measure(name: Measurement['name'], context: Context): Promise<(Row | Skipped)[]> {
  const one = fileURLToPath(new URL('./one.js', import.meta.url));
  return new Promise((resolve) => {
    let rows: (Row | Skipped)[] = [{ what: name, skipped: 'it failed, see above' }];
    const child = fork(one, [name, JSON.stringify(context)]);
    child.on('message', (message) => {
      rows = message as typeof rows;
    });
    child.once('exit', () => resolve(rows));
  });
}

function seconds(since: Date): number {
  return (Date.now() - since.getTime()) / 1e3;
}
