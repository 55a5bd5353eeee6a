import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { SCHEDULING } from '../../src/controls/scheduling.js';
import { launch, type SpawnSyncOptions, spawn } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import {
  failuresWithoutPrivileges,
  failureWith,
  isRoot,
  outputOf,
  peerOutput,
  procFile,
  statusLine,
} from './probe.js';

const root = { skip: isRoot ? false : 'only root may' };
const allowed = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
const firstCpu = Number.parseInt(allowed?.[1] ?? '0', 10);

/** Fields of /proc/self/stat by their numbers in proc_pid_stat(5). */
function statFields(numbers: readonly number[], options: SpawnSyncOptions): number[] {
  const text = procFile('stat', options);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return numbers.map((number) => Number(fields[number - 3]));
}
const NICE = 19;
const RT_PRIORITY = 40;
const POLICY = 41;
const ownNice = statFields([NICE], {})[0] as number;

for (const executor of EXECUTORS) {
  test(`${executor}: nice is a value, not an increment`, () => {
    for (const nice of [Math.min(ownNice + 3, 19), 19]) {
      assert.deepEqual(statFields([NICE], { executor, nice }), [nice]);
    }
    assert.deepEqual(statFields([NICE], {}), [ownNice], 'this process keeps its own');
  });

  test(`${executor}: policies without a priority keep the nice value`, () => {
    const nice = Math.min(ownNice + 2, 19);
    for (const [policy, number] of [
      ['other', 0],
      ['batch', 3],
      ['idle', 5],
    ] as const) {
      const options = { executor, nice, scheduling: { policy } };
      assert.deepEqual(statFields([POLICY, RT_PRIORITY, NICE], options), [number, 0, nice]);
      const inherited = { executor, scheduling: { policy } };
      assert.deepEqual(statFields([POLICY, NICE], inherited), [number, ownNice]);
    }
  });

  test(`${executor}: real-time policies and their priority`, root, () => {
    for (const [policy, number] of [
      ['fifo', 1],
      ['rr', 2],
    ] as const) {
      const options = { executor, scheduling: { policy, priority: 7 } };
      assert.deepEqual(statFields([POLICY, RT_PRIORITY], options), [number, 7]);
    }
    const command = ['sh', '-c', 'cat /proc/self/stat; :'];
    const scheduling = { policy: 'fifo', priority: 3, resetOnFork: true } as const;
    const [policy] = outputOf(command, { executor, scheduling })
      .split(' ')
      .slice(POLICY - 1);
    assert.equal(policy, '0', 'a child of it has no real time');
  });

  test(`${executor}: cpus, as numbers and as a list`, () => {
    for (const cpus of [
      [firstCpu],
      [firstCpu, firstCpu, 8191],
      `${firstCpu}`,
      `${firstCpu},1000-1010`,
    ]) {
      assert.equal(statusLine('Cpus_allowed_list', { executor, cpus }), `${firstCpu}`);
    }
  });

  test(`${executor}: timerSlack`, () => {
    assert.equal(procFile('timerslack_ns', { executor, timerSlack: 123_456 }), '123456\n');
    assert.equal(procFile('timerslack_ns', {}), readFileSync('/proc/self/timerslack_ns', 'latin1'));
  });
}

test('deadline', root, () => {
  const scheduling = { policy: 'deadline', runtime: 1e6, deadline: 5e6, period: 1e7 } as const;
  assert.deepEqual(statFields([POLICY], { scheduling }), [6]);
  const chrt = peerOutput(['chrt', '--version']);
  if (chrt !== null) {
    assert.match(
      outputOf(['chrt', '-p', '0'], { scheduling }),
      /parameters: 1000000\/5000000\/10000000/,
    );
  }
  const shared = { policy: 'deadline', runtime: 2e6, deadline: 5e6 } as const;
  if (chrt !== null) {
    assert.match(
      outputOf(['chrt', '-p', '0'], { scheduling: shared }),
      /: 2000000\/5000000\/5000000/,
    );
  }
});

describe('the same as other programs', () => {
  const peers: readonly [SpawnSyncOptions, string[], string[]][] = [
    [{ nice: ownNice + 5 }, ['nice', '-n', '5'], ['nice']],
    [{ scheduling: { policy: 'batch' } }, ['chrt', '-b', '0'], ['chrt', '-p', '0']],
    [{ scheduling: { policy: 'idle' } }, ['chrt', '-i', '0'], ['chrt', '-p', '0']],
    [{ cpus: [firstCpu] }, ['taskset', '-c', `${firstCpu}`], ['grep', 'Cpus', '/proc/self/status']],
    [{ ioPriority: { class: 'idle' } }, ['ionice', '-c', '3'], ['ionice']],
    [{ ioPriority: { class: 'best-effort' } }, ['ionice', '-c', '2'], ['ionice']],
    [{ ioPriority: { class: 'best-effort', level: 7 } }, ['ionice', '-c2', '-n7'], ['ionice']],
  ];
  const privileged: typeof peers = [
    [{ ioPriority: { class: 'realtime', level: 0 } }, ['ionice', '-c1', '-n0'], ['ionice']],
    [{ scheduling: { policy: 'rr', priority: 99 } }, ['chrt', '-r', '99'], ['chrt', '-p', '0']],
    [
      { scheduling: { policy: 'fifo', priority: 1, resetOnFork: true } },
      ['chrt', '-R', '-f', '1'],
      ['chrt', '-p', '0'],
    ],
  ];
  for (const [options, peer, probe] of isRoot ? [...peers, ...privileged] : peers) {
    test(peer.join(' '), (context) => {
      const expected = peerOutput([...peer, ...probe]);
      if (expected === null) return context.skip(`${peer[0]} is not installed`);
      // chrt prints the pid.
      const plain = (text: string) => text.replace(/pid \d+/g, 'pid');
      assert.notEqual(expected, '');
      assert.equal(plain(outputOf(probe, options)), plain(expected));
    });
  }
});

