import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imageTemplate } from '../../../src/elf/image.js';
import { compilePlan } from '../../../src/launch/compiled-plan.js';
import { MACHINES } from '../../../src/machine/index.js';
import type { Machine } from '../../../src/machine/machine.js';
import { compile } from '../../../src/plan/compile.js';
import { SI_KERNEL, SIGCHLD } from '../../../src/plan/constants.js';
import { imageOnly, type Plan, type Step } from '../../../src/plan/plan.js';
import type { Mount } from '../../../src/plan/steps/mounts.js';
import { explain, formatProgram } from '../../../src/program/explain.js';
import { layoutOf, link } from '../../../src/program/link.js';
import { SimulatedMemory, simulate } from '../../../src/program/simulate.js';

const exec = { candidates: ['/bin/true'], file: '/bin/true', shellFallback: false };
const planOf = (...steps: Step[]): Plan => ({ steps, exec });

const bind: Mount = {
  ...{ type: 'bind', source: '/s', target: '/t/u', recursive: true },
  ...{ attributes: 1, optional: true, create: true },
};

/** A step of each type, and of each form. */
const SAMPLES: readonly Step[] = [
  { type: 'joinNamespaces', fd: 7, kinds: ['user', 'mount', 'time'] },
  { type: 'userNamespace', uidMap: '0 1 1\n', gidMap: '0 1 1\n', writer: 'self' },
  {
    ...{ type: 'userNamespace', writer: 'parent' },
    ...{ uidMap: '0 1 9\n', gidMap: '0 1 9\n', become: { uid: 0, gid: 0 } },
  },
  { type: 'unshare', kind: 'pid' },
  { type: 'hostname', name: 'h' },
  { type: 'domainname', name: 'd' },
  { type: 'loopback' },
  { type: 'timeOffsets', offsets: 'boottime 1 0\n' },
  { type: 'forkIntoPidNamespace', init: true },
  { type: 'forkIntoPidNamespace', init: false },
  { type: 'endWithMonitor' },
  { type: 'privateMounts' },
  { type: 'mounts', root: null, mounts: [bind] },
  { type: 'mounts', root: { type: 'chroot', path: '/r' }, mounts: [] },
  { type: 'mounts', root: { type: 'pivotRoot', path: '/r', attributes: 1 }, mounts: [bind] },
  {
    type: 'mounts',
    root: { type: 'tmpfs', options: { mode: '755' }, readOnly: true },
    mounts: [
      {
        ...{ type: 'filesystem', filesystem: 'tmpfs', target: '/x' },
        ...{ flags: 6, options: 'mode=755', create: true },
      },
      {
        ...{ type: 'overlay', lower: '/l', options: 'lowerdir=/l:/m' },
        ...{ target: '/o', create: false },
      },
      { type: 'remountReadOnly', target: '/x', recursive: true },
      { type: 'mkdir', target: '/a/b', mode: 0o755 },
      { type: 'symlink', target: '/a/l', to: 'b' },
      { type: 'file', target: '/a/f', content: 'text', mode: 0o644 },
    ],
  },
];

const siteOf = (machine: Machine) =>
  ({ machine, errorPipe: 20, executor: 'image', argumentCount: 1 }) as const;

test('every form has an image on every machine', () => {
  for (const machine of Object.values(MACHINES)) {
    for (const step of SAMPLES) {
      const { bytes } = compilePlan(planOf(step), siteOf(machine), imageTemplate(machine));
      assert.ok(bytes.length > 0, `${machine.name} ${step.type}`);
    }
  }
});

test('only the image executor makes namespaces', () => {
  for (const step of SAMPLES) {
    const reason = imageOnly(planOf(step));
    assert.equal(reason === undefined, step.type === 'endWithMonitor', step.type);
  }
});

