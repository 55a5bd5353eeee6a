import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LIMITS, type Limits } from '../../src/controls/limits.js';
import { inOrder } from '../../src/controls/stages.js';
import { launch } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { RESOURCES, type Resource } from '../../src/plan/steps/limits.js';
import { failuresWithoutPrivileges, nodeOutput, peerOutput, procFile } from './probe.js';

/** What /proc/self/limits calls each resource. */
const ROWS: Readonly<Record<Resource, string>> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  rttime: 'Max realtime timeout',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
};
const NAMES = Object.keys(ROWS) as Resource[];

function rows(text: string): Record<string, string[]> {
  return Object.fromEntries(
    NAMES.map((name) => {
      const [, soft, hard] = new RegExp(`^${ROWS[name]} +(\\S+) +(\\S+)`, 'm').exec(text) ?? [];
      return [name, [soft as string, hard as string]];
    }),
  );
}

const own = rows(procFile('limits', {}));
/** Limits that a program can live with, lower than any that a machine has by default. */
const LOWER: Limits = {
  as: '4GiB',
  core: { soft: 0, hard: 1 },
  cpu: 100,
  data: '3GiB',
  fsize: { soft: 1_000_000, hard: '2MiB' },
  locks: 1000,
  memlock: { soft: 4096 },
  msgqueue: 1000,
  nice: 0,
  nofile: { soft: 20, hard: 30 },
  nproc: { soft: 500 },
  rss: '1GiB',
  rtprio: 0,
  rttime: { soft: 1000, hard: 2000 },
  sigpending: { soft: 100 },
  stack: { soft: '512KiB' },
};

for (const executor of EXECUTORS) {
  test(`${executor}: every limit, both halves or one of them`, () => {
    const limits = rows(procFile('limits', { executor, limits: LOWER }));
    assert.deepEqual(limits, {
      as: ['4294967296', '4294967296'],
      core: ['0', '1'],
      cpu: ['100', '100'],
      data: ['3221225472', '3221225472'],
      fsize: ['1000000', '2097152'],
      locks: ['1000', '1000'],
      memlock: ['4096', own.memlock?.[1]],
      msgqueue: ['1000', '1000'],
      nice: ['0', '0'],
      nofile: ['20', '30'],
      nproc: ['500', own.nproc?.[1]],
      rss: ['1073741824', '1073741824'],
      rtprio: ['0', '0'],
      rttime: ['1000', '2000'],
      sigpending: ['100', own.sigpending?.[1]],
      stack: ['524288', own.stack?.[1]],
    });
    assert.deepEqual(rows(procFile('limits', {})), own, 'this process keeps its own');
  });
}

test('one half alone leaves the other as it was', () => {
  const code = `
    const halves = [{ hard: 150 }, { soft: 50 }, { soft: 150 }, { soft: 50, hard: 60 }];
    for (const sigpending of halves) {
      const { stdout } = spawnSync('cat', ['/proc/self/limits'], { limits: { sigpending } });
      console.log(/Max pending signals +(\\d+ +\\d+)/.exec(stdout)[1].replace(/ +/, ' '));
    }`;
  const output = nodeOutput(code, { limits: { sigpending: { soft: 100, hard: 200 } } });
  assert.equal(output, '100 150\n50 200\n150 200\n50 60\n');
});

test('unlimited', () => {
  const code = `
    const limits = { cpu: { soft: 'unlimited' } };
    const { stdout } = spawnSync('cat', ['/proc/self/limits'], { limits });
    console.log(/Max cpu time +(\\w+)/.exec(stdout)[1]);`;
  const skip = own.cpu?.[1] !== 'unlimited';
  if (!skip) assert.equal(nodeOutput(code, { limits: { cpu: { soft: 1000 } } }), 'unlimited\n');
});

test('the same as prlimit(1)', (context) => {
  const peer = peerOutput([
    ...['prlimit', '--nofile=40:50', '--core=0:', '--fsize=1000000', '--stack=1048576:'],
    ...['cat', '/proc/self/limits'],
  ]);
  if (peer === null) return context.skip('prlimit(1) is not installed');
  const limits = { nofile: { soft: 40, hard: 50 }, core: { soft: 0 }, fsize: 1e6 };
  assert.equal(procFile('limits', { limits: { ...limits, stack: { soft: '1MiB' } } }), peer);
});