test('what is refused names its step', () => {
  const failures = failuresWithoutPrivileges([
    { nice: ownNice - 1 },
    { scheduling: { policy: 'fifo', priority: 1 } },
    { scheduling: { policy: 'deadline', runtime: 1e6, deadline: 1e7 } },
    { ioPriority: { class: 'realtime' } },
    { nice: ownNice - 1, executor: 'direct' },
  ]);
  assert.deepEqual(failures, [
    'EACCES nice',
    'EPERM scheduling',
    'EPERM scheduling',
    'EPERM ioPriority',
    'EACCES nice',
  ]);
  assert.deepEqual(failureWith({ cpus: [8191] }), ['EINVAL', 'affinity']);
});

describe('what cannot be meant is refused', () => {
  const wrong: readonly [object, string][] = [
    [{ nice: 20 }, 'ERR_OUT_OF_RANGE'],
    [{ nice: -21 }, 'ERR_OUT_OF_RANGE'],
    [{ nice: '5' }, 'ERR_INVALID_ARG_TYPE'],
    [{ scheduling: 'batch' }, 'ERR_INVALID_ARG_TYPE'],
    [{ scheduling: {} }, 'ERR_INVALID_ARG_VALUE'],
    [{ scheduling: { policy: 'toString' } }, 'ERR_INVALID_ARG_VALUE'],
    [{ scheduling: { policy: 'batch', priority: 1 } }, 'ERR_INVALID_ARG_VALUE'],
    [{ scheduling: { policy: 'fifo' } }, 'ERR_INVALID_ARG_TYPE'],
    [{ scheduling: { policy: 'fifo', priority: 0 } }, 'ERR_OUT_OF_RANGE'],
    [{ scheduling: { policy: 'rr', priority: 100 } }, 'ERR_OUT_OF_RANGE'],
    [{ scheduling: { policy: 'rr', priority: 1, resetOnFork: 1 } }, 'ERR_INVALID_ARG_TYPE'],
    [{ scheduling: { policy: 'deadline', runtime: 1000, deadline: 1e6 } }, 'ERR_OUT_OF_RANGE'],
    [{ scheduling: { policy: 'deadline', runtime: 1e6, deadline: 1e5 } }, 'ERR_OUT_OF_RANGE'],
    [
      { scheduling: { policy: 'deadline', runtime: 1e6, deadline: 1e7, period: 1e6 } },
      'ERR_OUT_OF_RANGE',
    ],
    [{ cpus: [] }, 'ERR_INVALID_ARG_VALUE'],
    [{ cpus: '' }, 'ERR_INVALID_ARG_VALUE'],
    [{ cpus: '3-1' }, 'ERR_INVALID_ARG_VALUE'],
    [{ cpus: '1,,2' }, 'ERR_INVALID_ARG_VALUE'],
    [{ cpus: '0-99999999999' }, 'ERR_OUT_OF_RANGE'],
    [{ cpus: [-1] }, 'ERR_OUT_OF_RANGE'],
    [{ cpus: ['0'] }, 'ERR_INVALID_ARG_TYPE'],
    [{ cpus: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ ioPriority: 'idle' }, 'ERR_INVALID_ARG_TYPE'],
    [{ ioPriority: { class: 'best' } }, 'ERR_INVALID_ARG_VALUE'],
    [{ ioPriority: { class: 'idle', level: 0 } }, 'ERR_INVALID_ARG_VALUE'],
    [{ ioPriority: { class: 'best-effort', level: 8 } }, 'ERR_OUT_OF_RANGE'],
    [{ timerSlack: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ timerSlack: 2 ** 32 }, 'ERR_OUT_OF_RANGE'],
    [{ timerSlack: 1, scheduling: { policy: 'fifo', priority: 1 } }, 'ERR_INVALID_ARG_VALUE'],
  ];
  for (const [options, code] of wrong) {
    test(JSON.stringify(options), () => {
      assert.throws(() => launch({ path: '/bin/true', ...options }), { code });
      assert.throws(() => spawn('/bin/true', options), { code });
    });
  }
});

test('the order of the steps: affinity and policy first, then what a policy would change', () => {
  const contribution = SCHEDULING.prepare({
    timerSlack: 1,
    ioPriority: { class: 'none' },
    nice: 1,
    cpus: '2,0-1',
    scheduling: { policy: 'idle' },
  });
  assert.deepEqual(contribution?.steps.scheduling, [
    { type: 'affinity', cpus: [0, 1, 2] },
    { type: 'scheduler', policy: 'idle', priority: 0, resetOnFork: false },
    { type: 'nice', value: 1 },
    { type: 'ioPriority', class: 'none', level: 0 },
    { type: 'timerSlack', nanoseconds: 1 },
  ]);
});
