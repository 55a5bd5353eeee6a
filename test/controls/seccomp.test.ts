import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  LaunchError,
  launch,
  type SeccompOptions,
  type SeccompPolicy,
  spawnSync,
} from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { MACHINES, machineFor } from '../../src/machine/index.js';
import type { Machine } from '../../src/machine/machine.js';
import { syscallNumber } from '../../src/machine/syscall-table.js';
import type { ProgramBuilder } from '../../src/program/builder.js';
import { ProgramBuilder as Builder } from '../../src/program/builder.js';
import { cli } from '../cli/cli.js';
import { resultInNode } from '../fixtures/in-node.js';
import { emulatorFor, writeImage } from '../machine/foreign.js';
import { traces } from '../process/observe.js';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-seccomp-'));
after(() => rmSync(folder, { recursive: true }));
before(() => chmodSync(folder, 0o755));

const native = machineFor(process.arch);
const isRoot = process.getuid?.() === 0;
const { EPERM, ENOSYS, EAFNOSUPPORT, EACCES } = constants.errno;

type Seccomp = SeccompOptions['seccomp'];
type Call = readonly [string | number, ...number[]];

/** An image that makes calls, writes their results, a word each, and exits with 0. */
function prober(calls: readonly Call[], machine: Machine = native): string {
  const b: ProgramBuilder = new Builder(machine.wordSize);
  const results = b.reserve(calls.length * machine.wordSize);
  calls.forEach(([name, ...args], i) => {
    const result = { section: 'data', offset: results.offset + i * machine.wordSize } as const;
    b.syscall(String(name), args, { result });
  });
  b.syscall('write', [1, results, calls.length * machine.wordSize]);
  const end = b.here();
  b.syscall('exit_group', [0]);
  b.jump(end);
  const numbered: Machine = {
    ...machine,
    syscallNumber: (name) =>
      /^\d+$/.test(name) ? Number(name) : (syscallNumber(name, machine.name) as number),
  };
  const path = join(folder, `prober-${++probers}`);
  writeImage(path, numbered, b.build());
  return path;
}
let probers = 0;

/** What the calls of an image gave under a filter: results, and the signal that ended it. */
function probe(path: string, seccomp: Seccomp, executor?: 'image' | 'direct') {
  const ended = spawnSync(path, [], { seccomp, executor });
  if (ended.error) throw ended.error;
  const { signal } = ended;
  const stdout = ended.stdout as Buffer;
  const wide = native.wordSize === 8;
  const results = Array.from({ length: stdout.length / native.wordSize }, (_, i) =>
    wide ? Number(stdout.readBigInt64LE(i * 8)) : stdout.readInt32LE(i * 4),
  );
  return { results, signal };
}

const denying = (action: SeccompPolicy['default'], ...syscalls: string[]): SeccompPolicy => ({
  default: 'allow',
  rules: [{ syscalls, action: action as 'kill' }],
});

