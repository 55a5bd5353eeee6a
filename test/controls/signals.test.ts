import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, test } from 'node:test';
import {
  exec,
  execFile,
  fork,
  launch,
  run,
  type SpawnSyncOptions,
  spawn,
  spawnSync,
} from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { signalsIn } from '../process/observe.js';
import { peerOutput, statusLine } from './probe.js';

const { SIGHUP, SIGPIPE, SIGTERM, SIGUSR1, SIGXFSZ } = constants.signals;

/** Numbers of the signals in a set of the child's /proc/self/status. */
function signals(field: string, options: SpawnSyncOptions): number[] {
  const set = BigInt(`0x${statusLine(field, options)}`);
  return Array.from({ length: 64 }, (_, i) => i + 1).filter((n) => (set >> BigInt(n - 1)) & 1n);
}

for (const executor of EXECUTORS) {
  test(`${executor}: by default nothing is ignored and nothing blocked`, () => {
    assert.deepEqual(signals('SigIgn', { executor }), []);
    assert.deepEqual(signals('SigBlk', { executor }), []);
  });

  test(`${executor}: signalMask`, () => {
    const blocked = signals('SigBlk', { executor, signalMask: ['SIGTERM', 40, SIGUSR1] });
    assert.deepEqual(blocked, [SIGUSR1, SIGTERM, 40]);
    assert.deepEqual(signals('SigBlk', { executor, signalMask: [] }), []);
  });

  test(`${executor}: ignoredSignals`, () => {
    const ignoredSignals = ['SIGHUP', 64] as const;
    assert.deepEqual(signals('SigIgn', { executor, ignoredSignals }), [SIGHUP, 64]);
    assert.deepEqual(signals('SigBlk', { executor, ignoredSignals }), []);
  });

  test(`${executor}: signalDefaults, all, some and none`, () => {
    const ignored = signalsIn('self', 'SigIgn');
    assert.ok(ignored.includes(SIGPIPE) && ignored.includes(SIGXFSZ), 'Node ignores these');
    assert.deepEqual(signals('SigIgn', { executor, signalDefaults: 'all' }), []);
    assert.deepEqual(signals('SigIgn', { executor, signalDefaults: [] }), ignored);
    assert.deepEqual(
      signals('SigIgn', { executor, signalDefaults: ['SIGPIPE'] }),
      ignored.filter((signal) => signal !== SIGPIPE),
    );
    const mixed = { executor, signalDefaults: ['SIGPIPE'], ignoredSignals: ['SIGHUP'] } as const;
    assert.deepEqual(
      signals('SigIgn', mixed),
      [SIGHUP, ...ignored.filter((signal) => signal !== SIGPIPE && signal !== SIGHUP)].sort(
        (a, b) => a - b,
      ),
    );
  });
}

test('the same as env(1)', (context) => {
  const probe = ['grep', 'Sig[IB]', '/proc/self/status'];
  const peer = peerOutput([
    'env',
    '--default-signal',
    '--ignore-signal=HUP',
    '--block-signal=USR1',
    ...probe,
  ]);
  if (!peer) return context.skip('env(1) has no --block-signal');
  const [ignored, blocked] = ['SigIgn', 'SigBlk'].map((field) =>
    statusLine(field, { ignoredSignals: ['SIGHUP'], signalMask: ['SIGUSR1'] }),
  );
  assert.equal(peer, `SigBlk:\t${blocked}\nSigIgn:\t${ignored}\n`);
});

test('every form has the options', async () => {
  const options = { ignoredSignals: ['SIGHUP'], umask: 0o125 } as const;
  const command = 'grep -E "Umask|SigIgn" /proc/$$/status';
  const expected = 'Umask:\t0125\nSigIgn:\t0000000000000001\n';
  const text = (start: (done: (error: unknown, stdout: string) => void) => unknown) =>
    new Promise<string>((resolve, reject) => {
      start((error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
  const found = await Promise.all([
    run('sh', ['-c', command], options).then(({ stdout }) => stdout),
    text((done) => exec(command, options, done as never)),
    text((done) => execFile('sh', ['-c', command], options, done as never)),
    text((done) => {
      const child = spawn(command, { ...options, shell: true });
      child.stdout?.setEncoding('utf8').once('data', (data) => done(null, String(data)));
    }),
    text((done) => {
      const child = fork('-', [], {
        ...options,
        execPath: '/bin/sh',
        execArgv: ['-c', command],
        silent: true,
      });
      child.stdout?.setEncoding('utf8').once('data', (data) => done(null, String(data)));
    }),
  ]);
  for (const each of found) assert.equal(each, expected);
  assert.equal(spawnSync(command, { ...options, shell: true, encoding: 'utf8' }).stdout, expected);
});

describe('what cannot be meant is refused', () => {
  const wrong: readonly [object, string, RegExp][] = [
    [{ signalMask: 'SIGTERM' }, 'ERR_INVALID_ARG_TYPE', /signalMask/],
    [{ signalMask: ['SIGNONE'] }, 'ERR_UNKNOWN_SIGNAL', /SIGNONE/],
    [{ ignoredSignals: [65] }, 'ERR_UNKNOWN_SIGNAL', /65/],
    [{ ignoredSignals: ['SIGKILL'] }, 'ERR_INVALID_ARG_VALUE', /SIGKILL or SIGSTOP/],
    [{ ignoredSignals: [19] }, 'ERR_INVALID_ARG_VALUE', /SIGKILL or SIGSTOP/],
    [{ ignoredSignals: 'all' }, 'ERR_INVALID_ARG_TYPE', /ignoredSignals/],
    [{ signalDefaults: 'none' }, 'ERR_INVALID_ARG_TYPE', /signalDefaults/],
    [
      { ignoredSignals: ['SIGHUP', 50], signalDefaults: ['SIGINT', 50] },
      'ERR_INVALID_ARG_VALUE',
      /has signals of options\.signalDefaults/,
    ],
  ];
  for (const [options, code, message] of wrong) {
    test(JSON.stringify(options), () => {
      assert.throws(() => launch({ path: '/bin/true', ...options }), { code, message });
      assert.throws(() => spawn('/bin/true', options), { code, message });
    });
  }
});
