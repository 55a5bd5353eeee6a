import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MACHINES } from '../../../src/machine/index.js';
import { compile } from '../../../src/plan/compile.js';
import { imageOnly, type Plan, type Step } from '../../../src/plan/plan.js';
import { explain } from '../../../src/program/explain.js';

/**
 * Steps as data, and the lines of their programs; all calls whose error ends the launch are marked,
 * and have the name of the step.
 */
const STEPS: readonly (readonly [Step, readonly string[]])[] = [
  [{ type: 'umask', mask: 0o27 }, ['umask(027) ?-> fail  ; umask']],
  [{ type: 'setsid' }, ['setsid() ?-> fail  ; setsid']],
  [{ type: 'setpgid', group: 5 }, ['setpgid(0, 5) ?-> fail  ; setpgid']],
  [
    { type: 'controllingTerminal', fd: 3 },
    ['ioctl(3, TIOCSCTTY, 0) ?-> fail  ; controllingTerminal fd 3'],
  ],
  [
    { type: 'affinity', cpus: [0, 2, 64] },
    ['sched_setaffinity(0, 16, [0 2 64]) ?-> fail  ; affinity'],
  ],
  [{ type: 'affinity', cpus: [63] }, ['sched_setaffinity(0, 8, [63]) ?-> fail  ; affinity']],
  [
    { type: 'scheduler', policy: 'idle', priority: 0, resetOnFork: false },
    ['sched_setscheduler(0, SCHED_IDLE, {0}) ?-> fail  ; scheduling'],
  ],
  [
    { type: 'scheduler', policy: 'rr', priority: 99, resetOnFork: true },
    ['sched_setscheduler(0, SCHED_RR|SCHED_RESET_ON_FORK, {99}) ?-> fail  ; scheduling'],
  ],
  [
    { type: 'deadline', runtime: 1024, deadline: 2 ** 33, period: 2 ** 52, resetOnFork: true },
    [
      'sched_setattr(0, {SCHED_DEADLINE, 1, 1024, 8589934592, 4503599627370496}, 0) ?-> fail' +
        '  ; scheduling',
    ],
  ],
  [{ type: 'nice', value: -20 }, ['setpriority(PRIO_PROCESS, 0, -20) ?-> fail  ; nice']],
  [
    { type: 'ioPriority', class: 'realtime', level: 7 },
    ['ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_RT<<13|7) ?-> fail  ; ioPriority'],
  ],
  [{ type: 'timerSlack', nanoseconds: 5 }, ['prctl(PR_SET_TIMERSLACK, 5) ?-> fail  ; timerSlack']],
  [
    { type: 'transparentHugePages', enabled: true },
    ['prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) ?-> fail  ; transparentHugePages'],
  ],
  [
    { type: 'personality', persona: 0x0040000 },
    ['personality(ADDR_NO_RANDOMIZE) ?-> fail  ; personality'],
  ],
  [
    { type: 'limit', resource: 'as', soft: 2 ** 40, hard: 'unlimited' },
    ['prlimit64(0, RLIMIT_AS, {1099511627776, ~0}, 0) ?-> fail  ; limit as'],
  ],
  [
    { type: 'ignoredSignals', signals: [1 << 12, 0] },
    ['rt_sigaction(SIGPIPE, {SIG_IGN}, 0, 8) ?-> fail  ; ignoredSignals'],
  ],
];

for (const machine of Object.values(MACHINES)) {
  describe(machine.name, () => {
    const site = { machine, executor: 'image', errorPipe: 10, argumentCount: 1 } as const;
    const lines = (plan: Plan): string[] =>
      explain(compile(plan, site), machine).instructions.map(({ text, step }) =>
        step === null
          ? text
          : `${text}  ; ${step.step}${step.fd === undefined ? '' : ` fd ${step.fd}`}`,
      );
    const exec = { candidates: [], file: 'x', shellFallback: false };
    const empty = lines({ steps: [], exec });
    const stepLines = (step: Step): string[] => {
      const all = lines({ steps: [step], exec });
      return all.slice(1, all.length - empty.length + 1);
    };

    for (const [step, expected] of STEPS) {
      test(JSON.stringify(step), () => assert.deepEqual(stepLines(step), expected));
    }

    test('half a limit is copied into what was', () => {
      const words = 8 / machine.wordSize;
      const found = stepLines({ type: 'limit', resource: 'nofile', soft: 5, hard: null });
      assert.equal(found.length, 2 + words);
      assert.match(found[0] as string, /^prlimit64\(0, RLIMIT_NOFILE, 0, &(data\d+)\) \?-> fail/);
      const [, old] = /&(data\d+)/.exec(found[0] as string) ?? [];
      assert.equal(found[1], `${old} = 5`);
      assert.equal(
        found.at(-1),
        `prlimit64(0, RLIMIT_NOFILE, &${old}, 0) ?-> fail  ; limit nofile`,
      );
    });

    test('a program by its descriptor', () => {
      const found = lines({ steps: [], exec: { ...exec, fd: 7 } });
      const [call] = found.filter((line) => line.startsWith('execveat'));
      assert.match(
        call as string,
        /^execveat\(7, "", \S+, \S+, AT_EMPTY_PATH\) \?-> fail {2}; exec fd 7/,
      );
      assert.ok(!found.some((line) => line.startsWith('execve(')));
    });
  });
}

test('of these only one needs memory of its own', () => {
  const types = STEPS.filter(([step]) => imageOnly({ steps: [step] }) !== undefined);
  assert.deepEqual(
    types.map(([{ type }]) => type),
    ['transparentHugePages'],
  );
});
