import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { prepareControls } from '../../src/controls/index.js';
import { inOrder } from '../../src/controls/stages.js';
import {
  type FileAction,
  launch,
  type SpawnError,
  type SpawnOptions,
  spawnSync,
} from '../../src/index.js';
import { isRoot, noUserNamespaces } from './isolated.js';
import { areAlternatives, combine } from './pairs/combine.js';
import { FORMS } from './pairs/forms.js';
import { SAMPLES, type Sample, type Surroundings } from './pairs/options.js';
import type { Report } from './pairs/report.js';
import { idleChecks, judge, tryTogether, walkPairs, withSurroundings } from './pairs/walk.js';

/*
 * Options can be combined at will: all pairs of one table are launched, and what each option does
 * is looked for in what a program sees of itself. docs/steps.md says why the order is as it is.
 */

/** What pairs came to in a process of somebody without privileges. */
function pairsOfNobody(inUserNamespace: boolean): ReturnType<typeof walkPairs> {
  const main = fileURLToPath(new URL('pairs/main.js', import.meta.url));
  const args = [main, ...(inUserNamespace ? ['in a user namespace'] : [])];
  const ids = isRoot ? { uid: 65_534, gid: 65_534 } : {};
  const options = { ...ids, cwd: '/', encoding: 'utf8' } as const;
  const { stdout, stderr, error } = spawnSync(process.execPath, args, options);
  assert.ifError(error);
  assert.notEqual(stdout, '', String(stderr));
  return JSON.parse(String(stdout));
}

/** Why somebody else cannot read these files, or have what a program needs. */
function unreadable(): string | false {
  const script = `[ -r "$0" ] && [ -w /dev/null ]`;
  const ids = isRoot ? { uid: 65_534, gid: 65_534 } : {};
  const args = ['-c', script, fileURLToPath(import.meta.url)];
  const { status } = spawnSync('/bin/sh', args, { ...ids, cwd: '/' });
  return status === 0 ? false : 'this folder, or /dev/null, is for one user only';
}

/** Some samples that do not take each other's place, in the order of the table. */
const several = fc
  .subarray([...SAMPLES], { minLength: 3, maxLength: 8 })
  .map((chosen) =>
    chosen.filter((sample, i) => !chosen.slice(0, i).some((each) => areAlternatives(each, sample))),
  );
const names = (samples: readonly Sample[]): string => samples.map(({ name }) => name).join(' + ');

function assertTogether(samples: readonly Sample[], here: Surroundings): void {
  assert.equal(tryTogether(samples, here) ?? '', '', names(samples));
}

function named(...wanted: readonly string[]): Sample[] {
  return wanted.map((name) => {
    const sample = SAMPLES.find((each) => each.name === name);
    assert.ok(sample, name);
    return sample;
  });
}

test('an effect is seen only of what was asked for', async () => {
  const idle = await withSurroundings(false, idleChecks);
  assert.deepEqual(
    idle.filter((name) => name !== 'groups: none'),
    [],
  );
});

test('each option alone, and all pairs', { skip: !isRoot && 'see below' }, async () => {
  const { tried, wrong } = await withSurroundings(false, walkPairs);
  assert.deepEqual(wrong, {});
  assert.ok(tried > 900, `${tried}`);
});

describe('without privileges', { skip: unreadable() }, () => {
  test('each option alone, and all pairs', () => {
    const { tried, wrong } = pairsOfNobody(false);
    assert.deepEqual(wrong, {});
    assert.ok(tried > 200, `${tried}`);
  });

  test('the same in a user namespace', { skip: noUserNamespaces }, () => {
    const { tried, wrong } = pairsOfNobody(true);
    assert.deepEqual(wrong, {});
    assert.ok(tried > 600, `${tried}`);
  });
});

test('several at once', async () => {
  for (const inUserNamespace of noUserNamespaces === false ? [false, true] : [false]) {
    await withSurroundings(inUserNamespace && !isRoot, (here) => {
      fc.assert(
        fc.property(several, (samples) => assertTogether(samples, here)),
        { numRuns: 200 },
      );
    });
  }
});

for (const [form, look] of Object.entries(FORMS)) {
  test(`several at once, by ${form}`, async () => {
    await withSurroundings(false, async (here) => {
      await fc.assert(
        fc.asyncProperty(several, async (samples) => {
          const options = combine(samples, here);
          if (options === null) return;
          const outcome = await look(options, here).catch((error: SpawnError) => error);
          assert.equal(judge(samples, options, here, outcome), '', names(samples));
        }),
        { numRuns: 60 },
      );
    });
  });
}

