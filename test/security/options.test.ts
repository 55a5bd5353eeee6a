import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import {
  ChildProcess,
  exec,
  execFile,
  execFileSync,
  execSync,
  fork,
  launch,
  run,
  spawn,
  spawnSync,
} from '../../src/index.js';
import { resultInNode } from '../fixtures/in-node.js';
import { children, until } from '../process/observe.js';

/** An object that counts how often each of its properties is read, and what is in them. */
function counted<T extends object>(target: T, counts: Map<string, number>, path = ''): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key);
      if (typeof key === 'symbol' || !Object.hasOwn(object, key)) return value;
      const name = `${path}${key}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      if (typeof value !== 'object' || value === null) return value;
      const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
      return isPlain ? counted(value, counts, `${name}.`) : value;
    },
  });
}

/** A string as an object, whose conversions are counted. */
function text(value: string, counts: Map<string, number>): string {
  const said = {
    toString() {
      counts.set(`'${value}'`, (counts.get(`'${value}'`) ?? 0) + 1);
      return value;
    },
  };
  return said as unknown as string;
}

test('each option is read once', async () => {
  const base = {
    cwd: '/',
    argv0: 'x',
    timeout: 5000,
    killSignal: 'SIGTERM' as const,
    detached: false,
  };
  const env = { A: 'b' };
  const calls: Record<string, (counts: Map<string, number>) => unknown> = {
    spawn: (counts) =>
      spawn(
        '/bin/true',
        [text('a', counts)],
        counted({ ...base, env, stdio: ['ignore'], uid: undefined }, counts) as object,
      ),
    spawnSync: (counts) =>
      spawnSync(
        '/bin/true',
        [text('a', counts)],
        counted({ ...base, env, stdio: ['ignore'], input: 'x', maxBuffer: 9 }, counts) as object,
      ),
    execFile: (counts) =>
      execFile(
        '/bin/true',
        [text('a', counts)],
        counted({ ...base, env, maxBuffer: 9, encoding: 'utf8' }, counts) as object,
      ),
    execFileSync: (counts) =>
      execFileSync('/bin/true', [text('a', counts)], counted({ ...base, env }, counts) as object),
    exec: (counts) => exec('true', counted({ ...base, env, shell: '/bin/sh' }, counts) as object),
    execSync: (counts) =>
      execSync('true', counted({ ...base, env, shell: '/bin/sh' }, counts) as object),
    fork: (counts) =>
      fork(
        '/x',
        [text('a', counts)],
        counted(
          {
            ...base,
            env,
            execPath: '/bin/true',
            execArgv: [text('-b', counts)],
            silent: true,
            stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
          },
          counts,
        ) as object,
      ),
    run: (counts) =>
      run(
        '/bin/true',
        [text('a', counts)],
        counted(
          { ...base, env, input: 'x', reject: true, encoding: 'utf8', maxBuffer: 9 },
          counts,
        ) as object,
      ),
    launch: (counts) =>
      launch(
        counted(
          {
            path: '/bin/true',
            argv: ['a', 'b'],
            env,
            umask: 0,
            actions: [
              { type: 'dup2', from: 0, to: 7 },
              { type: 'closeAllBut', fds: [0, 7] },
            ],
            signalMask: ['SIGTERM'],
            signalDefaults: ['SIGPIPE', 3],
          },
          counts,
        ) as never,
      ),
  };
  for (const [name, call] of Object.entries(calls)) {
    const counts = new Map<string, number>();
    const result = call(counts);
    if (result instanceof ChildProcess) await once(result, 'exit');
    if (result instanceof Promise) await result;
    const often = [...counts].filter(([, count]) => count > 1);
    assert.deepEqual(often, [], name);
    assert.ok(counts.size > 3, name);
  }
});

test('what changes between reads does not get past the checks', () => {
  const once = <T>(first: T, later: T): T => {
    let reads = 0;
    return { toString: () => (reads++ === 0 ? first : later) } as T;
  };
  assert.throws(() => spawn('/bin/true', [once('a\0b', 'a')]), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => spawn('/bin/true', { env: { A: once('a\0b', 'a') } }), {
    code: 'ERR_INVALID_ARG_VALUE',
  });
  let reads = 0;
  const options = {
    path: '/bin/true',
    get argv() {
      return reads++ === 0 ? ['fine'] : ['cut\0short'];
    },
  };
  launch(options);
  assert.equal(reads, 1);
});

test('a NUL gets in by no way: conversions, URLs, environment', () => {
  const refused = { code: 'ERR_INVALID_ARG_VALUE' };
  const hidden = { toString: () => 'a\0b' } as unknown as string;
  for (const form of [spawn, spawnSync, execFile, execFileSync] as ((
    ...args: unknown[]
  ) => unknown)[]) {
    assert.throws(() => form('/bin/true', [hidden]), refused);
    assert.throws(() => form('/bin/true', [hidden], { shell: true }), refused);
    assert.throws(() => form('/bin/true', [], { cwd: new URL('file:///tmp%00/x') }), refused);
    assert.throws(() => form('/bin/true', [], { env: { A: hidden } }), refused);
    assert.throws(() => form('/bin/true', [], { env: { 'A\0': 'b' } }), refused);
  }
  assert.throws(() => fork(new URL('file:///tmp%00/x')), refused);
  const child = new ChildProcess() as unknown as { spawn(options: object): void };
  const stdio = ['ignore', 'ignore', 'ignore'];
  assert.throws(() => child.spawn({ file: '/bin/true', args: ['true', 'a\0b'], stdio }), refused);
});

test('what is no descriptor is not taken for another', () => {
  // The kernel would see 32 bits of them: of most, a 0 or a 1.
  for (const fd of [Number.NaN, 0.5, 2 ** 32, 2 ** 32 + 1, 2 ** 53]) {
    assert.throws(() => spawn('/bin/true', { stdio: ['ignore', fd] as never }), { code: 'EBADF' });
    const { error } = spawnSync('/bin/true', { stdio: ['ignore', fd] as never });
    assert.equal((error as NodeJS.ErrnoException).code, 'EBADF');
    const stream = { fd } as never;
    assert.throws(() => spawn('/bin/true', { stdio: ['ignore', stream] }), { code: 'EBADF' });
  }
});

test('a call that throws leaves no process', async () => {
  await until('those before it have ended', () => children().size === 0);
  const signal = { aborted: false } as AbortSignal;
  assert.throws(() => spawn('/bin/sleep', ['1000'], { signal }), { code: 'ERR_INVALID_ARG_TYPE' });
  const failing = {
    aborted: false,
    addEventListener: () => {
      throw new Error('not this time');
    },
  } as unknown as AbortSignal;
  assert.throws(() => spawn('/bin/sleep', ['1000'], { signal: failing }), /not this time/);
  assert.equal(children().size, 0);
  // Node looks after the streams of others when the process is there already.
  const server = createServer();
  await once(server.listen(0), 'listening');
  const socket = connect((server.address() as AddressInfo).port);
  await once(socket, 'connect');
  const stream = Object.create(socket, {
    fd: { value: undefined },
    pause: {
      value: () => {
        throw new Error('not this time');
      },
    },
  });
  assert.throws(() => spawn('/bin/sleep', ['1000'], { stdio: [stream] }), /not this time/);
  socket.destroy();
  server.close();
  await assert.rejects(
    run('/bin/sleep', ['1000'], { input: Object.create(Uint8Array.prototype) }),
    {
      code: 'ERR_INVALID_ARG_TYPE',
    },
  );
  await until('nothing is left', () => children().size === 0);
});

test('properties of Object.prototype are no options', () => {
  const result = resultInNode(`
    Object.assign(Object.prototype, { shell: true, uid: 1, cwd: '/no', env: {}, argv0: 'x', search: true,
      detached: true, executor: 'direct', stdio: 'inherit', input: 'x', umask: 0o777, flags: 0o1101, args: ['x'], argv: ['x'] });
    const { spawnSync, execFileSync } = await import(${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)});
    const child = spawn('/bin/echo', ['a;b']);
    const chunks = [];
    for await (const chunk of child.stdout) chunks.push(chunk);
    const outputs = [Buffer.concat(chunks), spawnSync('/bin/echo', ['a;b'], {}).stdout, execFileSync('/bin/echo', ['a;b'])];
    outputs.push((await run('/bin/echo', ['a;b'], {})).stdout);
    // Without flags a file is opened for reading: what would be written to it fails.
    const actions = [{ type: 'open', fd: 1, path: '/dev/null' }];
    const argv = ['sh', '-c', '! echo x 2>&-'];
    const exit = await launch({ path: '/bin/sh', argv, actions }).exited;
    let code;
    try { launch({}); } catch (error) { code = error.code; }
    console.log(JSON.stringify([...outputs.map(String), exit.exitCode, code]));
  `);
  assert.deepEqual(result, ['a;b\n', 'a;b\n', 'a;b\n', 'a;b\n', 0, 'ERR_INVALID_ARG_TYPE']);
});
