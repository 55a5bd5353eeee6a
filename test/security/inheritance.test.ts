import assert from 'node:assert/strict';
import { closeSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { launch, spawn } from '../../src/index.js';
import { engine } from '../../src/process/engine.js';
import { resultInNode } from '../fixtures/in-node.js';
import { descriptorsOf, STOPS, signalsIn, statOf, statusOf, stopped } from '../process/observe.js';

const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
const SIGUSR1 = 10;

interface Child {
  readonly pid?: number | undefined;
  kill(signal: 'SIGKILL'): boolean;
}

/** Looks at a child that has stopped itself, and ends it. */
async function look(start: () => Child, at: (pid: number) => void): Promise<void> {
  const child = start();
  try {
    at(await stopped(child.pid));
  } finally {
    child.kill('SIGKILL');
  }
}

const [shell, args] = STOPS;
const ENV = { ONLY: 'this' };
const ways: Record<string, () => Child> = {
  spawn: () => spawn(shell, args, { stdio: 'ignore', env: ENV }),
  launch: () =>
    launch({
      path: shell,
      argv: [shell, ...args],
      env: ENV,
      signalMask: [],
      signalDefaults: 'all',
    }),
};
for (const executor of ['image', 'direct'] as const) {
  ways[`spawn, ${executor}`] = () => spawn(shell, args, { stdio: 'ignore', env: ENV, executor });
}

function field(pid: number | 'self', name: string): string | undefined {
  return statusOf(pid).get(name);
}

const read = (pid: number | 'self', file: string): string =>
  readFileSync(`/proc/${pid}/${file}`, 'utf8');

describe('what the target gets', () => {
  for (const [way, start] of Object.entries(ways)) {
    test(`${way}: no descriptor but those given, however many leak here`, async () => {
      const { kernel } = engine();
      // Not close-on-exec, as careless libraries leave them.
      const leaks = Array.from({ length: 5 }, () => kernel.call('dup', 0));
      try {
        await look(start, (pid) => assert.deepEqual([...descriptorsOf(pid).keys()], [0, 1, 2]));
      } finally {
        for (const fd of leaks) closeSync(fd);
      }
    });

    test(`${way}: no blocked, ignored or pending signal`, async () => {
      const { kernel } = engine();
      const { scratch, scratchAddress } = kernel;
      const handler = (): void => {};
      process.on('SIGUSR2', handler);
      scratch.fill(0, 0, 16);
      scratch[(SIGUSR1 - 1) >> 3] = 1 << ((SIGUSR1 - 1) & 7);
      kernel.call('rt_sigprocmask', SIG_BLOCK, scratchAddress, scratchAddress + 8, 8);
      const old = scratch.slice(8, 16);
      try {
        assert.ok(signalsIn('thread-self', 'SigBlk').includes(SIGUSR1));
        assert.notEqual(field('self', 'SigIgn'), '0'.repeat(16));
        await look(start, (pid) => {
          // What is handled now is the shell's own: no handler survives an exec.
          for (const name of ['SigBlk', 'SigIgn', 'SigPnd', 'ShdPnd']) {
            assert.deepEqual(signalsIn(pid, name), [], name);
          }
        });
      } finally {
        scratch.set(old, 0);
        kernel.call('rt_sigprocmask', SIG_SETMASK, scratchAddress, 0, 8);
        process.off('SIGUSR2', handler);
      }
    });

    test(`${way}: the environment that it was given, and nothing else`, async () => {
      await look(start, (pid) => assert.equal(read(pid, 'environ'), 'ONLY=this\0'));
    });

    test(`${way}: directory, umask, limits, session, ids, cgroup and namespaces of its parent`, async () => {
      await look(start, (pid) => {
        assert.equal(readlinkSync(`/proc/${pid}/cwd`), process.cwd());
        assert.equal(readlinkSync(`/proc/${pid}/root`), readlinkSync('/proc/self/root'));
        for (const name of [
          'Umask',
          'Uid',
          'Gid',
          'Groups',
          'CapInh',
          'CapPrm',
          'CapEff',
          'CapBnd',
          'CapAmb',
          'NoNewPrivs',
          'Seccomp',
          'Cpus_allowed_list',
        ]) {
          assert.equal(field(pid, name), field('self', name), name);
        }
        for (const file of ['limits', 'cgroup', 'oom_score_adj', 'loginuid']) {
          assert.equal(read(pid, file), read('self', file), file);
        }
        const [child, own] = [statOf(pid), statOf('self')];
        assert.deepEqual([child.session, child.group], [own.session, own.group]);
        assert.equal(child.parent, process.pid);
        for (const name of ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts', 'time']) {
          const link = (of: number | 'self') => readlinkSync(`/proc/${of}/ns/${name}`);
          assert.equal(link(pid), link('self'), name);
        }
      });
    });
  }
});

test('the parent-death signal is not inherited', () => {
  const [PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, SIGTERM] = [1, 2, 15];
  const engineUrl = new URL('../../src/process/engine.js', import.meta.url).href;
  const ask = `
    const { engine } = await import('${engineUrl}');
    const { kernel } = engine();
    kernel.call('prctl', ${PR_GET_PDEATHSIG}, kernel.scratchAddress);
    console.log(kernel.memory.int32(kernel.scratchAt));
  `;
  // In a process of its own: the signal is one of the thread that launches.
  const result = resultInNode(`
    const { kernel } = engine();
    kernel.call('prctl', ${PR_SET_PDEATHSIG}, ${SIGTERM});
    kernel.call('prctl', ${PR_GET_PDEATHSIG}, kernel.scratchAddress);
    const own = kernel.memory.int32(kernel.scratchAt);
    const script = ['--input-type=module', '-e', ${JSON.stringify(ask)}];
    const { stdout } = await run(process.execPath, script);
    console.log(JSON.stringify([own, Number(stdout)]));
  `);
  assert.deepEqual(result, [SIGTERM, 0]);
});
