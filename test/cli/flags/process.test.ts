import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { describe, test } from 'node:test';
import { PROCESS_FLAGS } from '../../../src/cli/flags/process.js';
import { UsageError } from '../../../src/cli/usage.js';
import { prepareControls } from '../../../src/controls/index.js';
import { cli, MAIN } from '../cli.js';

/** Flags, and the options that they stand for. */
const READ: readonly (readonly [Record<string, string | boolean | string[]>, object])[] = [
  [{}, {}],
  [{ umask: '027' }, { umask: 0o27 }],
  [
    { setsid: true, 'controlling-terminal': '0' },
    { setsid: true, controllingTerminal: 0 },
  ],
  [
    { setpgid: '0', foreground: '2' },
    { setpgid: 0, foreground: 2 },
  ],
  [{ nice: '-5' }, { nice: -5 }],
  [{ scheduling: 'batch' }, { scheduling: { policy: 'batch' } }],
  [{ scheduling: 'rr:5' }, { scheduling: { policy: 'rr', priority: 5 } }],
  [
    { scheduling: 'deadline:2000:3000' },
    { scheduling: { policy: 'deadline', runtime: 2000, deadline: 3000 } },
  ],
  [
    { scheduling: 'deadline:2000:3000:4000' },
    { scheduling: { policy: 'deadline', runtime: 2000, deadline: 3000, period: 4000 } },
  ],
  [
    { scheduling: 'fifo:5', 'reset-on-fork': true },
    { scheduling: { policy: 'fifo', priority: 5, resetOnFork: true } },
  ],
  [{ cpus: '0-3,5' }, { cpus: '0-3,5' }],
  [{ 'io-priority': 'idle' }, { ioPriority: { class: 'idle', level: undefined } }],
  [{ 'io-priority': 'best-effort:7' }, { ioPriority: { class: 'best-effort', level: 7 } }],
  [{ 'timer-slack': '5' }, { timerSlack: 5 }],
  [{ 'oom-score-adjust': '-10' }, { oomScoreAdjust: -10 }],
  [{ 'no-transparent-huge-pages': true }, { transparentHugePages: false }],
  [{ 'no-address-randomization': true }, { addressRandomization: false }],
  [
    { 'transparent-huge-pages': true, 'address-randomization': true },
    { transparentHugePages: true, addressRandomization: true },
  ],
  [
    { limit: ['as=2GiB', 'nofile=64:128', 'core=0:', 'cpu=:unlimited', 'locks=unlimited'] },
    {
      limits: {
        as: '2GiB',
        nofile: { soft: 64, hard: 128 },
        core: { soft: 0 },
        cpu: { hard: 'unlimited' },
        locks: 'unlimited',
      },
    },
  ],
  [{ 'signal-mask': 'TERM,sigint,5' }, { signalMask: ['SIGTERM', 'SIGINT', 5] }],
  [{ 'ignored-signals': 'HUP' }, { ignoredSignals: ['SIGHUP'] }],
  [{ 'signal-defaults': 'all' }, { signalDefaults: 'all' }],
  [{ 'signal-defaults': '' }, { signalDefaults: [] }],
  [
    { 'cwd-fd': '3', 'exec-fd': '4' },
    { cwdFd: 3, execFd: { fd: 4, keepOpen: false } },
  ],
  [{ 'exec-fd': '4', 'exec-fd-keep-open': true }, { execFd: { fd: 4, keepOpen: true } }],
];

for (const [values, options] of READ) {
  test(JSON.stringify(values), () => {
    const read = PROCESS_FLAGS.read(values);
    assert.deepEqual(read, options);
    prepareControls(read);
  });
}

describe('what is wrong is an error of usage', () => {
  for (const values of [
    { nice: 'low' },
    { umask: '8' },
    { limit: ['nofile'] },
    { scheduling: 'rr:x' },
    { scheduling: 'rr:1:2' },
    { 'reset-on-fork': true },
    { 'address-randomization': true, 'no-address-randomization': true },
    { 'io-priority': 'idle:' },
    { 'exec-fd-keep-open': true },
    { cwd: '/', 'cwd-fd': '3' },
  ]) {
    test(JSON.stringify(values), () => {
      assert.throws(() => PROCESS_FLAGS.read(values), UsageError);
    });
  }

  test('also what an option itself refuses: exit code 2', async () => {
    for (const flags of [
      ['--nice=20'],
      ['--limit', 'nofiles=1'],
      ['--limit', 'as=2:1'],
      ['--scheduling', 'slow'],
      ['--setsid', '--setpgid', '0'],
      ['--signal-mask', 'NONE'],
    ]) {
      const { code, stderr } = await cli(['run', ...flags, 'true']);
      assert.deepEqual([code, stderr.startsWith('safeexec: ')], [2, true], stderr);
    }
  });
});

test('what no kernel can do is said, in a line', async () => {
  for (const subcommand of ['run', 'explain']) {
    const { code, stderr } = await cli([subcommand, '--no-dumpable', 'true']);
    assert.equal(code, 125);
    assert.match(stderr, /^safeexec: no process .*dumpable.*\n$/);
  }
});

test('run does it', async () => {
  const flags = ['--umask', '031', '--limit', 'nofile=40:50', '--cpus', '0-8191', '--nice=19'];
  const { stdout } = await cli(['run', ...flags, 'cat', '/proc/self/status', '/proc/self/limits']);
  assert.match(stdout, /^Umask:\s*0031$/m);
  assert.match(stdout, /^Max open files +40 +50 /m);
});

test('run with descriptors', () => {
  const fds = [openSync('/usr', 'r'), openSync('/bin/sh', 'r')];
  try {
    const flags = ['--cwd-fd', '3', '--exec-fd', '4'];
    const { stdout } = spawnSync(
      process.execPath,
      [MAIN, 'run', ...flags, 'x', '-c', 'pwd; echo $0'],
      {
        stdio: ['ignore', 'pipe', 'inherit', ...fds],
        encoding: 'utf8',
      },
    );
    assert.equal(stdout, '/usr\nx\n');
  } finally {
    for (const fd of fds) closeSync(fd);
  }
});

test('explain shows it, help and doctor know it', async () => {
  const { stdout } = await cli(['explain', '--limit', 'core=0', '--scheduling', 'idle', 'true']);
  assert.match(stdout, /prlimit64\(0, RLIMIT_CORE, \{0, 0\}, 0\) .*; limit core/);
  assert.match(stdout, /sched_setscheduler\(0, SCHED_IDLE, \{0\}\)/);
  const help = await cli(['help', 'run']);
  for (const flag of Object.keys(PROCESS_FLAGS.options)) {
    assert.ok(help.stdout.includes(`--${flag}`), flag);
  }
  const { findings } = JSON.parse((await cli(['doctor', '--json'])).stdout);
  const found = new Map(findings.map(({ name, ok }: { name: string; ok: boolean }) => [name, ok]));
  for (const [name, flags] of [
    ['oom_score_adj', ['--oom-score-adjust', '1000']],
    ['personality', ['--no-address-randomization']],
    ['ioprio_set', ['--io-priority', 'idle']],
    ['PR_SET_THP_DISABLE', ['--no-transparent-huge-pages']],
  ] as const) {
    const { code } = await cli(['run', ...flags, 'true']);
    assert.equal(found.get(name), code === 0, name);
  }
});
