import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { endProgram } from '../../src/launch/end-program.js';
import { inFlightProgram } from '../../src/launch/in-flight-programs.js';
import { launchProgram } from '../../src/launch/launch-program.js';
import { MACHINES } from '../../src/machine/index.js';
import { compile, type Site } from '../../src/plan/compile.js';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  CLONE_PIDFD,
  CLONE_VM,
  ENOENT,
  EPOLL_CTL_ADD,
  EPOLLIN,
  EPOLLONESHOT,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  MFD_CLOEXEC,
  O_CLOEXEC,
  P_PIDFD,
  SIG_BLOCK,
  SIG_SETMASK,
  SIGCHLD,
  TIOCSPGRP,
  WEXITED,
  WNOHANG,
} from '../../src/plan/constants.js';
import { ALL_SIGNALS, type Plan, type Step } from '../../src/plan/plan.js';
import { joinProgram, waiterProgram } from '../../src/process/waiter-program.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { type ExplainOptions, explain, formatProgram } from '../../src/program/explain.js';
import { type Program, WORD } from '../../src/program/instruction.js';

/** The lines of a program that `write` writes. */
function lines(write: (b: ProgramBuilder) => void, options?: Partial<ExplainOptions>): string[] {
  const b = new ProgramBuilder(8);
  write(b);
  return formatProgram(explain(b.build(), { wordSize: 8, ...options }))
    .trimEnd()
    .split('\n');
}

/** The line of a single system call. */
function line(write: (b: ProgramBuilder) => number): string {
  return lines(write).slice(0, 1).join('').replace('[0] ', '');
}

test('labels, results, error targets and steps', () => {
  const text = lines((b) => {
    const fail = b.label('fail');
    const number = b.words(0);
    b.here('start');
    b.syscall('fcntl', [3, F_SETFD, FD_CLOEXEC], {
      result: number,
      onError: fail,
      step: { step: 'descriptors', fd: 3 },
    });
    b.syscall('chdir', [b.string('/a "b"')], { step: { step: 'chdir', path: '/a "b"' } });
    b.place(fail);
    b.syscall('write', [9, b.wordOf(b.position, WORD.failedAt), 16]);
    b.halt();
  });
  assert.deepEqual(text, [
    '[0] start: fcntl(3, F_SETFD, FD_CLOEXEC) = data0 ?-> fail  ; descriptors fd 3',
    '[1] chdir("/a \\"b\\"")  ; chdir "/a \\"b\\""',
    '[2] fail: write(9, &i2.failedAt, 16)',
    '[3] halt',
  ]);
});

test('branch, copy, add and call', () => {
  const text = lines((b) => {
    const out = b.label();
    const count = b.words(0);
    b.branchIfEqual(count, -ENOENT, out);
    b.copy(b.words(-1), count);
    b.add(2, count);
    b.add(-2, count);
    b.copy(count, b.argumentOf(b.position + 1, 1));
    b.branchIfEqual(count, 0, out);
    b.copy(count, b.argumentOf(b.position + 1, 0));
    b.call('free', [0]);
    b.jump(out);
    b.place(out);
    b.halt();
  });
  assert.deepEqual(text, [
    '[0] if data0 == -ENOENT goto [9]',
    '[1] data0 = -1',
    '[2] data0 += 2',
    '[3] data0 -= 2',
    '[4] i5.a1 = data0',
    '[5] if data0 == i5.a1 goto [9]',
    '[6] i7.a0 = data0',
    '[7] call free(i7.a0)',
    '[8] goto [9]',
    '[9] halt',
  ]);
});

test('addresses that are known only at run time, and words that start as one', () => {
  const text = lines((b) => {
    const list = b.words(b.string('/bin/true'), 0);
    const from = b.argumentOf(b.copy(list, b.argumentOf(b.position + 1, 0)), 0);
    b.copy(0, b.argumentOf(b.position + 2, 0));
    b.add(8, from);
    b.syscall('execve', [0, 0, 0]);
    b.copy(from, b.wordOf(b.position + 1, WORD.result));
    b.add(1, 0);
  });
  assert.deepEqual(text, [
    '[0] i1.a0 = [i0.a0]',
    '[1] i3.a0 = [i1.a0]',
    '[2] i0.a0 += 8',
    '[3] execve(i3.a0, 0, 0)',
    '[4] i5.result = i0.a0',
    '[5] [i5.result] += 1',
    'i0.a0: &data16',
    'data16: "/bin/true"',
  ]);
});

