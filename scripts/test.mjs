// Builds, runs all tests, and ends with one line that counts them. Arguments choose test files by
// a part of their path: `npm test -- plan/`. `npm run soak` sets SAFEEXEC_SOAK=1: the tests that have
// a long form run in it, one after the other, and print their figures.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' });

const folder = join(root, 'build/test');
const wanted = process.argv.slice(2);
const soak = process.env.SAFEEXEC_SOAK === '1';
const files = readdirSync(folder, { recursive: true })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
  .map((file) => join(folder, file))
  .filter((file) => !soak || readFileSync(file, 'utf8').includes('/soak.js'));
if (files.length === 0) throw new Error('no test file matches');

const counts = { passed: 0, failed: 0, skipped: 0 };
const skipped = new Map();
const limits = soak ? { concurrency: 1, timeout: 7_200_000 } : { concurrency: 2, timeout: 300_000 };
const stream = run({ files, ...limits });
const place = ({ file, name }) => `${relative(folder, file ?? '')}: ${name}`;

stream.on('test:pass', (test) => {
  // A suite that is skipped does not report its tests.
  if (test.details.type === 'suite' && test.skip === undefined) return;
  if (test.skip !== undefined) {
    counts.skipped++;
    const reason = test.skip === true ? 'no reason given' : test.skip;
    skipped.set(reason, [...(skipped.get(reason) ?? []), place(test)]);
  } else {
    counts.passed++;
    if (soak) console.log(place(test));
  }
});
stream.on('test:fail', (test) => {
  const { error } = test.details;
  if (test.details.type === 'suite' && error?.failureType === 'subtestsFailed') return;
  counts.failed++;
  console.log(`\nFAILED ${place(test)}\n${inspect(error?.cause ?? error)}`);
});
/** What the runner counts itself. */
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /;
stream.on('test:diagnostic', ({ message }) => {
  if (soak && !SUMMARY.test(message)) console.log(`  ${message}`);
});
stream.on('test:stderr', ({ message }) => process.stderr.write(message));
stream.on('test:stdout', ({ message }) => process.stdout.write(message));
stream.on('end', () => {
  for (const [reason, tests] of skipped) {
    console.log(`\nskipped: ${reason}`);
    for (const test of tests) console.log(`  ${test}`);
  }
  console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
});
stream.resume();