test('the kernel enforces them', async () => {
  const child = launch({
    path: '/bin/sh',
    argv: ['sh', '-c', 'ulimit -c 0; while :; do :; done'],
    limits: { cpu: 1 },
  });
  const exit = await child.exited;
  assert.ok(exit?.signal === 'SIGKILL' || exit?.signal === 'SIGXCPU', String(exit?.signal));
});

test('a limit that cannot be set fails by its name', () => {
  const failures = failuresWithoutPrivileges(
    [
      { limits: { nofile: 65 } },
      { limits: { core: 0, nofile: { hard: 'unlimited' } } },
      { limits: { nofile: { hard: 1 } } },
      { limits: { nofile: { soft: 63 } } },
    ],
    { nofile: 64 },
  );
  assert.deepEqual(failures, [
    'EPERM limit nofile',
    'EPERM limit nofile',
    'EINVAL limit nofile',
    'none',
  ]);
});

describe('what cannot be meant is refused', () => {
  const wrong: readonly [unknown, string, RegExp][] = [
    [7, 'ERR_INVALID_ARG_TYPE', /"options\.limits"/],
    [
      { files: 7 },
      'ERR_INVALID_ARG_VALUE',
      /'options\.limits\.files' is not an option; known are as/,
    ],
    [{ NOFILE: 7 }, 'ERR_INVALID_ARG_VALUE', /did you mean "nofile"/],
    [{ nofile: -1 }, 'ERR_OUT_OF_RANGE', /options\.limits\.nofile/],
    [{ nofile: 1.5 }, 'ERR_OUT_OF_RANGE', /an integer/],
    [{ nofile: '7' }, 'ERR_INVALID_ARG_TYPE', /number or 'unlimited'/],
    [{ nofile: '7MiB' }, 'ERR_INVALID_ARG_TYPE', /number or 'unlimited'/],
    [{ cpu: true }, 'ERR_INVALID_ARG_TYPE', /limits\.cpu/],
    [{ as: '7 apples' }, 'ERR_INVALID_ARG_VALUE', /limits\.as/],
    [{ as: 2 ** 53 }, 'ERR_OUT_OF_RANGE', /limits\.as/],
    [{ as: null }, 'ERR_INVALID_ARG_TYPE', /limits\.as/],
    [{ as: {} }, 'ERR_INVALID_ARG_VALUE', /soft or hard/],
    // Not element by element.
    [new Uint8Array(5e7), 'ERR_INVALID_ARG_TYPE', /options\.limits/],
    [{ as: { max: 1 } }, 'ERR_INVALID_ARG_VALUE', /limits\.as\.max/],
    [{ as: { soft: 2, hard: 1 } }, 'ERR_INVALID_ARG_VALUE', /must not be above hard, 1/],
    [{ as: { soft: 'unlimited', hard: '1TiB' } }, 'ERR_INVALID_ARG_VALUE', /above hard, 1TiB/],
  ];
  for (const [limits, code, message] of wrong) {
    test(ArrayBuffer.isView(limits) ? 'a buffer' : JSON.stringify(limits), () => {
      const attempt = () => launch({ path: '/bin/true', limits: limits as Limits });
      assert.throws(attempt, { code, message });
    });
  }
});

test('steps are plain data, in the order of the names', () => {
  const limit = fc.oneof(fc.nat(), fc.constant('unlimited' as const));
  const value = fc.oneof(
    limit,
    fc.tuple(limit, limit).map(([a, b]) => {
      const [soft, hard] = amount(a) <= amount(b) ? [a, b] : [b, a];
      return { soft, hard };
    }),
  );
  const amount = (limit: number | string): number => (limit === 'unlimited' ? Infinity : +limit);
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...NAMES), value), (limits) => {
      const steps = inOrder(LIMITS.prepare({ limits })?.steps ?? {});
      assert.deepEqual(JSON.parse(JSON.stringify(steps)), steps);
      const given = Object.keys(RESOURCES).filter((name) => Object.hasOwn(limits, name));
      assert.deepEqual(
        steps.flatMap((step) => (step.type === 'limit' ? step.resource : [])),
        // That of descriptors has a later stage.
        [
          ...given.filter((name) => name !== 'nofile'),
          ...given.filter((name) => name === 'nofile'),
        ],
      );
    }),
  );
});
