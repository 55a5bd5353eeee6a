import assert from 'node:assert/strict';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, describe, test } from 'node:test';
import { type ChildProcess, type ForkOptions, fork, spawn } from '../../src/index.js';
import { environment, exit, fixture, LIBRARY, message, parse, runNode, text } from './support.js';

const CHILD = fixture('ipc-child.cjs');
const started: ChildProcess[] = [];

function child(options: ForkOptions = {}): ChildProcess {
  const one = fork(CHILD, { env: environment(), ...options });
  started.push(one);
  return one;
}

async function ask(one: ChildProcess, question: object, handle?: Socket): Promise<unknown> {
  const answer = message(one);
  one.send(question as Record<string, unknown>, handle);
  return (await answer)[0];
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

afterEach(async () => {
  for (const one of started.splice(0)) {
    one.kill('SIGKILL');
    await exit(one);
  }
});

const VALUES = [0, -1.5, true, null, '', 'äöü\u2028😀', [], {}, { a: [1, { b: 'c' }] }];

for (const serialization of ['json', 'advanced'] as const) {
  describe(`a channel with ${serialization}`, () => {
    test('carries values both ways, in order', async () => {
      const one = child({ serialization });
      const answers: unknown[] = [];
      const all = new Promise<void>((resolve) => {
        one.on('message', ({ value }: { value: unknown }) => {
          if (answers.push(value) === VALUES.length) resolve();
        });
      });
      for (const value of VALUES) one.send({ type: 'echo', value });
      await all;
      assert.deepEqual(answers, VALUES);
    });

    test('carries 20 MB both ways', async () => {
      const one = child({ serialization });
      const value = 'é0123456789'.repeat(2_000_000);
      const answer = (await ask(one, { type: 'size', value })) as { length: number; value: string };
      assert.equal(answer.length, value.length);
      assert(answer.value === value);
    });

    test('as an element of stdio, wherever it stands', async () => {
      for (const at of [1, 3, 5]) {
        const stdio = ['ignore', 'ignore', 'inherit', 'ignore', 'ignore', 'ignore'] as (
          | 'ignore'
          | 'inherit'
          | 'ipc'
        )[];
        stdio[at] = 'ipc';
        const one = spawn(process.execPath, [CHILD], { stdio, serialization, env: environment() });
        started.push(one);
        const answer = await ask(one, { type: 'engine' });
        // Node takes the variable away once it has connected.
        assert.deepEqual(answer, { type: 'engine', loaded: false, channel: null });
        assert.equal(one.stdio[at], null);
        one.disconnect();
        assert.deepEqual(await exit(one), [42, null]);
      }
    });
  });
}

test('advanced carries what JSON cannot', async () => {
  const value = {
    map: new Map([[1n, new Date(0)]]),
    bytes: Buffer.from('x'),
    set: new Set([/a/g]),
  };
  const answer = (await ask(child({ serialization: 'advanced' }), { type: 'echo', value })) as {
    value: typeof value;
  };
  assert.deepEqual(answer.value.map, value.map);
  assert.deepEqual(answer.value.set, value.set);
  assert.equal(String(Buffer.from(answer.value.bytes)), 'x');
});

test('send calls back, and its value says when the channel is full', async () => {
  const one = child({ stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'] });
  await new Promise<void>((resolve, reject) => {
    const accepted = one.send({ type: 'echo', value: 1 }, (error) => {
      if (error) reject(error);
      else resolve();
    });
    assert.equal(accepted, true);
  });
  // The child does not read its channel until it has got a byte elsewhere.
  one.send({ type: 'stop reading' });
  const value = 'x'.repeat(100_000);
  let unsent = 0;
  const sent: Promise<void>[] = [];
  let accepted = true;
  for (let i = 0; accepted; i++) {
    assert(i < 1000, 'the channel takes everything');
    unsent++;
    sent.push(
      new Promise((resolve) => {
        accepted = one.send({ type: 'echo', value }, () => {
          unsent--;
          resolve();
        });
      }),
    );
  }
  assert(unsent > 0);
  (one.stdio[3] as Socket).end('!');
  await Promise.all(sent);
  assert.equal(unsent, 0);
});

describe('disconnect', () => {
  test('by the parent', async () => {
    const one = child();
    assert.equal(one.connected, true);
    assert(one.channel);
    const events: string[] = [];
    one.on('disconnect', () => events.push('disconnect'));
    one.on('exit', (code) => events.push(`exit ${code}`));
    one.on('error', (error: NodeJS.ErrnoException) => events.push(`error ${error.code}`));
    one.disconnect();
    assert.equal(one.connected, false);
    one.send('too late');
    // Not `close`: Node does not emit it after a disconnect() of the parent's.
    await new Promise((resolve) => one.once('exit', resolve));
    assert.deepEqual(events.sort(), ['disconnect', 'error ERR_IPC_CHANNEL_CLOSED', 'exit 42']);
    assert.equal(one.channel, null);
    one.disconnect();
    await new Promise<void>((resolve) => {
      one.send('too late', (error: NodeJS.ErrnoException | null) => {
        assert.equal(error?.code, 'ERR_IPC_CHANNEL_CLOSED');
        resolve();
      });
    });
  });

  test('by the child', async () => {
    const one = child();
    one.send({ type: 'disconnect' });
    await once(one, 'disconnect');
    assert.equal(one.connected, false);
    assert.deepEqual(await exit(one), [42, null]);
  });

  test('by the end of the child, whose last message still comes', async () => {
    const one = child();
    const events: unknown[] = [];
    one.on('message', (value) => events.push(value));
    one.on('disconnect', () => events.push('disconnect'));
    one.send({ type: 'echo', value: 'last' });
    one.send({ type: 'exit', code: 3 });
    await once(one, 'close');
    assert.deepEqual(events, [{ type: 'echo', value: 'last' }, 'disconnect']);
    assert.equal(one.exitCode, 3);
  });
});

test('the channel and the process keep the parent alive until both are unreferenced', async () => {
  const code = `
    import { fork } from '${LIBRARY}';
    const child = fork(${JSON.stringify(CHILD)}, { stdio: 'ignore' });
    child.once('spawn', () => {
      child.unref();
      child.channel.unref();
      child.channel.ref();
      child.send({ type: 'echo', value: 1 });
      child.once('message', ({ value }) => {
        console.log(JSON.stringify({ value }));
        child.channel.unref();
      });
    });`;
  const ended = await runNode(['--input-type=module', '-e', code]);
  assert.deepEqual(parse(ended), { value: 1 });
  assert.equal(ended.code, 0);
});

describe('handles', () => {
  test('a server, to the child', async () => {
    const one = child();
    const server = createServer();
    const port = await listen(server);
    assert.deepEqual(await ask(one, { type: 'server' }, server as unknown as Socket), {
      type: 'serving',
    });
    server.close();
    assert.equal(await text(connect(port, '127.0.0.1')), 'from the child');
  });

  test('a server, from the child', async () => {
    const one = child();
    const answer = message(one);
    one.send({ type: 'give server' });
    const [, handle] = await answer;
    const server = handle as Server;
    server.on('connection', (socket) => socket.end('from the parent'));
    const { port } = server.address() as AddressInfo;
    assert.equal(await text(connect(port, '127.0.0.1')), 'from the parent');
    server.close();
  });

  test('a connection, to the child', async () => {
    const one = child();
    const server = createServer((socket) => one.send({ type: 'socket', text: 'hello' }, socket));
    const client = connect(await listen(server), '127.0.0.1');
    assert.equal(await text(client), 'child got hello');
    // Node waits for the connections that it gave away.
    server.close();
    await once(server, 'close');
  });

  test('a connection, from the child', async () => {
    const one = child();
    const server = createServer((socket) => socket.end('welcome'));
    const port = await listen(server);
    const answer = message(one);
    one.send({ type: 'give socket', port });
    const [, handle] = await answer;
    assert(handle instanceof Socket);
    assert.equal(await text(handle), 'welcome');
    server.close();
  });

  test('a datagram socket, both ways', async () => {
    const one = child();
    const bound = createSocket('udp4').bind(0, '127.0.0.1');
    await once(bound, 'listening');
    const { port } = bound.address();
    await ask(one, { type: 'dgram' }, bound as unknown as Socket);
    bound.close();
    const client = createSocket('udp4');
    client.send('hello', port, '127.0.0.1');
    assert.equal(String((await once(client, 'message'))[0]), 'child got hello');

    const answer = message(one);
    one.send({ type: 'give dgram' });
    const given = (await answer)[1] as Datagrams;
    client.send('to the parent', given.address().port, '127.0.0.1');
    assert.equal(String((await once(given, 'message'))[0]), 'to the parent');
    client.close();
    given.close();
  });

  test('what cannot be carried is refused with Node’s error', () => {
    const one = child();
    for (const handle of [{}, new PassThrough(), process, 5]) {
      assert.throws(() => one.send({ type: 'socket' }, handle as unknown as Socket), {
        code: 'ERR_INVALID_HANDLE_TYPE',
      });
    }
    for (const value of [undefined, () => {}, Symbol('x')]) {
      assert.throws(() => one.send(value as unknown as string), /^TypeError/);
    }
    assert.throws(() => one.send(1n as unknown as string), TypeError);
  });
});

test('fork without a channel in stdio is refused', () => {
  assert.throws(() => fork(CHILD, { stdio: ['pipe', 'pipe', 'pipe'] }), {
    code: 'ERR_CHILD_PROCESS_IPC_REQUIRED',
  });
});