describe('actions', () => {
  const getsid = prober([['getsid', 0]]);

  test('without a filter the call succeeds; the child has none', () => {
    const { results, signal } = probe(getsid, undefined);
    assert.ok((results[0] as number) >= 0);
    assert.equal(signal, null);
  });

  for (const executor of EXECUTORS) {
    test(`${executor}: errno, kill, killThread, trap, log, allow`, () => {
      const errno = probe(getsid, denying({ errno: 'EACCES' }, 'getsid'), executor);
      assert.deepEqual(errno, { results: [-EACCES], signal: null });
      const numbered = probe(getsid, denying({ errno: 4095 }, 'getsid'), executor);
      assert.deepEqual(numbered.results, [-4095]);
      for (const action of ['kill', 'killThread', 'trap'] as const) {
        const killed = probe(getsid, denying(action, 'getsid'), executor);
        assert.deepEqual(killed, { results: [], signal: 'SIGSYS' }, action);
      }
      for (const action of ['log', 'allow'] as const) {
        const { results, signal } = probe(getsid, denying(action, 'getsid'), executor);
        assert.ok((results[0] as number) >= 0 && signal === null, action);
      }
    });

    test(`${executor}: the child has a filter and no_new_privs`, () => {
      const read = (options: SeccompOptions) =>
        spawnSync('grep', ['-E', '^(NoNewPrivs|Seccomp):', '/proc/self/status'], {
          ...options,
          executor,
        }).stdout?.toString() ?? '';
      const ours = read({});
      assert.match(read({ seccomp: 'default' }), /^NoNewPrivs:\t1\nSeccomp:\t2\n$/);
      // And this process has neither more than before.
      assert.equal(read({}), ours);
    });
  }

  test('the first rule that matches decides, by all of its arguments', () => {
    const dup = prober([
      ['dup3', 1, 9, 0],
      ['dup3', 1, 10, 0],
      ['dup3', 2, 9, 0],
      ['dup3', 2, 4294967305, 0],
    ]);
    const policy: SeccompPolicy = {
      default: 'allow',
      rules: [
        {
          syscalls: ['dup3'],
          args: [
            { index: 0, op: 'eq', value: 1 },
            { index: 1, op: 'le', value: 9 },
          ],
          action: 'allow',
        },
        {
          syscalls: ['dup3'],
          args: [{ index: 1, op: 'maskedEq', mask: '0xf', value: 10n }],
          action: { errno: 'EACCES' },
        },
        {
          syscalls: ['dup3'],
          args: [{ index: 1, op: 'eq', value: 9, width: 32 }],
          action: { errno: 'EPERM' },
        },
      ],
    };
    assert.deepEqual(probe(dup, policy).results, [9, -EACCES, -EPERM, -EPERM]);
  });

  test('a policy of thousands of instructions is accepted', () => {
    const rules = Array.from({ length: 600 }, (_, i) => ({
      syscalls: ['getsid'],
      args: [{ index: 0, op: 'eq', value: 2 ** 40 + i } as const],
      action: { errno: 1 + i },
    }));
    assert.ok((probe(getsid, { default: 'allow', rules }).results[0] as number) >= 0);
  });
});

describe('code of another architecture', () => {
  const skip = process.arch !== 'x64' && 'only x64 has i386 and x32';
  const allow: SeccompPolicy = { default: 'allow' };

  test('x32 calls', { skip }, () => {
    // getpid: -ENOSYS without a filter where the kernel has no x32.
    const x32 = prober([[0x40000000 + 39]]);
    assert.equal(probe(x32, undefined).signal, null);
    assert.equal(probe(x32, allow).signal, 'SIGSYS');
    assert.equal(probe(x32, 'default').signal, 'SIGSYS');
    assert.deepEqual(probe(x32, { ...allow, foreign: { errno: 'EPERM' } }).results, [-EPERM]);
  });

  test('i386 programs', { skip: skip || emulatorFor('ia32') !== '' }, (t) => {
    const { ia32 } = MACHINES as Readonly<Record<string, Machine>>;
    const path = prober([['getpid']], ia32);
    const { error, status, stdout } = spawnSync(path);
    if (error !== undefined) return t.skip(`this kernel runs no i386 programs: ${error.message}`);
    assert.deepEqual([status, stdout.length], [0, 4]);
    assert.equal(spawnSync(path, [], { seccomp: allow }).signal, 'SIGSYS');
    assert.equal(spawnSync(path, [], { seccomp: 'default' }).signal, 'SIGSYS');
  });
});

/** A bad address: none of these calls would do anything. */
const BAD = 1;

