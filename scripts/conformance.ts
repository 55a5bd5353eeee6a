// Runs Node's own tests of child_process against this package, and against Node's own module in
// the same run, and compares:
// `npm run conformance -- [--node BINARY] [--only PART] [--jobs NUMBER] [--verbose] [CHECKOUT]`.
// Without a checkout of Node's sources the tests are taken from Debian's source package of the
// same release, or the next before it.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { debianSources } from './debian-sources.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
// Not --import: Node loses messages that reach a child while it awaits a preload.
const register = join(root, 'build/src/register.cjs');
const PATTERN = /^test-child-process-.*\.m?js$/;
const TIME_LIMIT = 60_000;

interface Expectation {
  /** The Node internal that the test depends on. */
  readonly internal: string;
  readonly reason: string;
}

type Outcome = 'pass' | 'fail' | 'skip';

interface Run {
  readonly outcome: Outcome;
  readonly detail: string;
}

const { values, positionals } = parseArgs({
  options: {
    node: { type: 'string' },
    only: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    verbose: { type: 'boolean' },
  },
  allowPositionals: true,
});
const node = values.node ?? process.execPath;
const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
const checkout =
  positionals[0] ??
  debianSources(join(tmpdir(), 'safeexec-conformance'), Number.parseInt(version.slice(1), 10));
const expected: Readonly<Record<string, Expectation>> = JSON.parse(
  readFileSync(join(root, 'test/conformance/expected-failures.json'), 'utf8'),
);

const tests = ['parallel', 'sequential'].flatMap((folder) =>
  readdirSync(join(checkout, 'test', folder))
    .filter((name) => PATTERN.test(name) && (!values.only || name.includes(values.only)))
    .map((name) => `${folder}/${name}`),
);
console.log(`${tests.length} tests of ${checkout}, run by Node ${version}\n`);

const rows: { test: string; own: Run; ours: Run }[] = [];
const queue = [...tests];
await Promise.all(
  Array.from({ length: Number(values.jobs) }, async (_, slot) => {
    for (let test = queue.shift(); test !== undefined; test = queue.shift()) {
      const own = await runTest(test, [], slot);
      const ours = await runTest(test, ['--require', register], slot);
      rows.push({ test, own, ours });
    }
  }),
);
rows.sort((a, b) => (a.test < b.test ? -1 : 1));
process.exitCode = report();

async function runTest(test: string, extra: readonly string[], slot: number): Promise<Run> {
  const file = join(checkout, 'test', test);
  const flags = /^\/\/ Flags: (.*)$/m.exec(readFileSync(file, 'utf8'))?.[1]?.split(/\s+/) ?? [];
  const scratch = join(tmpdir(), `safeexec-conformance-run-${process.pid}-${slot}`);
  mkdirSync(scratch, { recursive: true });
  const child = spawn(node, [...flags, ...extra, file], {
    env: { ...process.env, TEST_THREAD_ID: `${slot}`, NODE_TEST_DIR: scratch },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const [code, signal] = await ended(child);
  rmSync(scratch, { recursive: true, force: true });
  const skipped = /^1\.\.0 # Skipped: (.*)$/m.exec(output.stdout)?.[1];
  if (skipped !== undefined) return { outcome: 'skip', detail: skipped };
  if (code === 0) return { outcome: 'pass', detail: '' };
  const detail = signal === null ? `exit code ${code}` : `ended by ${signal}`;
  return { outcome: 'fail', detail: `${detail}\n${output.stdout}${output.stderr}`.trim() };
}

/** Waits for a test; ends it, with what it started, when it takes too long. */
function ended(child: ChildProcess): Promise<[number | null, string | null]> {
  const timer = setTimeout(() => process.kill(-(child.pid as number), 'SIGKILL'), TIME_LIMIT);
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      // What a failed test leaves behind has its output, and would keep this process alive.
      try {
        process.kill(-(child.pid as number), 'SIGKILL');
      } catch {}
      resolve([code, signal]);
    });
  });
}

function report(): number {
  const counts = { pass: 0, fail: 0, skip: 0, expected: 0 };
  const wrong: string[] = [];
  const known = new Set(Object.keys(expected));
  for (const { test, own, ours } of rows) {
    const expectation = expected[test];
    let note = '';
    if (ours.outcome === 'fail' && own.outcome === 'pass') {
      if (expectation) {
        counts.expected++;
        note = `expected: ${expectation.internal}`;
      } else {
        wrong.push(test);
        note = 'DIFFERS';
      }
    } else if (ours.outcome === 'skip') note = ours.detail;
    else if (own.outcome === 'fail') note = 'also with Node’s own';
    counts[ours.outcome]++;
    if (expectation && ours.outcome === 'pass') note = 'passes: take it off the list';
    known.delete(test);
    console.log(`${own.outcome.padEnd(5)} ${ours.outcome.padEnd(5)} ${test}  ${note}`);
    if (values.verbose || note === 'DIFFERS') {
      if (ours.outcome === 'fail') console.log(indent(ours.detail));
    }
  }
  console.log(
    `\nours: ${counts.pass} pass, ${counts.fail} fail (${counts.expected} expected), ${counts.skip} skipped`,
  );
  console.log(`Node's own: ${rows.filter(({ own }) => own.outcome === 'pass').length} pass`);
  if (wrong.length > 0) console.log(`\nfail on ours only: ${wrong.join(', ')}`);
  return wrong.length > 0 ? 1 : 0;
}

function indent(text: string): string {
  return text
    .split('\n')
    .slice(0, 40)
    .map((line) => `      ${line}`)
    .join('\n');
}
