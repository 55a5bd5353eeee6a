import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MACHINES, machineFor } from '../../../src/machine/index.js';
import { compile } from '../../../src/plan/compile.js';
import {
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
} from '../../../src/plan/constants.js';
import { filterOf, type SeccompStep } from '../../../src/plan/steps/seccomp.js';
import { explain } from '../../../src/program/explain.js';
import { encodeFilter } from '../../../src/seccomp/filter.js';

const policy: SeccompStep = {
  type: 'seccomp',
  filter: {
    policy: {
      otherwise: SECCOMP_RET_ALLOW,
      foreign: SECCOMP_RET_KILL_PROCESS,
      rules: [
        {
          syscalls: ['ptrace'],
          action: SECCOMP_RET_ERRNO | 1,
          conditions: [],
          optional: false,
        },
      ],
      base: false,
    },
  },
  log: true,
};
/** Allows all. */
const program: SeccompStep = {
  type: 'seccomp',
  filter: { program: [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f] },
  log: false,
};

for (const machine of Object.values(MACHINES)) {
  for (const [name, step, flags] of [
    ['policy', policy, 'SECCOMP_FILTER_FLAG_LOG'],
    ['program', program, '0'],
  ] as const) {
    test(`${machine.name}: a ${name} becomes a struct sock_fprog, the last before the exec`, () => {
      const plan = {
        steps: [step],
        exec: { candidates: ['/bin/true'], file: 'true', shellFallback: false },
      };
      const site = { machine, errorPipe: 9, executor: 'image', argumentCount: 1 } as const;
      const compiled = compile(plan, site);
      const { wordSize } = machine;
      const { instructions } = explain(compiled, { wordSize });
      const calls = instructions.filter(({ op }) => op === 'syscall').map(({ text }) => text);
      const filter = encodeFilter(filterOf(step, machine, 9));
      const at = compiled.pointers.find(({ place }) => place.section === 'data')?.at as number;
      assert.equal(
        calls[1],
        `seccomp(SECCOMP_SET_MODE_FILTER, ${flags}, {len=${filter.length / 8}}) ?-> fail`,
      );
      assert.match(calls[2] as string, /^execve/);
      const place = compiled.pointers.find((pointer) => pointer.at === at)?.place;
      const offset = place?.offset as number;
      const { data } = compiled;
      assert.deepEqual(data.slice(offset, offset + filter.length), filter);
      const length = new DataView(data.buffer, data.byteOffset).getUint16(at - wordSize, true);
      assert.equal(length, filter.length / 8);
    });
  }
}

test('each error pipe has its filter, where it is in one', () => {
  const execve = {
    syscalls: ['execve', 'exit_group'],
    action: SECCOMP_RET_ALLOW,
    conditions: [],
    optional: false,
  };
  const kill = SECCOMP_RET_KILL_PROCESS;
  const strict: SeccompStep = {
    ...policy,
    filter: { policy: { otherwise: kill, foreign: kill, rules: [execve], base: false } },
  };
  const machine = machineFor('x64');
  const pipesIn = (pipe: number) =>
    [501, 502].filter((each) => filterOf(strict, machine, pipe).some(({ k }) => k === each));
  assert.deepEqual([501, 502, 501].map(pipesIn), [[501], [502], [501]]);
  assert.equal(filterOf(policy, machine, 20), filterOf(policy, machine, 21));
});
