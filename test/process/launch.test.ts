import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FileAction, type LaunchOptions, launch } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { inNode, resultInNode } from '../fixtures/in-node.js';
import {
  children,
  descriptorsOf,
  STOPS,
  signalsIn,
  statOf,
  statusOf,
  stopped,
  until,
} from './observe.js';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
after(() => rmSync(folder, { recursive: true }));

const [path, [...args]] = STOPS;

/** Looks at a process that has stopped itself, and ends it. */
async function look<T>(options: Partial<LaunchOptions>, see: (pid: number) => T): Promise<T> {
  const child = launch({ path, argv: ['sh', ...args], ...options });
  try {
    return see(await stopped(child.pid));
  } finally {
    child.kill('SIGKILL');
    await child.exited;
  }
}

/** Runs a shell command whose output goes to a file; what it wrote. */
async function output(command: string, options: Partial<LaunchOptions> = {}): Promise<string> {
  const out = join(folder, 'out');
  const actions: FileAction[] = [
    ...(options.actions ?? []),
    { type: 'open', fd: 1, path: out, flags: 0o1101, mode: 0o600 },
  ];
  await launch({ path: '/bin/sh', argv: ['sh', '-c', command], ...options, actions }).exited;
  return readFileSync(out, 'utf8');
}

for (const executor of EXECUTORS) {
  test(`${executor}: the program runs when launch returns, and its exit is told`, async () => {
    const child = launch({ path: '/bin/sh', argv: ['sh', '-c', 'exit 3'], executor });
    assert.ok(child.pid > 0 && child.pidfd > 2);
    assert.equal(readlinkSync(`/proc/self/fd/${child.pidfd}`), 'anon_inode:[pidfd]');
    const exit = await child.exited;
    assert.deepEqual([exit?.exitCode, exit?.signal], [3, null]);
    assert.ok((exit?.resourceUsage.maxRSS ?? 0) > 0);
    assert.equal(child.pidfd, -1);
    assert.equal(child.kill(), false);
    assert.equal(child.kill(0), false);
  });

  test(`${executor}: kill`, async () => {
    const child = launch({ path: '/bin/sleep', argv: ['sleep', '1000'], executor });
    assert.equal(child.kill(0), true);
    assert.equal(child.kill('SIGINT'), true);
    assert.equal((await child.exited)?.signal, 'SIGINT');
    const other = launch({ path: '/bin/sleep', argv: ['sleep', '1000'], executor });
    assert.throws(() => other.kill('SIGNOTHING' as never), { code: 'ERR_UNKNOWN_SIGNAL' });
    other.kill();
    assert.equal((await other.exited)?.signal, 'SIGTERM');
  });

  test(`${executor}: a process is reaped although nobody waits for it`, async () => {
    const { pid } = launch({ path: '/bin/true', executor });
    await until('it is reaped', () => !children().has(pid));
  });

  test(`${executor}: setsid, setpgid`, async () => {
    const own = statOf('self');
    const see = (pid: number) => ({ ...statOf(pid), pid });
    const plain = await look({ executor }, see);
    assert.deepEqual([plain.session, plain.group], [own.session, own.group]);
    const session = await look({ executor, setsid: true }, see);
    assert.deepEqual([session.session, session.group], [session.pid, session.pid]);
    const group = await look({ executor, setpgid: 0 }, see);
    assert.deepEqual([group.session, group.group], [own.session, group.pid]);
    const leader = launch({ path: '/bin/sleep', argv: ['sleep', '1000'], setpgid: 0 });
    const member = await look({ executor, setpgid: leader.pid }, see);
    assert.equal(member.group, leader.pid);
    leader.kill();
    await leader.exited;
  });

  test(`${executor}: umask`, async () => {
    assert.equal(await output('umask', { umask: 0o135, executor }), '0135\n');
  });

  test(`${executor}: the mask: of this thread, given, empty`, async () => {
    const see = (pid: number) => signalsIn(pid, 'SigBlk');
    assert.deepEqual(await look({ executor }, see), signalsIn('thread-self', 'SigBlk'));
    const signalMask = ['SIGINT', 40, 64, 'SIGCHLD'] as const;
    assert.deepEqual(await look({ executor, signalMask }, see), [2, 17, 40, 64]);
    assert.deepEqual(await look({ executor, signalMask: [] }, see), []);
    // Two that cannot be blocked.
    assert.deepEqual(await look({ executor, signalMask: ['SIGKILL', 'SIGSTOP'] }, see), []);
  });

  test(`${executor}: dispositions: kept, some, all; handlers never`, async () => {
    const handler = () => {};
    process.on('SIGUSR2', handler);
    const see = (pid: number) => signalsIn(pid, 'SigIgn');
    try {
      assert.deepEqual(await look({ executor }, see), [13, 25]);
      assert.deepEqual(await look({ executor, signalDefaults: ['SIGPIPE'] }, see), [25]);
      assert.deepEqual(await look({ executor, signalDefaults: [25, 13] }, see), []);
      assert.deepEqual(await look({ executor, signalDefaults: 'all' }, see), []);
      assert.ok(signalsIn('self', 'SigIgn').includes(13));
      assert.ok(signalsIn('self', 'SigCgt').includes(12));
    } finally {
      process.off('SIGUSR2', handler);
    }
  });

  test(`${executor}: argv and search`, async () => {
    const name = join(folder, 'script');
    writeFileSync(name, 'echo "$0 $@" >&1\n');
    chmodSync(name, 0o755);
    assert.throws(() => launch({ path: name, executor }), { code: 'ENOEXEC', step: 'exec' });
    const env = { PATH: `/nowhere::${folder}` };
    const options = { path: 'script', argv: ['zero', 'a', 'b'], env, search: true, executor };
    assert.equal(await output('', options), `${name} a b\n`);
    assert.throws(() => launch({ path: 'sh', executor }), { code: 'ENOENT', step: 'exec' });
    const cmdline = await look({ executor, argv: ['other name', ...args] }, (pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'latin1'),
    );
    assert.ok(cmdline.startsWith('other name\0'));
  });

  test(`${executor}: open takes flags and a mode`, async () => {
    const made = join(folder, `made-${executor}`);
    const actions: FileAction[] = [{ type: 'open', fd: 7, path: made, flags: 0o101, mode: 0o640 }];
    await output('echo first >&7', { executor, actions, umask: 0 });
    assert.equal(readFileSync(made, 'utf8'), 'first\n');
    const appended: FileAction[] = [{ type: 'open', fd: 7, path: made, flags: 0o2001 }];
    const command = `echo second >&7; stat -c %a '${made}' >&7`;
    await output(command, { executor, actions: appended });
    assert.equal(readFileSync(made, 'utf8'), 'first\nsecond\n640\n');
  });

  const terminal = spawnSync('script', ['--version']).error ? 'script(1) is missing' : false;
  test(`${executor}: tcsetpgrp on a terminal`, { skip: terminal }, () => {
    const report = join(folder, `terminal-${executor}`);
    const code = `
      const { readFileSync, writeFileSync } = await import('node:fs');
      const child = launch({ path: '/bin/sh', argv: ['sh', '-c', 'kill -STOP $$'], setpgid: 0,
        actions: [{ type: 'tcsetpgrp', fd: 0 }], executor: '${executor}' });
      const stat = () => readFileSync('/proc/' + child.pid + '/stat', 'latin1').split(') ')[1].split(' ');
      while (stat()[0] !== 'T') await new Promise((resolve) => setImmediate(resolve));
      const [, , group, , , foreground] = stat().map(Number);
      child.kill('SIGKILL');
      await child.exited;
      writeFileSync(process.env.REPORT, JSON.stringify({ pid: child.pid, group, foreground }));`;
    const env = { ...process.env, REPORT: report, CODE: moduleOf(code) };
    const command = `exec '${process.execPath}' --input-type=module -e "$CODE"`;
    spawnSync('script', ['-qec', command, '/dev/null'], {
      env: { ...env, SHELL: '/bin/sh' },
      stdio: 'ignore',
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
    const { pid, group, foreground } = JSON.parse(readFileSync(report, 'utf8'));
    assert.deepEqual([group, foreground], [pid, pid]);
  });
}

function moduleOf(code: string): string {
  const library = new URL('../../src/index.js', import.meta.url).href;
  return `const { launch } = await import('${library}');\n${code}`;
}

// It must not keep the output open, which is waited for.
const silent = `[1, 2].map((fd) => ({ type: 'open', fd, path: '/dev/null', flags: 1 }))`;
const sleep = `{ path: '/bin/sleep', argv: ['sleep', '1000'], actions: ${silent} }`;

test('unref lets the event loop end, ref keeps it', () => {
  const unreferenced = inNode(
    `const child = launch(${sleep}); child.unref(); console.log(child.pid);`,
  );
  assert.equal(unreferenced.status, 0);
  process.kill(Number(unreferenced.stdout), 'SIGKILL');
  const referenced = inNode(`
    const child = launch({ path: '/bin/sleep', argv: ['sleep', '0.05'] });
    child.unref();
    child.unref();
    child.ref();
    child.exited.then((exit) => console.log(exit.exitCode));`);
  assert.equal(referenced.stdout, '0\n');
});

const notRoot = process.getuid?.() !== 0 && 'only root can become somebody else';

test('a signal that must not be sent is an error, and not an end', { skip: notRoot }, () => {
  const code = `
    const child = launch(${sleep});
    process.setuid(65534);
    try { child.kill(); } catch ({ message, code, errno, syscall }) {
      console.log(JSON.stringify({ pid: child.pid, error: { message, code, errno, syscall } }));
    }
    process.exit();`;
  const { pid, error } = resultInNode(code) as { pid: number; error: unknown };
  process.kill(pid, 'SIGKILL');
  assert.deepEqual(error, { message: 'kill EPERM', code: 'EPERM', errno: -1, syscall: 'kill' });
});

test('a process that somebody else reaped gives null', () => {
  const code = `
    const { readFileSync } = await import('node:fs');
    const { kernel } = engine();
    const child = launch({ path: '/bin/true' });
    const P_PID = 1, WEXITED = 4;
    kernel.call('waitid', P_PID, child.pid, 0, WEXITED);
    console.log(JSON.stringify(await child.exited));`;
  assert.equal(resultInNode(code), null);
});

test('a directory by descriptor, and descriptors that stay', async () => {
  const inner = join(folder, 'inner');
  mkdirSync(inner);
  const fd = openSync(inner, 'r');
  const see = (pid: number) => ({
    cwd: readlinkSync(`/proc/${pid}/cwd`),
    numbers: [...descriptorsOf(pid).keys()],
    threads: statusOf(pid).get('Threads'),
  });
  const seen = await look({ actions: [{ type: 'fchdir', fd }] }, see);
  assert.deepEqual(seen, { cwd: inner, numbers: [0, 1, 2], threads: '1' });
});