/** What the default policy refuses, as calls that without it fail otherwise, or do no harm. */
const REFUSED: readonly [string, number, ...number[]][] = [
  ...(
    [
      ['init_module', BAD, 1, BAD],
      ['finit_module', -1, BAD, 0],
      ['delete_module', BAD, 0],
      ['bpf', -1, 0, 0],
      ['add_key', BAD, 0, 0, 0, 0],
      ['request_key', BAD, 0, 0, 0],
      ['keyctl', 0x7fff],
      ['mount', BAD, BAD, BAD, 0, 0],
      ['umount2', BAD, 0],
      ['pivot_root', BAD, BAD],
      ['chroot', BAD],
      ['open_tree', -1, BAD, 0],
      ['move_mount', -1, BAD, -1, BAD, 0],
      ['fsopen', BAD, 0],
      ['fsconfig', -1, 0, 0, 0, 0],
      ['fsmount', -1, 0, 0],
      ['mount_setattr', -1, BAD, 0, BAD, 0],
      ['setns', -1, 0],
      ['unshare', 0x04000000],
      ['clone', 0x10000200, 0, 0, 0, 0],
      ['ptrace', 0x4200, 0, 0, 0],
      ['process_vm_readv', 0, 0, 0, 0, 0, 1],
      ['process_vm_writev', 0, 0, 0, 0, 0, 1],
      ['pidfd_getfd', -1, 0, 0],
      ['kcmp', 0, 0, 0, 0, 0],
      ['perf_event_open', BAD, 0, -1, -1, 0],
      ['userfaultfd', 0x7fff],
      ['io_uring_setup', 1, BAD],
      ['io_uring_enter', -1, 0, 0, 0, 0, 0],
      ['io_uring_register', -1, 0x7fff, 0, 0],
      ['kexec_load', 0, 17, BAD, 0],
      ['reboot', 0, 0, 0, 0],
      ['swapon', BAD, 0],
      ['swapoff', BAD],
      ['clock_settime', 0, BAD],
      ['settimeofday', BAD, 0],
      ['adjtimex', BAD],
      ['clock_adjtime', 0, BAD],
      ['acct', BAD],
      ['quotactl', 0, BAD, 0, 0],
      ['syslog', -1, 0, 0],
      ['sethostname', BAD, -1],
      ['open_by_handle_at', -100, BAD, 0],
      ['fanotify_init', 0x7fffffff, 0],
      ['personality', 0x40000],
      ['ioctl', 0, 0x5412, BAD],
      ['ioctl', 0, 0x541c, BAD],
      ['mknodat', -100, BAD, 0o020600, 0],
    ] as const
  ).map(([name, ...args]): [string, number, ...number[]] => [name, EPERM, ...args]),
  ['socket', EAFNOSUPPORT, 17, 3, 0],
  ['socket', EAFNOSUPPORT, 16, 3, 9],
  ['socket', EAFNOSUPPORT, 16, 3, 15],
  ['socketpair', EAFNOSUPPORT, 30, 1, 0, BAD],
  ['clone3', ENOSYS, 0, 0],
];

const ALLOWED: readonly Call[] = [
  ['getpid'],
  ['personality', 0xffffffff],
  ['unshare', 0x200],
  ['socket', 1, 1, 0],
  ['socket', 2, 1, 0],
  ['socket', 16, 3, 0],
  ['memfd_create', 0x400000, 0],
  ['openat', -1, 0x400000, 0],
];