test('names for places, symbols for numbers', () => {
  const b = new ProgramBuilder(8);
  const fd = b.words(-1);
  const target = b.label();
  const read = b.syscall('read', [0, b.reserve(16), 16], { result: fd });
  b.place(target);
  const jump = b.jump(target);
  b.copy(0x7fff0001, fd);
  const { instructions } = explain(b.build(), {
    wordSize: 8,
    names: { input: [b.argumentOf(read, 0)], fd, plan: b.wordOf(jump, WORD.target), none: null },
    symbols: new Map([[0x7fff0001, 'live']]),
  });
  assert.deepEqual(
    instructions.map(({ text }) => text),
    ['read(input, &data8, 16) = fd', 'goto plan', 'fd = [live]'],
  );
});

describe('arguments', () => {
  const set = (...bytes: number[]) => Uint8Array.from({ length: 8 }, (_, i) => bytes[i] ?? 0);
  const all = set(255, 255, 255, 255, 255, 255, 255, 255);
  const cases: [string, (b: ProgramBuilder) => number][] = [
    [
      'openat(AT_FDCWD, "/dev/null", O_RDWR|O_CLOEXEC, 0666)',
      (b) => b.syscall('openat', [AT_FDCWD, b.string('/dev/null'), O_CLOEXEC | 2, 0o666]),
    ],
    [
      'openat(AT_FDCWD, "", O_RDONLY, 00)',
      (b) => b.syscall('openat', [AT_FDCWD, b.string(''), 0, 0]),
    ],
    [
      'openat(5, "a", O_WRONLY|0x100000, 0644)',
      (b) => b.syscall('openat', [5, b.string('a'), 0x100001, 0o644]),
    ],
    [
      'memfd_create("name", MFD_CLOEXEC)',
      (b) => b.syscall('memfd_create', [b.string('name'), MFD_CLOEXEC]),
    ],
    [
      'fcntl(3, F_ADD_SEALS, F_SEAL_GROW)',
      (b) => b.syscall('fcntl', [3, F_ADD_SEALS, F_SEAL_GROW]),
    ],
    ['fcntl(3, F_SETFL, O_APPEND)', (b) => b.syscall('fcntl', [3, F_SETFL, 0o2000])],
    ['fcntl(3, 99, 1)', (b) => b.syscall('fcntl', [3, 99, 1])],
    [
      'clone(CLONE_PIDFD|CLONE_VM|SIGCHLD, 0, &data0)',
      (b) => b.syscall('clone', [CLONE_VM | CLONE_PIDFD | SIGCHLD, 0, b.words(0)]),
    ],
    [
      'clone(CLONE_VM|SIGCHLD, 0) child-> [0]',
      (b) => b.clone('clone', [CLONE_VM | SIGCHLD, 0], { index: 0 }),
    ],
    [
      'execveat(3, "", 0, 0, AT_EMPTY_PATH)',
      (b) => b.syscall('execveat', [3, b.string(''), 0, 0, AT_EMPTY_PATH]),
    ],
    ['close_range(5, ~0, 0)', (b) => b.syscall('close_range', [5, 0xffffffff, 0])],
    ['close_range(5, 9, 0)', (b) => b.syscall('close_range', [5, 9, 0])],
    [
      'rt_sigprocmask(SIG_SETMASK, ~[], 0, 8)',
      (b) => b.syscall('rt_sigprocmask', [SIG_SETMASK, b.bytes(all, 8), 0, 8]),
    ],
    [
      'rt_sigprocmask(SIG_BLOCK, [HUP CHLD RT_64], &data8, 8)',
      (b) => {
        const blocked = b.bytes(set(1, 0, 1, 0, 0, 0, 0, 128), 8);
        return b.syscall('rt_sigprocmask', [SIG_BLOCK, blocked, b.reserve(8), 8]);
      },
    ],
    [
      'rt_sigprocmask(SIG_SETMASK, ~[INT RT_33], 0, 8)',
      (b) => {
        const mask = b.bytes(set(253, 255, 255, 255, 254, 255, 255, 255), 8);
        return b.syscall('rt_sigprocmask', [SIG_SETMASK, mask, 0, 8]);
      },
    ],
    [
      'rt_sigaction(SIGTERM, {SIG_DFL}, 0, 8)',
      (b) => b.syscall('rt_sigaction', [15, b.reserve(32), 0, 8]),
    ],
    [
      'rt_sigaction(SIGPIPE, {SIG_IGN}, 0, 8)',
      (b) => b.syscall('rt_sigaction', [13, b.words(1, 0, 0, 0), 0, 8]),
    ],
    [
      'epoll_ctl(4, EPOLL_CTL_ADD, 5, {EPOLLIN|EPOLLONESHOT})',
      (b) => {
        const event = b.words(EPOLLIN | EPOLLONESHOT, 0);
        return b.syscall('epoll_ctl', [4, EPOLL_CTL_ADD, 5, event]);
      },
    ],
    [
      'waitid(P_PIDFD, 4, &data0, WEXITED|WNOHANG, 0)',
      (b) => b.syscall('waitid', [P_PIDFD, 4, b.reserve(128), WEXITED | WNOHANG, 0]),
    ],
    ['umask(022)', (b) => b.syscall('umask', [0o22])],
    ['pidfd_send_signal(4, SIGKILL, 0, 0)', (b) => b.syscall('pidfd_send_signal', [4, 9, 0, 0])],
    ['ioctl(0, TIOCSPGRP, &data0)', (b) => b.syscall('ioctl', [0, TIOCSPGRP, b.words(0)])],
    ['dup3(3, 4, O_CLOEXEC)', (b) => b.syscall('dup3', [3, 4, O_CLOEXEC])],
    ['write(1, "text", 4)', (b) => b.syscall('write', [1, b.string('text'), 4])],
    ['write(1, &data0, 4)', (b) => b.syscall('write', [1, b.bytes(Uint8Array.of(7, 0)), 4])],
    ['prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0)', (b) => b.syscall('prctl', [24, 5, 0, 0, 0])],
    [
      'prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)',
      (b) => b.syscall('prctl', [47, 2, 5, 0, 0]),
    ],
    [
      'prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0)',
      (b) => b.syscall('prctl', [28, 1, 0, 0, 0]),
    ],
    [
      'capset({_LINUX_CAPABILITY_VERSION_3}, {effective=CAP_KILL|CAP_SYSLOG, permitted=0, inheritable=CAP_BPF})',
      (b) => {
        const header = b.bytes(new Uint8Array(Uint32Array.of(0x20080522, 0).buffer), 4);
        const sets = Uint32Array.of(1 << 5, 0, 0, 1 << 2, 0, 1 << 7);
        return b.syscall('capset', [header, b.bytes(new Uint8Array(sets.buffer), 4)]);
      },
    ],
    [
      'setgroups(2, [100, 4294967294])',
      (b) => {
        const groups = Uint32Array.of(100, 4_294_967_294);
        return b.syscall('setgroups', [2, b.bytes(new Uint8Array(groups.buffer), 4)]);
      },
    ],
    [
      'landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_EXECUTE, handled_access_net=0}, 16, 0)',
      (b) => b.syscall('landlock_create_ruleset', [b.words(1, 0), 16, 0]),
    ],
    [
      'landlock_add_rule(3, LANDLOCK_RULE_NET_PORT, {LANDLOCK_ACCESS_NET_BIND_TCP, port=80}, 0)',
      (b) => b.syscall('landlock_add_rule', [3, 2, b.words(1, 80), 0]),
    ],
    [
      'landlock_restrict_self(3, LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON)',
      (b) => b.syscall('landlock_restrict_self', [3, 2]),
    ],
    ['setuid(0x12345)', (b) => b.syscall('setuid', [0x12345])],
  ];
  for (const [expected, write] of cases) {
    test(expected, () => assert.equal(line(write), expected));
  }
});

