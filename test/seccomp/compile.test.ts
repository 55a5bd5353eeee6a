import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MACHINES, machineFor } from '../../src/machine/index.js';
import { syscallNumber, syscallTable } from '../../src/machine/syscall-table.js';
import {
  BPF_MAXINSNS,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRAP,
} from '../../src/plan/constants.js';
import { auditArchitecture, compilePolicy, type FilterMachine } from '../../src/seccomp/compile.js';
import { evaluate } from '../../src/seccomp/evaluate.js';
import { decodeFilter, encodeFilter, filterFault } from '../../src/seccomp/filter.js';
import {
  ALL_BITS,
  COMPARISONS,
  type Condition,
  type Halves,
  halves,
  type Policy,
  type Rule,
} from '../../src/seccomp/policy.js';

const ERROR_PIPE = 21;
const ALL = Object.values(MACHINES);
const NAMES = [...syscallTable().keys()];
const whole = ({ high, low }: Halves): bigint => (BigInt(high) << 32n) | BigInt(low);

/** What a policy says of a call, read straight from its rules. */
function judge(policy: Policy, machine: FilterMachine, nr: number, args: readonly bigint[]) {
  if (machine.name === 'x64' && nr >= 0x40000000 && nr !== 0xffffffff) return policy.foreign;
  const holds = ({ index, op, width, value, mask }: Condition): boolean => {
    const argument = BigInt.asUintN(width, args[index] as bigint);
    const wanted = BigInt.asUintN(width, whole(value));
    switch (op) {
      case 'eq':
        return argument === wanted;
      case 'ne':
        return argument !== wanted;
      case 'lt':
        return argument < wanted;
      case 'le':
        return argument <= wanted;
      case 'gt':
        return argument > wanted;
      case 'ge':
        return argument >= wanted;
      case 'maskedEq':
        return BigInt.asUintN(width, argument & whole(mask)) === wanted;
    }
  };
  for (const { syscalls, action, conditions } of policy.rules) {
    const isNamed = syscalls.some((name) => syscallNumber(name, machine.name) === nr);
    if (isNamed && conditions.every(holds)) return action;
  }
  return policy.otherwise as number;
}