describe('the default policy', () => {
  test('what it refuses fails; without it each does something else', (t) => {
    const path = prober(REFUSED.map(([name, , ...args]) => [name, ...args]));
    const { results, signal } = probe(path, 'default');
    assert.equal(signal, null);
    REFUSED.forEach(([name, errno, ...args], i) => {
      assert.equal(results[i], -errno, `${name} ${args}`);
    });
    if (!isRoot) return t.diagnostic('not root: what fails without it was not looked at');
    const free = probe(path, undefined).results;
    const same = REFUSED.filter(([, errno], i) => free[i] === -errno).map(([name]) => name);
    // What this kernel was built without, or forbids to root, too.
    t.diagnostic(`the same without a filter: ${same.join(', ') || 'none'}`);
    assert.ok(same.length <= 6, same.join(', '));
  });

  test('what it allows is as without it', () => {
    const path = prober(ALLOWED);
    const [given, free] = [probe(path, 'default'), probe(path, undefined)];
    assert.equal(given.signal, null);
    ALLOWED.forEach(([name], i) => {
      const [result, expected] = [given.results[i] as number, free.results[i] as number];
      if (expected < 0) assert.equal(result, expected, String(name));
      else assert.ok(result >= 0, String(name));
    });
  });

  const repository = join(folder, 'repository');
  const PROGRAMS: readonly (readonly [string, string, RegExp])[] = [
    [
      'sh',
      'f() { echo "$1" | cat; }; x=$(f shell); trap "" USR1; kill -USR1 $$; echo $x',
      /^shell$/m,
    ],
    [
      'git',
      `git init -q ${repository} && cd ${repository} && echo text > file && git add file &&
       git -c user.name=a -c user.email=a@b commit -qm message && git log --format=%s && git gc -q`,
      /^message$/m,
    ],
    [
      'node',
      `"${process.execPath}" -e '
        const { Worker } = require("worker_threads");
        const { execFileSync } = require("child_process");
        const server = require("http").createServer((_, to) => to.end("served"));
        server.listen(0, "127.0.0.1", async () => {
          const answer = await fetch("http://127.0.0.1:" + server.address().port);
          console.log(await answer.text(), String(execFileSync("echo", ["child"])));
          new Worker("", { eval: true }).on("exit", () => server.close());
          server.closeAllConnections();
        });'`,
      /^served child$/m,
    ],
    [
      'python3',
      `python3 -c '
import subprocess, threading, multiprocessing, socket
t = threading.Thread(target=print, args=("thread",)); t.start(); t.join()
print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout, socket.gethostname())'`,
      /^thread\nchild$/m,
    ],
    [
      'gcc',
      `cd ${folder} && echo 'int main(void) { return 7; }' > a.c && gcc -o a.out a.c && ./a.out; echo $?`,
      /^7$/m,
    ],
    ['npm', 'npm --version --offline', /^\d+\./m],
    ['curl', `curl -sS file://${folder}/served`, /^content$/m],
    ['tar', `cd ${folder} && echo x > t && tar czf t.tgz t && tar tzf t.tgz`, /^t$/m],
  ];
  before(() => writeFileSync(join(folder, 'served'), 'content\n'));
  for (const [name, script, expected] of PROGRAMS) {
    const paths = (process.env.PATH ?? '').split(':');
    const missing = !paths.some((path) => existsSync(join(path, name)));
    test(`runs ${name}`, { skip: missing && `${name} is not installed` }, () => {
      const { stdout, stderr, status } = spawnSync('sh', ['-c', script], {
        seccomp: { base: 'default', foreign: { errno: 'EPERM' } },
        timeout: 60_000,
      });
      assert.match(String(stdout), expected, String(stderr));
      assert.deepEqual([status, String(stderr)], [0, '']);
    });
  }

  test('rules of its own come first, and its action for the rest may be another', () => {
    const path = prober([['getsid', 0], ['chroot', BAD], ['kcmp', 0, 0, 0, 0, 0], ['9999']]);
    const policy: SeccompPolicy = {
      base: 'default',
      default: { errno: 'EACCES' },
      rules: [
        { syscalls: ['getsid'], action: { errno: 'EACCES' } },
        { syscalls: ['chroot'], action: 'allow' },
      ],
    };
    const { results } = probe(path, policy);
    assert.equal(results[0], -EACCES);
    assert.notEqual(results[1], -ENOSYS);
    assert.deepEqual(results.slice(2), [-EPERM, -EACCES]);
  });
});