test('their listings have names in place of numbers', () => {
  const x64 = MACHINES.x64 as Machine;
  const program = compile(planOf(...SAMPLES), siteOf(x64));
  const text = formatProgram(explain(program, { wordSize: 8 }));
  for (const line of [
    'setns(7, CLONE_NEWNS|CLONE_NEWTIME|CLONE_NEWUSER) ?-> fail  ; join namespace fd 7',
    'unshare(CLONE_NEWUSER) ?-> fail  ; user namespace',
    'unshare(CLONE_NEWPID) ?-> fail  ; pid namespace',
    'sethostname("h", 1) ?-> fail  ; hostname',
    'mount("none", "/", 0, MS_PRIVATE|MS_REC, 0) ?-> fail  ; private mounts',
    'open_tree(AT_FDCWD, "/s", OPEN_TREE_CLONE|AT_RECURSIVE|O_CLOEXEC)',
    '{MOUNT_ATTR_RDONLY}, 32)',
    'pivot_root(".", ".") ?-> fail  ; pivot root "/r"',
    'umount2(".", MNT_DETACH) ?-> fail  ; detach old root',
    'mount("tmpfs", "/x", "tmpfs", MS_NODEV|MS_NOSUID, "mode=755") ?-> fail  ; tmpfs "/x"',
    'symlinkat("b", AT_FDCWD, "/a/l") ?-> fail  ; symlink "/a/l"',
    'mkdirat(AT_FDCWD, "/a/b", 0755)',
    'chroot("/r") ?-> fail  ; chroot "/r"',
  ]) {
    assert.ok(text.includes(line), line);
  }
});

/** A signal that the monitor gets, or the end of its target. */
type News = { readonly signal: number; readonly code: number } | { readonly end: [number, number] };

const [INIT, TARGET, MONITOR] = [50, 51, 49];

/** Lets the reference interpreter be the monitor; gives its calls that matter. */
function monitor(machine: Machine, news: readonly News[]): string[] {
  const { wordSize, structs } = machine;
  const program = compile(planOf({ type: 'forkIntoPidNamespace', init: true }), siteOf(machine));
  const bytes = new Uint8Array(layoutOf(program, wordSize).size);
  const base = 0x400000;
  link(program, machine, base, bytes);
  const names = new Map(
    program.instructions.map(({ name }) => [name === '' ? -1 : machine.syscallNumber(name), name]),
  );
  const calls: string[] = [];
  const queue = [...news];
  let end: [number, number] | undefined;
  let clones = 0;
  let children = 2;
  const info = (memory: SimulatedMemory, address: bigint, code: number, status: number): void => {
    const slice = memory.slice(address, structs.siginfo.size);
    const view = new DataView(slice.buffer, slice.byteOffset, slice.length);
    view.setInt32(structs.siginfo.code, code, true);
    view.setInt32(structs.siginfo.status, status, true);
  };
  const syscall = (number: number, args: readonly bigint[], memory: SimulatedMemory) => {
    const name = names.get(number) as string;
    const [first, second, third] = args as [bigint, bigint, bigint];
    switch (name) {
      case 'clone':
        return BigInt(clones++ === 0 ? INIT : TARGET);
      case 'getpid':
        return BigInt(MONITOR);
      case 'rt_sigtimedwait': {
        const next = queue.shift();
        // A wait that a stopped process was continued in.
        if (next === undefined) return third === 0n ? -4n : -11n;
        if ('end' in next) {
          end = next.end;
          info(memory, second, 1, 0);
          return BigInt(SIGCHLD);
        }
        if (second !== 0n) info(memory, second, next.code, 0);
        return BigInt(next.signal);
      }
      case 'waitid':
        // P_ALL: the init, and a child that the target has given it; then there are none.
        if (first === 0n) {
          calls.push('wait for any');
          return children-- > 0 ? 0n : -10n;
        }
        if (second === BigInt(TARGET)) info(memory, third, ...(end ?? [0, 0]));
        return 0n;
      case 'kill':
        calls.push(`kill ${first} ${second}`);
        return 0n;
      case 'exit_group':
        calls.push(`exit ${first}`);
        return null;
      default:
        return 0n;
    }
  };
  simulate(new SimulatedMemory(bytes, base, wordSize), { syscall });
  return calls;
}

describe('the monitor', () => {
  for (const machine of Object.values(MACHINES)) {
    test(`on ${machine.name}: passes on what was sent, and ends as the target`, () => {
      const sent = { signal: 15, code: 0 };
      const queued = { signal: 40, code: -1 };
      const typed = { signal: 2, code: SI_KERNEL };
      assert.deepEqual(monitor(machine, [typed, sent, queued, { end: [1, 7] }]), [
        `kill ${TARGET} 15`,
        `kill ${TARGET} 40`,
        `kill ${INIT} 9`,
        ...Array(3).fill('wait for any'),
        'exit 7',
      ]);
      // By a signal: of CLD_KILLED, or CLD_DUMPED. This monitor outlives it.
      for (const code of [2, 3]) {
        assert.deepEqual(monitor(machine, [{ end: [code, 11] }, sent]), [
          `kill ${INIT} 9`,
          ...Array(3).fill('wait for any'),
          `kill ${MONITOR} 11`,
          'exit 139',
        ]);
      }
    });
  }
});
