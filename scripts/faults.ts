import { type Extent, matrix, missing } from '../test/faults/matrix.js';
import { table } from '../test/faults/print.js';

// The fault matrix as a table: `npm run faults`, or `npm run faults -- all` (or `sample`).
const reason = missing();
if (reason !== undefined) {
  console.log(`skipped: ${reason}`);
  process.exit();
}
const { rows, mappings } = await matrix((process.argv[2] ?? 'kinds') as Extent);
console.log(table(rows));
const faults = rows.filter(({ fault }) => fault !== null);
console.log(
  `\n${rows.length} cells, ${faults.length} faults; new mappings: ${mappings.map(({ more }) => more).join(' ')}`,
);
process.exitCode = faults.length > 0 ? 1 : 0;