describe('the helper behind the filter', () => {
  /** All that it needs, and the program does not get to run. */
  const strictest: SeccompPolicy = {
    default: 'kill',
    rules: [{ syscalls: ['execve', 'exit_group'], action: 'allow' }],
  };

  for (const executor of EXECUTORS) {
    test(`${executor}: a failed exec is reported, whatever the policy says of write`, () => {
      for (const seccomp of [strictest, { ...strictest, default: { errno: 'EPERM' } } as const]) {
        const attempt = () => launch({ path: '/no/such', seccomp, executor });
        assert.throws(attempt, { code: 'ENOENT', step: 'exec', path: '/no/such' });
        const before = traces();
        assert.throws(attempt, LaunchError);
        assert.deepEqual(traces(), before);
      }
    });
  }

  test('the program that runs under it may not write', async () => {
    const path = prober([['getpid']]);
    const exit = await launch({ path, seccomp: strictest }).exited;
    assert.equal(exit?.signal, 'SIGSYS');
  });

  test('failures name their step', () => {
    const code = `
      try {
        launch({ path: '/bin/true', seccomp: 'default' });
      } catch ({ code, step, syscall }) {
        console.log(JSON.stringify({ code, step, syscall }));
      }`;
    const main = new URL('../../src/cli/main.js', import.meta.url).pathname;
    for (const [syscall, step] of [
      ['seccomp', 'seccomp'],
      ['prctl', 'no_new_privs'],
    ] as const) {
      const policy = join(folder, 'denies.json');
      // Node's own prctl calls are others.
      const args = syscall === 'prctl' ? [{ index: 0, op: 'eq', value: 38 }] : [];
      const rules = [{ syscalls: [syscall], args, action: { errno: 'EACCES' } }];
      writeFileSync(policy, JSON.stringify({ default: 'allow', rules }));
      const through = [process.execPath, main, 'run', '--seccomp', policy, '--'];
      assert.deepEqual(resultInNode(code, { through }), { code: 'EACCES', step, syscall });
    }
  });
});

describe('a program of one’s own', () => {
  const arch = 0xc000003e;
  const skip = process.arch !== 'x64' && 'written for x64';
  /** getsid fails with EACCES. */
  const program = [
    [0x20, 0, 0, 4],
    [0x15, 0, 3, arch],
    [0x20, 0, 0, 0],
    [0x15, 0, 1, 124],
    [0x06, 0, 0, 0x50000 | EACCES],
    [0x06, 0, 0, 0x7fff0000],
  ];
  const words = Uint32Array.from(
    program.flatMap(([code = 0, jt = 0, jf = 0, k = 0]) => [code | (jt << 16) | (jf << 24), k]),
  );

  test('in each of its forms', { skip }, () => {
    const path = prober([['getsid', 0]]);
    for (const form of [program, words, Buffer.from(words.buffer)]) {
      assert.deepEqual(probe(path, { program: form }).results, [-EACCES]);
    }
  });

  test('must let the helper go on', { skip }, () => {
    for (const [name, number] of [
      ['execve', 59],
      ['write', 1],
      ['exit_group', 231],
    ] as const) {
      const other = program.map((each, i) => (i === 3 ? [0x15, 0, 1, number] : each));
      assert.throws(() => launch({ path: '/bin/true', seccomp: { program: other } }), {
        code: 'ERR_INVALID_ARG_VALUE',
        message: new RegExp(`must allow ${name},.*errno EACCES`),
      });
    }
  });
});