test('several at once, with the direct executor, or refused by it', async () => {
  let ran = 0;
  await withSurroundings(false, async (here) => {
    const look = (options: SpawnOptions): Promise<Report | SpawnError> =>
      FORMS.spawnSync({ ...options, executor: 'direct' }, here).catch((error) => error);
    await fc.assert(
      fc.asyncProperty(several, async (samples) => {
        const options = combine(samples, here);
        if (options === null) return;
        const outcome = await look(options);
        const { message = '' } = outcome as Partial<SpawnError>;
        if (/options\.executor/.test(message)) return;
        assert.equal(judge(samples, options, here, outcome), '', names(samples));
        ran++;
      }),
      { numRuns: 100 },
    );
  });
  assert.ok(ran > 5, `${ran}`);
});

describe('what did not work together once', () => {
  const sets: readonly (readonly string[])[] = [
    // A child of the process that had the policy did not have it.
    ['scheduling: batch, for itself', 'pid namespace'],
    ['scheduling: fifo, for itself', 'pid namespace'],
    ['scheduling: batch, for itself', 'nice', 'pid namespace', 'user namespace'],
    // There could be no child.
    ['scheduling: deadline', 'pid namespace'],
    ['scheduling: deadline', 'nice', 'pid namespace'],
    // The ruleset and its paths are descriptors.
    ['limits: nofile', 'landlock'],
    // Who maps its own ids only may not set groups.
    ['groups: none', 'user namespace'],
    // What the first user namespace gives is lost in another.
    ['limits: higher', 'user namespace'],
    ['limits: higher', 'user namespace', 'pid namespace', 'landlock'],
  ];
  for (const set of sets) {
    test(set.join(', '), { skip: !isRoot && 'takes root' }, (context) =>
      withSurroundings(false, (here) => {
        const result = tryTogether(named(...set), here);
        if (result === null) context.skip('takes a right that this root has not');
        else assert.equal(result, '');
      }),
    );
  }

  test('hard limits are raised while the right to is there', () => {
    const landlock = { paths: [], bestEffort: true };
    const limits = { rtprio: 5, nofile: { soft: 3 }, core: { hard: 7 } };
    const typesWith = (options: SpawnOptions): string[] =>
      inOrder(prepareControls({ limits, landlock, ...options })?.steps ?? {}).map((step) =>
        'resource' in step ? `${step.type} ${step.resource}` : step.type,
      );
    assert.deepEqual(typesWith({ namespaces: { user: true }, uid: 0 }), [
      ...['hardLimit core', 'hardLimit rtprio'],
      ...['userNamespace', 'limit core', 'limit rtprio'],
      ...['dropGroups', 'setuid', 'noNewPrivileges', 'landlock', 'limit nofile'],
    ]);
    assert.deepEqual(typesWith({ limits: { nofile: 9 } }), [
      ...['hardLimit nofile', 'noNewPrivileges', 'landlock', 'limit nofile'],
    ]);
  });

  test('a filter under which no program is started by its descriptor', () => {
    const allowed = ['execve', 'exit_group'];
    const seccomp = {
      default: 'allow',
      rules: [{ syscalls: ['execveat'], action: 'kill' }],
    } as const;
    const options = { path: '/bin/true', execFd: 0 };
    const code = 'ERR_INVALID_ARG_VALUE';
    assert.throws(() => launch({ ...options, seccomp }), { code, message: /allow execveat/ });
    const strict = {
      default: { errno: 'EPERM' },
      rules: [{ syscalls: allowed, action: 'allow' }],
    } as const;
    assert.throws(() => launch({ ...options, seccomp: strict }), { code, message: /execveat/ });
    // Classic BPF: the call's number is at 0, 0x7fff0000 allows, and 0x80000000 kills.
    const execveat = process.arch === 'x64' ? 322 : null;
    if (execveat === null) return;
    const program = [
      [0x20, 0, 0, 0],
      [0x15, 0, 1, execveat],
      [0x06, 0, 0, 0x8000_0000],
      [0x06, 0, 0, 0x7fff_0000],
    ];
    assert.throws(() => launch({ ...options, seccomp: { program } }), {
      code,
      message: /execveat/,
    });
    assert.equal(spawnSync('/bin/true', [], { seccomp }).status, 0, 'by its path it is');
  });

  test('launch() has a directory in a new root, behind its actions', {
    skip: noUserNamespaces,
  }, async () => {
    const script = (path: string): string[] => ['sh', '-c', `[ "$(pwd -P)" = ${path} ]`];
    const isolated = { namespaces: { user: true }, root: '/' };
    for (const [argv, options] of [
      // The old root's are gone with it, or else a relative path starts there.
      [script('/usr'), { ...isolated, cwd: 'usr' }],
      [script('/'), isolated],
      [script('/usr'), { cwd: '../usr' }],
    ] as const) {
      const actions: FileAction[] = [{ type: 'chdir', path: '/proc' }];
      const child = launch({ path: '/bin/sh', argv, actions, env: {}, ...options });
      assert.equal((await child.exited)?.exitCode, 0, argv[2]);
    }
  });
});