test('what the program itself changes is not printed as what it was at first', () => {
  const text = lines((b) => {
    const old = b.reserve(8, 8);
    b.syscall('rt_sigprocmask', [SIG_BLOCK, 0, old, 8]);
    b.syscall('rt_sigprocmask', [SIG_SETMASK, old, 0, 8]);
  });
  assert.equal(text[1], '[1] rt_sigprocmask(SIG_SETMASK, &data0, 0, 8)');
});

const STEPS: readonly Step[] = [
  { type: 'signalDefaults', signals: ALL_SIGNALS },
  { type: 'signalDefaults', signals: [1 << 12, 1] },
  { type: 'setsid' },
  { type: 'setpgid', group: 0 },
  { type: 'umask', mask: 0o77 },
  { type: 'ignoredSignals', signals: [1, 1] },
  { type: 'affinity', cpus: [0, 64] },
  { type: 'scheduler', policy: 'rr', priority: 5, resetOnFork: true },
  { type: 'deadline', runtime: 1024, deadline: 2 ** 40, period: 2 ** 41, resetOnFork: true },
  { type: 'nice', value: -5 },
  { type: 'ioPriority', class: 'best-effort', level: 2 },
  { type: 'timerSlack', nanoseconds: 0xffffffff },
  { type: 'oomScoreAdjust', value: -1000 },
  { type: 'transparentHugePages', enabled: false },
  { type: 'personality', persona: 0x0040000 },
  { type: 'controllingTerminal', fd: 0 },
  { type: 'limit', resource: 'as', soft: 2 ** 40, hard: 'unlimited' },
  { type: 'limit', resource: 'nofile', soft: null, hard: 5 },
  {
    type: 'descriptors',
    map: new Map([
      [0, 1],
      [1, 0],
      [2, 9],
    ]),
  },
  { type: 'open', fd: 3, path: '/dev/null', flags: 2 },
  { type: 'statusFlags', fd: 2, flags: 2 },
  { type: 'close', fd: 4 },
  { type: 'dup2', from: 0, to: 5 },
  { type: 'dup2', from: 5, to: 5 },
  { type: 'chdir', path: '/' },
  { type: 'fchdir', fd: 6 },
  { type: 'tcsetpgrp', fd: 0 },
  { type: 'closeAllBut', fds: [0, 1] },
  { type: 'closeFrom', fd: 7 },
  { type: 'dropGroups' },
  { type: 'setgid', gid: 5 },
  { type: 'setuid', uid: 5 },
  { type: 'setgroups', groups: [5, 6] },
  { type: 'boundingSet', keep: [0] },
  { type: 'keepCapabilities' },
  { type: 'capset', effective: 'permitted', inheritable: [1] },
  { type: 'ambientSet', capabilities: [1] },
  { type: 'ambientSet', capabilities: 'permitted' },
  { type: 'securebits', bits: 1 },
  { type: 'noNewPrivileges' },
  {
    type: 'landlock',
    ...{ files: 5, network: 1, scopes: 2, flags: 1 },
    paths: [{ path: '/a', access: 5, fileAccess: 4, optional: true }],
    ports: [{ port: 80, access: 1 }],
  },
  { type: 'signalMask', signals: [2, 0] },
];

