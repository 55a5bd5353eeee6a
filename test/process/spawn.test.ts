import assert from 'node:assert/strict';
import { ChildProcess as NodeChildProcess, spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  createWriteStream,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ChildProcess, type SpawnOptions, spawn } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { engine } from '../../src/process/engine.js';
import { FEW_CHILDREN } from '../../src/process/stdio.js';
import { descriptorsOf, STOPS, signalsIn, statOf, stopped, until } from './observe.js';

/** fcntl(2). */
const F_GETPIPE_SZ = 1032;

const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
after(() => rmSync(folder, { recursive: true }));

/** What a shell command writes, and how it ends. */
async function shell(command: string, options: SpawnOptions = {}) {
  const child = spawn('/bin/sh', ['-c', command], options);
  const closed = once(child, 'close');
  const out = child.stdout ? await text(child.stdout) : '';
  const [code, signal] = await closed;
  return { out, code, signal, child };
}

/** Looks at a child that has stopped itself, and ends it. */
async function look<T>(options: SpawnOptions, see: (pid: number) => T): Promise<T> {
  const child = spawn(...STOPS, { stdio: 'ignore', ...options });
  const exited = once(child, 'exit');
  try {
    return see(await stopped(child.pid));
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

for (const executor of EXECUTORS) {
  test(`${executor}: standard streams`, async () => {
    const child = spawn('/bin/cat', [], { executor });
    child.stdin?.end('to and fro');
    assert.equal(await text(child.stdout as Readable), 'to and fro');
    const failing = spawn('/bin/sh', ['-c', 'echo wrong >&2'], { executor });
    assert.equal(await text(failing.stderr as Readable), 'wrong\n');
  });

  test(`${executor}: much data in both directions`, async () => {
    const data = 'x'.repeat(3_000_000);
    const child = spawn('/bin/cat', { executor });
    child.stdin?.end(data);
    assert.equal((await text(child.stdout as Readable)).length, data.length);
  });

  test(`${executor}: exit codes and signals`, async () => {
    for (const code of [0, 1, 127, 255]) {
      assert.deepEqual((await shell(`exit ${code}`, { executor })).code, code);
    }
    const { code, signal } = await shell('kill -USR1 $$', { executor });
    assert.deepEqual([code, signal], [null, 'SIGUSR1']);
    const { signal: real } = await shell('kill -40 $$', { executor });
    assert.equal(real, 'SIGRT40');
  });

  test(`${executor}: mask and dispositions are the default ones`, async () => {
    const state = (pid: number) => ['SigBlk', 'SigIgn'].map((name) => signalsIn(pid, name));
    assert.ok(signalsIn('self', 'SigIgn').includes(13), 'Node ignores SIGPIPE');
    assert.deepEqual(await look({ executor }, state), [[], []]);
  });

  test(`${executor}: detached makes a session`, async () => {
    const own = statOf('self');
    const see = (pid: number) => ({ ...statOf(pid), pid });
    const plain = await look({ executor }, see);
    assert.deepEqual([plain.session, plain.group], [own.session, own.group]);
    const detached = await look({ executor, detached: true }, see);
    assert.deepEqual([detached.session, detached.group], [detached.pid, detached.pid]);
  });

  test(`${executor}: argv0, arguments of any kind, and the environment`, async () => {
    const see = (pid: number) => ({
      argv: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1),
      env: readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').slice(0, -1),
    });
    const env = { A: 'ä€😀', B: '', C: undefined, D: '=x=\n' };
    const { argv, env: got } = await look({ executor, argv0: 'naïve', env }, see);
    assert.deepEqual(argv, ['naïve', ...STOPS[1]]);
    assert.deepEqual(
      got.filter((pair) => !pair.startsWith('NODE_V8')),
      ['A=ä€😀', 'B=', 'D==x=\n'],
    );
    const child = spawn(
      '/bin/sh',
      ['-c', 'printf "%s|" "$@"', 'sh', '', ' a ', '*', 'ü\ud800', 7 as never],
      {
        executor,
      },
    );
    assert.equal(await text(child.stdout as Readable), '| a |*|ü\ufffd|7|');
  });

  test(`${executor}: a working directory, as a string and as a URL`, async () => {
    const see = (pid: number) => readlinkSync(`/proc/${pid}/cwd`);
    assert.equal(await look({ executor }, see), process.cwd());
    assert.equal(await look({ executor, cwd: '' }, see), process.cwd());
    assert.equal(await look({ executor, cwd: folder }, see), folder);
    assert.equal(await look({ executor, cwd: pathToFileURL(folder) }, see), folder);
  });

  test(`${executor}: a stream and a descriptor as stdio`, async () => {
    const path = join(folder, `stream-${executor}`);
    const stream = createWriteStream(path);
    await once(stream, 'open');
    const fd = openSync(path, 'a');
    const child = spawn('/bin/sh', ['-c', 'echo out; echo err >&2'], {
      stdio: ['ignore', stream, fd],
      executor,
    });
    await once(child, 'close');
    closeSync(fd);
    stream.destroy();
    assert.deepEqual([child.stdin, child.stdout, child.stderr], [null, null, null]);
    assert.equal(readFileSync(path, 'utf8'), 'out\nerr\n');
  });

  test(`${executor}: a fourth descriptor goes in both directions`, async () => {
    const child = spawn('/bin/sh', ['-c', 'read line <&3; echo "got $line" >&3'], {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
      executor,
    });
    const socket = child.stdio[3] as unknown as Readable & NodeJS.WritableStream;
    socket.write('this\n');
    assert.equal(await text(socket), 'got this\n');
  });
}

test('a child is a ChildProcess, also Node’s', async () => {
  const child = spawn('true', { stdio: 'ignore' });
  assert.ok(child instanceof ChildProcess);
  assert.ok(child instanceof NodeChildProcess);
  assert.equal(child.spawnfile, 'true');
  assert.deepEqual(child.spawnargs, ['true']);
  assert.deepEqual([child.exitCode, child.signalCode, child.killed], [null, null, false]);
  const usage = () => child.resourceUsage;
  assert.equal(usage(), null);
  await once(child, 'exit');
  assert.equal(child.exitCode, 0);
  assert.ok((usage()?.maxRSS ?? 0) > 0);
});

test('spawn, exit and close come in that order, each once', async () => {
  for (let i = 0; i < 20; i++) {
    const events: string[] = [];
    const child = spawn('/bin/echo', ['x']);
    for (const name of ['spawn', 'exit', 'close', 'error']) child.on(name, () => events.push(name));
    assert.deepEqual(events, []);
    await once(child, 'close');
    assert.deepEqual(events, ['spawn', 'exit', 'close']);
  }
});

test('output that nobody reads does not keep close from coming', async () => {
  const child = spawn('/bin/echo', ['x']);
  await once(child, 'close');
  assert.equal(child.exitCode, 0);
});

test('exit does not wait for a grandchild that keeps the output open', async () => {
  const child = spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!']);
  const out = once(child.stdout as Readable, 'data');
  await once(child, 'exit');
  const grandchild = Number(await out);
  assert.equal(child.stdout?.destroyed, false);
  process.kill(grandchild, 'SIGKILL');
  await once(child, 'close');
});

test('shell', async () => {
  const { out } = await (async () => {
    const child = spawn('echo "$0" $((1+2))', ['and more'], { shell: true });
    return { out: await text(child.stdout as Readable) };
  })();
  assert.equal(out, '/bin/sh 3 and more\n');
  const named = spawn('echo $0', { shell: '/bin/bash' });
  assert.equal(await text(named.stdout as Readable), '/bin/bash\n');
});

test('timeout ends a process, with the signal asked for', async () => {
  const child = spawn('/bin/sleep', ['1000'], { timeout: 5 });
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
  assert.equal(child.killed, true);
  const other = spawn('/bin/sleep', ['1000'], { timeout: 5, killSignal: 'SIGINT' });
  assert.deepEqual(await once(other, 'exit'), [null, 'SIGINT']);
});

test('a timeout that is longer than any timer does not strike at once', async () => {
  const child = spawn('/bin/sleep', ['0.05'], { timeout: 2 ** 40 });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('kill: signals by name and number, 0 to ask, false after the end', async () => {
  const child = spawn('/bin/sleep', ['1000']);
  assert.equal(child.kill(0), true);
  assert.equal(child.exitCode, null);
  assert.throws(() => child.kill('SIGNOTHING' as never), { code: 'ERR_UNKNOWN_SIGNAL' });
  const exited = once(child, 'exit');
  assert.equal(child.kill(9), true);
  assert.deepEqual(await exited, [null, 'SIGKILL']);
  assert.equal(child.kill(), false);
  assert.equal(child.kill(0), false);
});

test('an AbortSignal: before, while it runs, and afterwards', async () => {
  const before = spawn('/bin/sleep', ['1000'], { signal: AbortSignal.abort('why') });
  const early = await once(before, 'error');
  assert.deepEqual(
    [early[0].name, early[0].code, early[0].cause],
    ['AbortError', 'ABORT_ERR', 'why'],
  );
  await until('it ends', () => before.signalCode === 'SIGTERM');

  const controller = new AbortController();
  const child = spawn('/bin/sleep', ['1000'], {
    signal: controller.signal,
    killSignal: 'SIGKILL',
  });
  await once(child, 'spawn');
  const failed = once(child, 'error');
  const exited = new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
  controller.abort();
  assert.equal((await failed)[0].name, 'AbortError');
  assert.deepEqual(await exited, [null, 'SIGKILL']);

  const late = new AbortController();
  const done = spawn('/bin/true', { signal: late.signal });
  done.on('error', assert.fail);
  await once(done, 'close');
  late.abort();
  assert.deepEqual([done.exitCode, done.signalCode], [0, null]);
});

test('disposal ends the process', async () => {
  const child = spawn('/bin/sleep', ['1000']);
  const exited = once(child, 'exit');
  (child as unknown as Disposable)[Symbol.dispose]();
  assert.deepEqual(await exited, [null, 'SIGTERM']);
  const other = spawn('/bin/sleep', ['1000']);
  await other[Symbol.asyncDispose]();
  assert.equal(other.signalCode, 'SIGTERM');
  await other[Symbol.asyncDispose]();
  const missing = spawn('/no/such/file');
  missing.on('error', () => {});
  await missing[Symbol.asyncDispose]();
});

test('disposal ends the process also if it was sent other signals, is stopped, or aborted', async () => {
  // Each would sleep for longer than any test may take.
  const asked = spawn('/bin/sleep', ['1000']);
  asked.kill(0);
  asked.kill('SIGWINCH');
  assert.equal(asked.killed, true);
  await asked[Symbol.asyncDispose]();
  assert.equal(asked.signalCode, 'SIGTERM');

  const halted = spawn('/bin/sleep', ['1000']);
  await once(halted, 'spawn');
  halted.kill('SIGSTOP');
  await until('it is stopped', () => statOf(halted.pid as number).state === 'T');
  await halted[Symbol.asyncDispose]();
  assert.equal(halted.signalCode, 'SIGTERM');

  const interrupted = spawn('/bin/sleep', ['1000']);
  interrupted.kill('SIGINT');
  await interrupted[Symbol.asyncDispose]();
  assert.equal(interrupted.signalCode, 'SIGINT');

  // It takes the signal of the abort, and goes on until it is told that it may end.
  const script = 'trap "" TERM; echo ready; read end; exit 7';
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = spawn('/bin/sh', ['-c', script], { signal, stdio: ['pipe', 'pipe', 'ignore'] });
  await once(aborted.stdout, 'data');
  const disposed = aborted[Symbol.asyncDispose]();
  controller.abort();
  aborted.stdin.end();
  await disposed;
  assert.equal(aborted.exitCode, 7);
});

test('children of others are left to them', async () => {
  const seen: number[] = [];
  const listener = () => seen.push(1);
  process.on('SIGCHLD', listener);
  try {
    const ends = Array.from({ length: 20 }, (_, i) => [
      once(nodeSpawn('/bin/sh', ['-c', `exit ${i}`]), 'exit'),
      once(spawn('/bin/sh', ['-c', `exit ${i + 100}`]), 'exit'),
    ]).flat();
    const codes = (await Promise.all(ends)).map(([code]) => code);
    assert.deepEqual(codes, Array.from({ length: 20 }, (_, i) => [i, i + 100]).flat());
    await until('SIGCHLD is heard of', () => seen.length > 0);
  } finally {
    process.off('SIGCHLD', listener);
  }
});

test('a child leaves no descriptor behind', async () => {
  await shell('echo warm');
  const before = [...descriptorsOf('self').keys()];
  await Promise.all(Array.from({ length: 30 }, (_, i) => shell(`exit ${i}`)));
  assert.deepEqual([...descriptorsOf('self').keys()], before);
});

test('who awaits the spawn can still await the exit, also when both are seen at once', async () => {
  const child = spawn('/bin/true', [], { stdio: 'ignore' });
  const spawned = once(child, 'spawn');
  // Behind the tick on which the start begins to be watched: nothing is seen until all is over.
  process.nextTick(() => {
    while (statOf(child.pid as number).state !== 'Z');
  });
  await spawned;
  assert.equal(child.exitCode, null);
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('who listens for `spawn` hears of it before anything else happens', async () => {
  const child = spawn('/bin/echo', ['text'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const events: string[] = [];
  child.on('spawn', () => events.push('spawn'));
  child.stdout?.on('data', () => events.push('data'));
  process.nextTick(() => events.push('next'));
  await once(child, 'close');
  assert.deepEqual(events, ['spawn', 'next', 'data']);
});

test('pipes are large while there are few children', async () => {
  const sizeOf = ({ stdout }: ChildProcess): number => {
    const { fd } = (stdout as unknown as { _handle: { fd: number } })._handle;
    return engine().kernel.call('fcntl', fd, F_GETPIPE_SZ);
  };
  const children = Array.from({ length: FEW_CHILDREN + 1 }, () => spawn('cat'));
  try {
    assert.deepEqual(children.map(sizeOf), [...Array(FEW_CHILDREN).fill(0x20000), 0x10000]);
  } finally {
    const ends = children.map((child) => once(child, 'close'));
    for (const { stdin } of children) stdin?.end();
    await Promise.all(ends);
  }
});