const action = fc.constantFrom(
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRAP,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_ERRNO | 1,
  SECCOMP_RET_ERRNO | 38,
);
/** Numbers at which comparisons of halves go wrong if they do. */
const interesting = fc.constantFrom(
  ...[0n, 1n, 2n, 0xffffffffn, 0x100000000n, 0x100000001n, 0x1ffffffffn, 0xffffffff00000000n],
  ...[0x7fffffffn, 0x80000000n, 0x8000000000000000n, 0xffffffffffffffffn, 0xfffffffffffffffen],
);
const value = fc.oneof(interesting, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const condition = fc
  .record({
    index: fc.integer({ min: 0, max: 5 }),
    op: fc.constantFrom(...COMPARISONS),
    width: fc.constantFrom<32 | 64>(32, 64),
    value,
    mask: value,
  })
  .map(({ index, op, width, value, mask }): Condition => {
    const masked = op === 'maskedEq';
    const wanted = BigInt.asUintN(width, masked ? value & mask : value);
    const bits = masked ? halves(BigInt.asUintN(width, mask)) : ALL_BITS;
    return { index, op, width, value: halves(wanted), mask: bits };
  });
const rule: fc.Arbitrary<Rule> = fc.record({
  // Few names, so that rules meet.
  syscalls: fc.array(fc.constantFrom(...NAMES.slice(0, 40), 'read', 'write', 'futex'), {
    minLength: 1,
    maxLength: 12,
  }),
  action,
  conditions: fc.array(condition, { maxLength: 3 }),
  optional: fc.constant(true),
});
/** What every policy must allow. */
const NEEDED: Rule = {
  syscalls: ['execve', 'exit_group'],
  action: SECCOMP_RET_ALLOW,
  conditions: [],
  optional: false,
};
const policy: fc.Arbitrary<Policy> = fc.record({
  otherwise: action,
  foreign: fc.constantFrom(SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO | 1),
  rules: fc.array(rule, { maxLength: 30 }).map((rules) => [NEEDED, ...rules]),
  base: fc.constant(false),
});

test('a filter decides as its policy does', () => {
  fc.assert(
    fc.property(
      policy,
      fc.constantFrom(...ALL),
      fc.array(fc.tuple(fc.nat(), fc.array(value, { minLength: 6, maxLength: 6 })), {
        minLength: 8,
        maxLength: 20,
      }),
      (policy, machine, calls) => {
        const { filter } = compilePolicy(policy, machine, ERROR_PIPE);
        assert.equal(filterFault(filter), null);
        assert.deepEqual(decodeFilter(encodeFilter(filter)), filter);
        const arch = auditArchitecture(machine);
        const named = policy.rules.flatMap(({ syscalls }) => syscalls);
        const given = policy.rules.flatMap(({ conditions }) => conditions);
        for (const [n, random] of calls) {
          const name = named[n % named.length] as string;
          const number = syscallNumber(name, machine.name);
          const nr = n % 5 === 0 ? n >>> 0 : (number ?? n % 500) + (n % 7 === 0 ? 1 : 0);
          // As often as not a value that a rule compares with.
          const args = random.map((value, i) => {
            const near = given[(n + i) % Math.max(1, given.length)];
            return near === undefined || (n + i) % 3 === 0 ? value : whole(near.value);
          });
          const reports = name === 'write' && args[0] === 21n;
          if (reports) continue;
          assert.equal(evaluate(filter, { nr, arch, args }), judge(policy, machine, nr, args));
          const foreign = { nr, arch: arch ^ 0x80000000, args };
          assert.equal(evaluate(filter, foreign), policy.foreign);
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** Rules for all calls, no two of which are treated alike. */
function manyRules(perCall: number): Policy {
  const rules = NAMES.flatMap((name, i) =>
    name === 'execve' || name === 'exit_group'
      ? []
      : Array.from({ length: perCall }, (_, n): Rule => {
          const condition: Condition = {
            ...{ index: n % 6, op: 'eq', width: 64, value: halves(BigInt(i * 100 + n)) },
            mask: ALL_BITS,
          };
          const action = SECCOMP_RET_ERRNO | ((i + n) % 4000);
          return { syscalls: [name], action, conditions: [condition], optional: true };
        }),
  );
  const foreign = SECCOMP_RET_KILL_PROCESS;
  return { otherwise: SECCOMP_RET_ALLOW, foreign, rules, base: false };
}

for (const machine of ALL) {
  test(`${machine.name}: jumps reach as far as they must`, () => {
    const policy = manyRules(1);
    const { filter } = compilePolicy(policy, machine, ERROR_PIPE);
    assert.ok(filter.length > 1000 && filterFault(filter) === null, `${filter.length}`);
    const arch = auditArchitecture(machine);
    for (const [i, name] of NAMES.entries()) {
      const nr = syscallNumber(name, machine.name) ?? 9999;
      for (const value of [BigInt(i * 100), 1n]) {
        const args = Array(6).fill(value);
        assert.equal(evaluate(filter, { nr, arch, args }), judge(policy, machine, nr, args), name);
      }
    }
  });
}

test('a policy too long for the kernel is refused', () => {
  assert.throws(() => compilePolicy(manyRules(4), machineFor('x64'), ERROR_PIPE), {
    code: 'ERR_OUT_OF_RANGE',
    message: new RegExp(`at most ${BPF_MAXINSNS} instructions`),
  });
});

test('without write, the report of a failed exec passes, and nothing else', () => {
  const otherwise = SECCOMP_RET_KILL_PROCESS;
  const policy: Policy = { otherwise, foreign: otherwise, rules: [NEEDED], base: false };
  for (const machine of ALL) {
    const { filter } = compilePolicy(policy, machine, ERROR_PIPE);
    const arch = auditArchitecture(machine);
    const nr = machine.syscallNumber('write');
    const record = BigInt(2 * machine.wordSize);
    const write = (fd: bigint, size: bigint) =>
      evaluate(filter, { nr, arch, args: [fd, 0x1234n, size, 0n, 0n, 0n] });
    assert.equal(write(21n, record), SECCOMP_RET_ALLOW);
    for (const [fd, size] of [
      [20n, record],
      [1n, record],
      [21n, record + 1n],
      [21n, 0n],
      [(1n << 32n) | 21n, record],
    ] as const) {
      assert.equal(write(fd, size), otherwise, `${fd} ${size}`);
    }
    assert.equal(evaluate(filter, { nr: nr + 1, arch }), otherwise);
  }
  // Where write is allowed anyway there is nothing to add.
  const writing: Policy = {
    ...policy,
    rules: [{ ...NEEDED, syscalls: ['execve', 'exit_group', 'write'] }],
  };
  const [one, other] = [1, 2].map((pipe) => compilePolicy(writing, machineFor('x64'), pipe));
  assert.equal(one?.reports, false);
  assert.deepEqual(one, other);
});

test('a call that a machine does not have: ignored if refused, an error if allowed', () => {
  const machine = machineFor('arm64');
  const rule = { ...NEEDED, syscalls: ['vfork'] };
  const policy = (rule: Rule): Policy => ({
    ...{ otherwise: SECCOMP_RET_ALLOW, foreign: 0, base: false, rules: [rule] },
  });
  assert.throws(() => compilePolicy(policy(rule), machine, 9), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /rules\[0\]\.syscalls' is no system call of arm64/,
  });
  compilePolicy(policy({ ...rule, optional: true }), machine, 9);
  compilePolicy(policy({ ...rule, action: SECCOMP_RET_ERRNO | 1 }), machine, 9);
});
