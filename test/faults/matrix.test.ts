import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Row, Site } from './cells.js';
import { ERRNOS } from './errnos.js';
import { matrix, missing } from './matrix.js';
import { table } from './print.js';
import { toleranceOf } from './tolerated.js';

/*
 * The fault matrix: `npm run faults` prints it. Here a part of it is made, and with
 * SAFEEXEC_SOAK=1 every kind of call with every error.
 */
const extent = process.env.SAFEEXEC_SOAK === '1' ? 'kinds' : 'sample';

test('a system call that fails is an error of its step, or is got over', {
  skip: missing() ?? false,
}, async () => {
  const { rows, sites, mappings } = await matrix(extent);
  const faults = rows.filter(({ fault }) => fault !== null);
  assert.equal(faults.length, 0, table(faults));
  checkSteps(rows, sites);
  // In the first rounds the JavaScript heap still grows; what a launch leaves, later ones leave too.
  const late = mappings.slice(4);
  const sum = (field: 'cells' | 'more'): number => late.reduce((all, each) => all + each[field], 0);
  assert.ok(sum('more') <= sum('cells') / 2, JSON.stringify(mappings));
});

const PLAIN: ReadonlySet<string> = new Set(['image', 'direct']);

/** What the programs say can fail has failed, and was reported as they name it. */
function checkSteps(rows: readonly Row[], sites: readonly Site[]): void {
  const key = ({ executor, step, syscall }: Site): string => `${executor}: ${step} (${syscall})`;
  const wanted = sites.filter((site) => {
    const { step, handled, syscall, executor } = site;
    const ends = (errno: string): boolean => toleranceOf({ site, errno }) === undefined;
    return step !== null && handled && PLAIN.has(executor) && ERRNOS[syscall]?.some(ends);
  });
  const seen = new Set(
    rows
      .filter(({ site, outcome }) => outcome === `error of ${site.step}`)
      .map(({ site }) => key(site)),
  );
  const unseen = new Set(wanted.map(key).filter((name) => !seen.has(name)));
  assert.deepEqual([...unseen], []);
}
