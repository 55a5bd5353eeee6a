import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { readCommand, withControls } from '../../src/cli/command.js';
import { doctor } from '../../src/cli/doctor.js';
import { parseDuration } from '../../src/cli/duration.js';
import { explain } from '../../src/cli/explain.js';
import { CONTROL_FLAGS } from '../../src/cli/flags/index.js';
import { isSubcommand } from '../../src/cli/help.js';
import { run } from '../../src/cli/run.js';
import { UsageError } from '../../src/cli/usage.js';
import { UnsupportedError } from '../../src/errors.js';
import { children } from '../process/observe.js';
import { runs } from '../soak.js';

/** Of errors of safeexec itself, and of commands that are not there. */
const CODES = new Set([0, 2, 124, 125, 126, 127]);

const FLAGS = [
  ...['--cwd', '--env', '--clear-env', '--argv0', '--executor', '--help', '-h', '--timeout'],
  ...['--kill-signal', '--debug', '--arch', '--listing', '--json', '--', '-', '---', '--=x', '-x'],
  ...Object.keys(CONTROL_FLAGS).map((name) => `--${name}`),
];
const VALUES = [
  ...['', '/', '/no/such', 'A=b', '=b', 'A', 'image', 'direct', 'fork', '1.5s', '-1', '1e9h', '0'],
  ...['SIGTERM', 'TERM', '9', '999', '__proto__', 'constructor', 'toString', 'x64', 'arm', 'mips'],
  ...['\0', 'a\0b', '\ud800', 'x'.repeat(5000), 'é'.repeat(70_000), '\n', '%s%n', '../..', '1,2,3'],
];
const word = fc.oneof(
  fc.constantFrom(...FLAGS),
  fc.constantFrom(...VALUES),
  fc.tuple(fc.constantFrom(...FLAGS), fc.constantFrom(...VALUES)).map((pair) => pair.join('=')),
  fc.string({ maxLength: 12 }),
);
/** Nothing that is in a PATH without folders, or at an absolute path, can be run by these. */
const commandLine = fc
  .array(word, { maxLength: 6 })
  .map((words) =>
    words.map((text) => (text.startsWith('/') && text.length > 1 ? `/no/such${text}` : text)),
  );

describe('arbitrary command lines', { concurrency: 1 }, () => {
  const { PATH } = process.env;
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-cli-'));
  const cwd = process.cwd();
  let written = '';
  const real = { out: process.stdout.write, err: process.stderr.write };
  before(() => {
    process.chdir(folder);
    process.env.PATH = join(folder, 'nothing');
  });
  after(() => {
    process.chdir(cwd);
    process.env.PATH = PATH;
    rmSync(folder, { recursive: true, force: true });
  });

  /** The code that a subcommand would exit with; the output is kept. */
  async function codeOf(call: () => Promise<number>): Promise<number> {
    written = '';
    const keep = ((text: string | Uint8Array) => {
      written += text;
      return true;
    }) as typeof process.stdout.write;
    process.stdout.write = keep;
    process.stderr.write = keep;
    try {
      return await call();
    } catch (error) {
      // What main() prints, with the codes 2 and 125.
      if (error instanceof UsageError) {
        written += error.message;
        return 2;
      }
      if (error instanceof UnsupportedError) return 125;
      throw error;
    } finally {
      process.stdout.write = real.out;
      process.stderr.write = real.err;
    }
  }

  for (const [name, subcommand] of Object.entries({ run, explain })) {
    test(`${name}: a documented code and no stack`, async () => {
      await fc.assert(
        fc.asyncProperty(commandLine, async (words) => {
          const code = await codeOf(() => subcommand(words));
          assert.ok(CODES.has(code), `${code} for ${JSON.stringify(words)}`);
          assert.doesNotMatch(written, /^ {4}at /m, JSON.stringify(words));
          if (code === 2) assert.notEqual(written.trim(), '', JSON.stringify(words));
        }),
        { numRuns: runs(name === 'run' ? 600 : 250) },
      );
      assert.equal(children().size, 0);
    });
  }

  test('doctor: a usage error, unless it is asked for nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(commandLine, async (words) => {
        // Without any word it would look at this machine, each time.
        const others = words.filter((text) => !/^(?:--json.*|--)$/.test(text));
        if (others.length === 0) return;
        const code = await codeOf(() => doctor(others));
        assert.ok(code === 2 || (code === 0 && /Usage/.test(written)), JSON.stringify(others));
      }),
      { numRuns: runs(300) },
    );
  });

  test('what a command line is taken for', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.constantFrom(...VALUES)), (text, env) => {
        for (const call of [
          () => parseDuration(text),
          () => readCommand({ env, cwd: text, executor: text }, [text, ...env]),
          () => readCommand({ env, argv0: text }, [text]),
        ]) {
          try {
            call();
          } catch (error) {
            assert.ok(error instanceof UsageError, (error as Error).stack);
          }
        }
        assert.equal(isSubcommand(text), ['run', 'explain', 'doctor', 'help'].includes(text));
      }),
      { numRuns: runs(500) },
    );
    assert.ok('cwd' in withControls({ cwd: { type: 'string' } }));
    assert.equal(isSubcommand('__proto__'), false);
  });
});