describe('validation', () => {
  const rule = (rule: unknown) => ({ default: 'allow', rules: [rule] });
  const argument = (argument: object) =>
    rule({ syscalls: ['read'], action: 'kill', args: [argument] });
  for (const [seccomp, code, message] of [
    [null, 'TYPE', /"options\.seccomp" property must be of type object/],
    ['strict', 'VALUE', /must be 'default', a policy or a program/],
    [{}, 'TYPE', /options\.seccomp\.default" property must be an action/],
    [
      { default: 'deny' },
      'VALUE',
      /must be one of allow, log, trap, kill, killThread, or { errno }/,
    ],
    [{ default: 'notify' }, 'VALUE', /somebody who answers/],
    [{ default: { errno: 'ENONE' } }, 'VALUE', /default\.errno' is no error/],
    [{ default: { errno: 0 } }, 'RANGE', />= 1 && <= 4095/],
    [{ default: { errno: 1, data: 2 } }, 'VALUE', /options\.data' is not an option/],
    [{ default: 'allow', foreign: 'allow' }, 'VALUE', /must refuse/],
    [{ default: 'allow', base: 'strict' }, 'VALUE', /must be 'default'/],
    [{ default: 'allow', log: 1 }, 'TYPE', /seccomp\.log/],
    [{ default: 'allow', defaultAction: 'x' }, 'VALUE', /defaultAction' is not an option/],
    [{ default: 'allow', rules: {} }, 'TYPE', /seccomp\.rules/],
    [rule('read'), 'TYPE', /rules\[0\]/],
    [rule({ syscalls: 'read', action: 'kill' }), 'TYPE', /rules\[0\]\.syscalls/],
    [rule({ syscalls: ['raed'], action: 'kill' }), 'VALUE', /is no system call that is known/],
    [rule({ syscalls: ['ptracee'], action: 'kill' }), 'VALUE', /did you mean "ptrace"\?/],
    [rule({ syscalls: ['SYS_ptrace'], action: 'kill' }), 'VALUE', /did you mean "ptrace"\?/],
    [rule({ syscalls: ['set_tls', 'vm86'], action: 'allow' }), 'VALUE', /must be optional/],
    [rule({ syscalls: ['execve'], action: 'kill' }), 'VALUE', /must allow execve/],
    [rule({ syscalls: ['exit_group'], action: { errno: 1 } }), 'VALUE', /must allow exit_group/],
    [{ default: 'kill' }, 'VALUE', /must allow execve/],
    [argument({ op: 'eq', value: 1 }), 'TYPE', /args\[0\]\.index/],
    [argument({ index: 6, op: 'eq', value: 1 }), 'RANGE', /<= 5/],
    [argument({ index: 0, op: '==', value: 1 }), 'VALUE', /must be one of: eq, ne/],
    [argument({ index: 0, op: 'eq', value: 'x' }), 'TYPE', /args\[0\]\.value/],
    [argument({ index: 0, op: 'eq', value: 1.5 }), 'RANGE', /an integer/],
    [argument({ index: 0, op: 'eq', value: 2n ** 64n }), 'RANGE', /of 64 bits/],
    [argument({ index: 0, op: 'eq', value: 2 ** 32, width: 32 }), 'RANGE', /of 32 bits/],
    [argument({ index: 0, op: 'eq', value: 1, width: 8 }), 'VALUE', /must be 32 or 64/],
    [argument({ index: 0, op: 'eq', value: 1, mask: 1 }), 'VALUE', /for maskedEq only/],
    [argument({ index: 0, op: 'maskedEq', value: 1 }), 'TYPE', /args\[0\]\.mask/],
    [argument({ index: 0, op: 'maskedEq', value: 3, mask: 1 }), 'VALUE', /not in the mask/],
    [{ program: 'ret' }, 'TYPE', /seccomp\.program/],
    [{ program: [] }, 'VALUE', /has no instructions/],
    [{ program: [[6, 0, 0]] }, 'VALUE', /must be \[code, jt, jf, k\]/],
    [{ program: [[6, 0, 256, 0]] }, 'RANGE', /<= 255/],
    [{ program: Buffer.alloc(9) }, 'VALUE', /no whole number/],
    [{ program: [[0x20, 0, 0, 0]] }, 'VALUE', /does not end with a return/],
    [{ program: [[6, 0, 0, 0]], default: 'allow' }, 'VALUE', /default' is not an option/],
  ] as const) {
    test(String(message), () => {
      const type = { TYPE: 'ERR_INVALID_ARG_TYPE', VALUE: 'ERR_INVALID_ARG_VALUE' };
      const expected = code === 'RANGE' ? 'ERR_OUT_OF_RANGE' : type[code];
      // It must not matter whether there is such a program.
      const options = { path: '/bin/true', seccomp: seccomp as Seccomp };
      assert.throws(() => launch(options), { code: expected, message });
    });
  }

  test('negative numbers are in two’s complement', () => {
    const path = prober([['openat', -100, BAD, 0]]);
    const policy = argument({ index: 0, op: 'eq', value: -100, width: 32 }) as SeccompPolicy;
    const rules = [{ ...policy.rules?.[0], syscalls: ['openat'], action: 'kill' }] as const;
    assert.equal(probe(path, { default: 'allow', rules } as SeccompPolicy).signal, 'SIGSYS');
  });
});

describe('the command', () => {
  test('--seccomp and --seccomp-deny', async () => {
    const run = (...args: string[]) => cli(['run', ...args]);
    const status = ['grep', '-c', 'Seccomp:.2', '/proc/self/status'];
    assert.deepEqual(await run('--seccomp', 'default', '--', ...status), {
      ...{ code: 0, stdout: '1\n', stderr: '' },
    });
    const denied = await run('--seccomp-deny', 'uname,getsid', '--seccomp-deny', 'chdir', 'uname');
    assert.notEqual(denied.code, 0);
    assert.match(denied.stderr, /Operation not permitted/);
    const both = await run('--seccomp', 'default', '--seccomp-deny', 'uname', 'uname');
    assert.match(both.stderr, /Operation not permitted/);
    const file = join(folder, 'policy.json');
    writeFileSync(file, JSON.stringify(denying('kill', 'uname')));
    assert.equal((await run('--seccomp', file, 'uname')).code, 128 + constants.signals.SIGSYS);
  });

  test('what is wrong with them: 2', async () => {
    const broken = join(folder, 'broken.json');
    writeFileSync(broken, '{');
    const program = join(folder, 'program.json');
    writeFileSync(program, '{"program": [[6, 0, 0, 0]]}');
    for (const [args, message] of [
      [['--seccomp', '/no/such'], /--seccomp is default or a file: ENOENT/],
      [['--seccomp', broken], /--seccomp .*broken\.json: .*JSON/],
      [['--seccomp-deny', 'nothing'], /no system call that is known/],
      [['--seccomp', program, '--seccomp-deny', 'read'], /adds to a policy/],
    ] as const) {
      const { code, stderr } = await cli(['run', ...args, 'true']);
      assert.equal(code, 2);
      assert.match(stderr, message);
    }
  });

  test('explain lists the filter, of each machine', async () => {
    for (const machine of Object.values(MACHINES)) {
      const args = ['--arch', machine.name, '--seccomp', 'default', '--', 'true'];
      const { stdout, code } = await cli(['explain', ...args]);
      assert.equal(code, 0);
      assert.match(
        stdout,
        /prctl\(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0\) \?-> fail {2}; no_new_privs\n/,
      );
      assert.match(
        stdout,
        /seccomp\(SECCOMP_SET_MODE_FILTER, 0, {len=\d+}\) \?-> fail {2}; seccomp\n/,
      );
      assert.match(stdout, /\nSeccomp filter, \d+ instructions:\n\[ *0\] load arch\n/);
      assert.ok(stdout.includes(`(${machine.name}) goto 2 else`));
    }
  });

  test('doctor agrees with the option', async () => {
    const { findings } = JSON.parse((await cli(['doctor', '--json'])).stdout);
    const { ok } = findings.find(({ name }: { name: string }) => name === 'seccomp');
    let works = true;
    try {
      await launch({ path: '/bin/true', seccomp: 'default' }).exited;
    } catch {
      works = false;
    }
    assert.equal(ok, works);
  });
});
