// Builds, runs all tests, and ends with one line that counts them. Arguments choose test files by
// a part of their path: `npm test -- plan/`.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' });

const folder = join(root, 'build/test');
const wanted = process.argv.slice(2);
const files = readdirSync(folder, { recursive: true })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
  .map((file) => join(folder, file));
if (files.length === 0) throw new Error('no test file matches');

const counts = { passed: 0, failed: 0, skipped: 0 };
const skipped = new Map();
const stream = run({ files, concurrency: 2, timeout: 300_000 });
const place = ({ file, name }) => `${relative(folder, file ?? '')}: ${name}`;

stream.on('test:pass', (test) => {
  // A suite that is skipped does not report its tests.
  if (test.details.type === 'suite' && test.skip === undefined) return;
  if (test.skip !== undefined) {
    counts.skipped++;
    const reason = test.skip === true ? 'no reason given' : test.skip;
    skipped.set(reason, [...(skipped.get(reason) ?? []), place(test)]);
  } else counts.passed++;
});
stream.on('test:fail', (test) => {
  const { error } = test.details;
  if (test.details.type === 'suite' && error?.failureType === 'subtestsFailed') return;
  counts.failed++;
  console.log(`\nFAILED ${place(test)}\n${inspect(error?.cause ?? error)}`);
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
