import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type ChildProcess, launch, type SpawnOptions, spawn } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { STOPS, statOf, stopped } from '../process/observe.js';
import { failureWith, nodeOutput, statusLine } from './probe.js';
import { openTerminal } from './terminal.js';

let master = -1;
let terminal = -1;
let noTerminal: string | false = false;
before(() => {
  try {
    ({ master, terminal } = openTerminal());
  } catch (error) {
    noTerminal = `no terminal can be had: ${(error as Error).message}`;
  }
});
/** What is stopped is ended, whatever becomes of a test. */
const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
  for (const fd of [master, terminal]) if (fd >= 0) closeSync(fd);
});

const [SHELL, ARGS] = STOPS;

for (const executor of EXECUTORS) {
  test(`${executor}: umask, setsid, setpgid`, async () => {
    assert.equal(statusLine('Umask', { executor, umask: 0o026 }), '0026');
    const own = statOf('self');
    const look = async (options: SpawnOptions): Promise<[number, number, number]> => {
      const child = spawn(SHELL, ARGS, { executor, stdio: 'ignore', ...options });
      started.push(child);
      const { group, session } = statOf(await stopped(child.pid));
      return [child.pid as number, group, session];
    };
    for (const options of [{ setsid: true }, { setsid: true, detached: true }]) {
      const [pid, group, session] = await look(options);
      assert.deepEqual([group, session], [pid, pid]);
    }
    const [leader, group, session] = await look({ setpgid: 0 });
    assert.deepEqual([group, session], [leader, own.session]);
    const [, joined] = await look({ setpgid: leader });
    assert.equal(joined, leader);
    const [, ...inherited] = await look({});
    assert.deepEqual(inherited, [own.group, own.session]);
  });

  test(`${executor}: controllingTerminal`, async (context) => {
    if (noTerminal) return context.skip(noTerminal);
    const child = spawn(SHELL, ARGS, {
      ...{ executor, stdio: ['ignore', 'ignore', 'ignore', terminal] },
      ...{ detached: true, controllingTerminal: 3 },
    });
    started.push(child);
    const { session, foreground, group } = statOf(await stopped(child.pid));
    assert.deepEqual([session, foreground, group], [child.pid, child.pid, child.pid]);
    child.kill('SIGKILL');
    // The same terminal is free again once its session's leader is gone.
    await new Promise((resolve) => child.once('exit', resolve));
    const again = launch({
      ...{ path: SHELL, argv: [SHELL, ...ARGS], executor, setsid: true },
      ...{ controllingTerminal: 9, actions: [{ type: 'dup2', from: terminal, to: 9 }] },
    });
    try {
      assert.equal(statOf(await stopped(again.pid)).foreground, again.pid);
      // And not while it has one.
      const options = { stdio: [terminal, 'ignore', 'ignore'], setsid: true } as const;
      const taken = failureWith({ ...options, executor, controllingTerminal: 0 });
      assert.deepEqual(taken, ['EPERM', 'controllingTerminal']);
    } finally {
      again.kill('SIGKILL');
      await again.exited;
    }
  });

  test(`${executor}: foreground`, async (context) => {
    if (noTerminal) return context.skip(noTerminal);
    const code = `
      const command = 'ps -o pgid=,tpgid= -p $$ >&3';
      const options = { setpgid: 0, foreground: 0, executor: '${executor}' };
      const { error } = spawnSync('/bin/sh', ['-c', command], {
        stdio: ['inherit', 'ignore', 'ignore', 1], ...options });
      if (error) throw error;`;
    const output = nodeOutput(code, {
      ...{ stdio: [terminal, 'pipe', 'pipe'], setsid: true, controllingTerminal: 0 },
    });
    const [group, foreground] = output.trim().split(/ +/);
    assert.ok(Number(group) > 1, output);
    assert.equal(foreground, group);
  });
}

test('what fails names its step', () => {
  const stdio = ['ignore', 'ignore', 'ignore'] as const;
  assert.deepEqual(failureWith({ setpgid: 0x7ffffff0 }), ['EPERM', 'setpgid']);
  assert.deepEqual(failureWith({ stdio, setsid: true, controllingTerminal: 0 }), [
    'ENOTTY',
    'controllingTerminal',
  ]);
  assert.deepEqual(failureWith({ stdio, foreground: 0 }), ['ENOTTY', 'tcsetpgrp']);
  assert.equal(failureWith({ stdio, setsid: true, controllingTerminal: 999 })[0], 'EBADF');
});

describe('what cannot be meant is refused', () => {
  const wrong: readonly [object, string, RegExp][] = [
    [{ umask: 0o1000 }, 'ERR_OUT_OF_RANGE', /umask/],
    [{ umask: '022' }, 'ERR_INVALID_ARG_TYPE', /umask/],
    [{ setsid: 1 }, 'ERR_INVALID_ARG_TYPE', /setsid/],
    [{ setpgid: -1 }, 'ERR_OUT_OF_RANGE', /setpgid/],
    [{ setpgid: true }, 'ERR_INVALID_ARG_TYPE', /setpgid/],
    [{ setsid: true, setpgid: 0 }, 'ERR_INVALID_ARG_VALUE', /leader leads its group/],
    [{ setsid: true, setpgid: 5 }, 'ERR_INVALID_ARG_VALUE', /leader leads its group/],
    [{ controllingTerminal: 0 }, 'ERR_INVALID_ARG_VALUE', /needs setsid or detached/],
    [{ setsid: true, controllingTerminal: -1 }, 'ERR_OUT_OF_RANGE', /controllingTerminal/],
    [{ setsid: true, foreground: 0 }, 'ERR_INVALID_ARG_VALUE', /needs controllingTerminal/],
    [{ foreground: true }, 'ERR_INVALID_ARG_TYPE', /foreground/],
  ];
  for (const [options, code, message] of wrong) {
    test(JSON.stringify(options), () => {
      assert.throws(() => launch({ path: '/bin/true', ...options }), { code, message });
      assert.throws(() => spawn('/bin/true', options), { code, message });
    });
  }

  test('detached leads a session, as setsid does', () => {
    const code = 'ERR_INVALID_ARG_VALUE';
    assert.throws(() => spawn('/bin/true', { detached: true, setpgid: 0 }), { code });
    assert.throws(() => spawn('/bin/true', { detached: true, foreground: 0 }), { code });
  });
});
