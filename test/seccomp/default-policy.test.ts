import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MACHINES, machineFor } from '../../src/machine/index.js';
import { syscallNumber, syscallTable } from '../../src/machine/syscall-table.js';
import { ARCHITECTURES } from '../../src/machine/syscalls.js';
import {
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
} from '../../src/plan/constants.js';
import { auditArchitecture, compilePolicy } from '../../src/seccomp/compile.js';
import { DEFAULT_RULES } from '../../src/seccomp/default-policy.js';
import { evaluate } from '../../src/seccomp/evaluate.js';
import { filterFault } from '../../src/seccomp/filter.js';
import type { Policy } from '../../src/seccomp/policy.js';

/**
 * Judged, and not listed in the policy: what Linux no longer has or never had, what only the
 * kernel itself calls, and what is younger than the programs that would miss it.
 */
const UNKNOWN = `
  _sysctl afs_syscall bdflush break epoll_ctl_old epoll_wait_old ftime get_kernel_syms getpmsg gtty
  idle lock lookup_dcookie mpx nfsservctl prof profil putpmsg query_module security stty sysfs
  tuxcall ulimit uprobe uretprobe uselib ustat vserver
  listmount statmount listns lsm_set_self_attr`
  .trim()
  .split(/\s+/);

const policy: Policy = {
  ...{ otherwise: null, foreign: SECCOMP_RET_KILL_PROCESS, rules: [], base: true },
};
const listed = DEFAULT_RULES.flatMap(({ syscalls }) => syscalls);

test('every system call there is has been judged', () => {
  const known = new Set([...listed, ...UNKNOWN]);
  assert.deepEqual(
    [...syscallTable().keys()].filter((name) => !known.has(name)),
    [],
  );
  assert.deepEqual(
    UNKNOWN.filter((name) => listed.includes(name)),
    [],
  );
  // None is misspelt.
  assert.deepEqual(
    [...known].filter((name) => !syscallTable().has(name)),
    [],
  );
  // None stands in two lists.
  const always = DEFAULT_RULES.filter(({ conditions }) => conditions.length === 0);
  const names = always.flatMap(({ syscalls }) => syscalls);
  assert.deepEqual(
    names.filter((name, i) => names.indexOf(name) !== i),
    [],
  );
});

const NAMESPACES = [
  0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
];
const [EPERM, ENOSYS, EAFNOSUPPORT] = [1, 38, 97].map((errno) => SECCOMP_RET_ERRNO | errno);
const ALLOW = SECCOMP_RET_ALLOW;

type FilterCall = [number | undefined, string, ...(number | bigint)[]];