for (const machine of Object.values(MACHINES)) {
  describe(`every program for ${machine.name} can be explained`, () => {
    const { wordSize } = machine;
    const site = { epoll: 5, live: 64 };
    const join = {
      ...{ lock: 8, waiter: 16, run: 24, waiterEntry: 32, waiterEpoll: [40, 48], waiterSlot: 72 },
      ...{ record: 56, set: 6, pipe: 7, recordSlot: 80, slots: [88, 96] },
    };
    const plan: Plan = {
      steps: STEPS,
      exec: { candidates: ['/bin/a', '/bin/b'], file: 'a', shellFallback: true },
    };
    const planProgram = (executor: Site['executor']): Program =>
      compile(plan, { machine, executor, errorPipe: 10, argumentCount: 1 });
    const programs: Record<string, () => Program> = {
      'plan, image': () => planProgram('image'),
      'plan, direct': () => planProgram('direct'),
      'launch, image': () =>
        launchProgram(machine, { carrier: 'memfd', intoCgroup: false, sharing: null }, site)
          .program,
      'launch, file': () =>
        launchProgram(machine, { carrier: 'file', intoCgroup: false, sharing: null }, site).program,
      'launch, sharing': () =>
        launchProgram(machine, { carrier: 'memfd', intoCgroup: false, sharing: 128 }, site).program,
      'launch, direct': () =>
        launchProgram(machine, { carrier: 'direct', intoCgroup: false, sharing: null }, site)
          .program,
      waiter: () => waiterProgram(machine).program,
      join: () => joinProgram(machine, join).program,
      'in flight': () => inFlightProgram(machine).program,
      "a thread's end": () => endProgram(machine).program,
    };
    for (const [name, make] of Object.entries(programs)) {
      test(name, () => {
        const program = make();
        const explained = explain(program, { wordSize });
        const text = formatProgram(explained);
        const written = text.trimEnd().split('\n');
        const { instructions, pointers } = explained;
        assert.equal(instructions.length, program.instructions.length);
        assert.equal(written.length, instructions.length + pointers.length);
        assert.doesNotMatch(text, /undefined|NaN|\[object/);
        for (const [index, instruction] of program.instructions.entries()) {
          const { op, step } = instruction;
          const own = written[index] as string;
          if (op === 'syscall') assert.ok(own.includes(`${instruction.name}(`), own);
          if (step !== null) assert.ok(own.includes(`  ; ${step.step}`), own);
        }
        // The form for machines holds nothing that JSON does not.
        const parsed = JSON.parse(JSON.stringify(explained));
        assert.equal(formatProgram(parsed), text);
      });
    }
  });
}