/** Calls with arguments that matter, and what becomes of them. */
const CALLS: readonly FilterCall[] = [
  [ALLOW, 'clone', 17],
  [ALLOW, 'clone', 0x3d0f00],
  ...NAMESPACES.map((flag): [number | undefined, string, number] => [EPERM, 'clone', flag | 17]),
  ...[0x80, ...NAMESPACES].map((flag): [number | undefined, string, number] => [
    EPERM,
    'unshare',
    flag | 0x200,
  ]),
  [EPERM, 'clone', 0x8011],
  [ALLOW, 'unshare', 0x200],
  [EPERM, 'unshare', 0x100000000n],
  [ENOSYS, 'clone3', 0],
  ...[1, 2, 10].map((family): [number, string, number, number] => [ALLOW, 'socket', family, 1]),
  ...[0, 3, 4, 15, 17, 29, 30, 31, 38, 40, 44].map(
    (family): [number | undefined, string, number, number] => [EAFNOSUPPORT, 'socket', family, 1],
  ),
  [ALLOW, 'socket', 16, 3, 0],
  [EAFNOSUPPORT, 'socket', 16, 3, 9],
  [EAFNOSUPPORT, 'socket', 0x100000028n, 1],
  [ALLOW, 'socketpair', 1, 1],
  [EAFNOSUPPORT, 'socketpair', 30, 1],
  [EAFNOSUPPORT, 'socketcall', 1],
  [ALLOW, 'socketcall', 3],
  [EPERM, 'ioctl', 0, 0x5412],
  [EPERM, 'ioctl', 0, 0x541c],
  // The kernel does not look at the upper half.
  [EPERM, 'ioctl', 0, 0xff00005412n],
  [ALLOW, 'ioctl', 0, 0x5401],
  [ALLOW, 'personality', 0xffffffff],
  [ALLOW, 'personality', 0],
  [EPERM, 'personality', 0x40000],
  [EPERM, 'personality', 8],
  [EPERM, 'mknod', 0, 0o020644],
  [EPERM, 'mknodat', 0, 0, 0o060644],
  [ALLOW, 'mknodat', 0, 0, 0o010644],
  [EPERM, 'mknodat', 0, 0, 0o104755],
  [EPERM, 'mknod', 0, 0o102755],
  ...[0o4755, 0o2755, 0o6000].flatMap((mode): FilterCall[] => [
    ...['creat', 'chmod', 'fchmod'].map((name): FilterCall => [EPERM, name, 0, mode]),
    ...['fchmodat', 'fchmodat2'].map((name): FilterCall => [EPERM, name, 0, 0, mode]),
    ...[0o100, 0o20200001, 0o1101].map((flags): FilterCall => [EPERM, 'openat', 0, 0, flags, mode]),
    [EPERM, 'open', 0, 0o100, mode],
    // What makes no file has no mode, whatever the register holds.
    [ALLOW, 'openat', 0, 0, 0o1001, mode],
    [ALLOW, 'open', 0, 0, mode],
  ]),
  [ALLOW, 'creat', 0, 0o1777],
  [ALLOW, 'chmod', 0, 0o1777],
  [ALLOW, 'fchmodat', 0, 0, 0o755],
  [ALLOW, 'open', 0, 0o101, 0o644],
  [ALLOW, 'openat', 0, 0, 0o20200002, 0o600],
  [ALLOW, 'mkdir', 0, 0o2755],
  [ENOSYS, 'openat2', 0, 0, 0],
  ...[0, 2].map((which): FilterCall => [ALLOW, 'setpriority', which, 0, 19]),
  ...[1, 0x100000001n].map((which): FilterCall => [EPERM, 'setpriority', which, 0, 19]),
  ...[1, 3].map((which): FilterCall => [ALLOW, 'ioprio_set', which, 0, 0]),
  [EPERM, 'ioprio_set', 2, 0, 0],
  [EPERM, 'clock_settime64', 0],
  [EPERM, 'setns', 0],
  [ENOSYS, 'listns', 0],
];

for (const machine of Object.values(MACHINES)) {
  test(`${machine.name}: the filter says what the policy means`, () => {
    const { filter } = compilePolicy(policy, machine, 9);
    assert.equal(filterFault(filter), null);
    assert.ok(filter.length < 250, `${filter.length} instructions`);
    const arch = auditArchitecture(machine);
    for (const [expected, name, ...given] of CALLS) {
      const nr = syscallNumber(name, machine.name) ?? null;
      if (nr === null) continue;
      const args = given.map((value) => BigInt.asUintN(machine.wordSize * 8, BigInt(value)));
      if (machine.wordSize === 4 && given.some((value) => value > 0xffffffff)) continue;
      assert.equal(evaluate(filter, { nr, arch, args }), expected, `${name} ${given}`);
    }
    for (const nr of [471, 9999, 0x3fffffff]) assert.equal(evaluate(filter, { nr, arch }), ENOSYS);
    for (const other of Object.values(MACHINES)) {
      if (other === machine) continue;
      const call = { nr: other.syscallNumber('getpid'), arch: auditArchitecture(other) };
      assert.equal(evaluate(filter, call), SECCOMP_RET_KILL_PROCESS, other.name);
    }
  });
}

test('x64: x32 is refused, and what a tracer suppresses is not', () => {
  const { filter } = compilePolicy(policy, machineFor('x64'), 9);
  const arch = auditArchitecture(machineFor('x64'));
  const x32 = { nr: 0x40000000 | 39, arch };
  assert.equal(evaluate(filter, x32), SECCOMP_RET_KILL_PROCESS);
  assert.equal(evaluate(filter, { nr: -1, arch }), ENOSYS);
});

test('the table has a row for each call, a number for each architecture', () => {
  assert.ok(syscallTable().size > 480);
  for (const [name, numbers] of syscallTable()) {
    assert.equal(numbers.length, ARCHITECTURES.length, name);
    assert.ok(
      numbers.some((number) => number !== null),
      name,
    );
  }
  assert.deepEqual(syscallTable().get('renameat'), [264, 302, 329, 38, null]);
  assert.deepEqual(syscallTable().get('clone3'), [435, 435, 435, 435, 435]);
});
