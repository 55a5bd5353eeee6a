import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { landlockSupport } from '../../src/controls/landlock-abi.js';
import {
  type RunOptions,
  run,
  type SandboxSettings,
  SYSTEM_PATHS,
  spawn,
  spawnSync,
} from '../../src/index.js';
import { F_SETFD } from '../../src/plan/constants.js';
import { engine } from '../../src/process/engine.js';
import { without } from '../controls/isolated.js';
import { openTerminal } from '../controls/terminal.js';
import { pidsOf, until } from '../process/observe.js';
import { ESCAPES, type Escape, type Outside } from './escapes.js';

const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;
const base = mkdtempSync(join(tmpdir(), 'safeexec-escape-'));
const at = (name: string): string => join(base, name);
const programs = [...SYSTEM_PATHS, dirname(dirname(process.execPath))].filter((path) =>
  existsSync(path),
);
const sandbox: SandboxSettings = { read: [...programs, at('read-only')], write: [at('writable')] };

let outside: Outside;
const servers: Server[] = [];
let datagrams: Socket;

async function listening(where: object | string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.on('error', () => {});
  server.listen(where as object);
  await once(server, 'listening');
  servers.push(server);
  return server;
}

before(async () => {
  for (const name of ['outside', 'read-only', 'writable']) mkdirSync(at(name));
  writeFileSync(at('outside/secret'), 'secret');
  writeFileSync(at('outside/program'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(at('read-only/file'), 'content');
  if (isRoot) {
    copyFileSync('/usr/bin/id', at('read-only/setuid'));
    chmodSync(at('read-only/setuid'), 0o4755);
    // So that a user who is not root meets permissions that would let him.
    chmodSync(base, 0o755);
    for (const name of ['outside', 'outside/secret', 'read-only', 'read-only/file', 'writable']) {
      chmodSync(at(name), 0o777);
      chownSync(at(name), NOBODY, NOBODY);
    }
  }
  const tcp = await listening({ host: '127.0.0.1', port: 0 });
  datagrams = createSocket('udp4', (_, { port }) => datagrams.send('pong', port, '127.0.0.1'));
  datagrams.bind(0, '127.0.0.1');
  await once(datagrams, 'listening');
  const abstract = `safeexec-escape-${process.pid}`;
  await listening({ path: `\0${abstract}` });
  await listening({ path: at('outside/socket') });
  chmodSync(at('outside/socket'), 0o777);
  const fd = openSync(at('outside/secret'), 'r');
  // As a library that does not know of close-on-exec has it.
  engine().kernel.call('fcntl', fd, F_SETFD, 0);
  outside = {
    secret: at('outside/secret'),
    folder: at('outside'),
    readOnly: at('read-only'),
    writable: at('writable'),
    datagrams: datagrams.address().port,
    port: (tcp.address() as { port: number }).port,
    abstract,
    socket: at('outside/socket'),
    pid: process.pid,
    fd,
  };
});

after(() => {
  for (const server of [...servers, datagrams]) server.close();
  rmSync(base, { recursive: true });
});

async function attempt(script: string, options: RunOptions): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, ['-e', script], {
    ...options,
    cwd: '/',
    reject: false,
  });
  return `${stdout}${stderr}`.trim();
}

describe('what a sandbox refuses, and what would be done without it', { concurrency: 2 }, () => {
  for (const { name, needs, script } of ESCAPES) {
    test(name, { skip: lack(needs) }, async () => {
      const text = script(outside);
      const given: RunOptions = needs === 'terminal' ? { stdio: withTerminal() } : {};
      assert.match(await attempt(text, { ...given, sandbox }), /^refused/);
      const bare: RunOptions = needs === 'fd' ? { stdio: inherited() } : given;
      assert.match(await attempt(text, bare), /escaped/);
    });
  }

  test('connect to an abstract socket, where it has the network', async () => {
    const { script } = ESCAPES.find(
      ({ name }) => name === 'connect to an abstract socket',
    ) as Escape;
    const withNet = { ...sandbox, net: true };
    assert.match(await attempt(script(outside), { sandbox: withNet }), /^refused/);
    const { script: byPort } = ESCAPES.find(({ name }) => name === 'connect by TCP') as Escape;
    assert.match(await attempt(byPort(outside), { sandbox: withNet }), /escaped/);
  });

  test('signal its process group, in which is who started it', async (t) => {
    // Two that nobody else in the group minds.
    const seen: string[] = [];
    const note = (signal: string): unknown => seen.push(signal);
    process.on('SIGWINCH', note);
    t.after(() => process.off('SIGWINCH', note));
    const escaped = once(process, 'SIGURG');
    const signal = (name: string) =>
      `try { process.kill(0, '${name}') } catch {} console.log('ran')`;
    assert.equal(await attempt(signal('SIGWINCH'), { sandbox }), 'ran');
    assert.equal(await attempt(signal('SIGURG'), {}), 'ran');
    await escaped;
    assert.deepEqual(seen, []);
  });

  test('a set-user-ID program that a user may run', { skip: !isRoot }, async () => {
    const { stdout } = await asNobody(`
      const { run } = await import(LIBRARY);
      for (const sandbox of [${JSON.stringify(sandbox)}, undefined]) {
        const { stdout } = await run(${JSON.stringify(at('read-only/setuid'))}, ['-u'], { sandbox });
        console.log(stdout.trim());
      }`);
    assert.deepEqual(stdout.trim().split('\n'), [String(NOBODY), '0']);
  });
});

/** Why an attempt cannot be made here; false if it can. */
function lack(needs: Escape['needs']): string | false {
  if (needs === 'root' || needs === 'terminal') return !isRoot && 'it takes root to prepare this';
  return needs === 'perl' && without('perl');
}

let opened: ReturnType<typeof openTerminal> | undefined;
function withTerminal(): RunOptions['stdio'] {
  opened ??= openTerminal();
  return ['pipe', 'pipe', 'pipe', opened.terminal];
}
after(() => {
  if (opened !== undefined) for (const fd of Object.values(opened)) closeSync(fd);
});

test('a file that it is given to read is not opened anew to write to it', {
  skip: landlockSupport().abi < 3 && 'it takes Landlock of Linux 6.2',
}, async () => {
  const file = at('outside/given');
  writeFileSync(file, 'content', { mode: 0o666 });
  const script = `
    const fs = require('node:fs');
    const acts = [
      () => fs.closeSync(fs.openSync('/proc/self/fd/0', 'r+')),
      () => fs.closeSync(fs.openSync('/dev/stdin', 'a')),
      () => fs.truncateSync('/proc/self/fd/0', 0),
    ];
    for (const act of acts) try { act(); console.log('escaped'); } catch (e) { console.log('refused', e.code); }`;
  const given = async (options: RunOptions): Promise<string> => {
    const fd = openSync(file, 'r');
    try {
      return await attempt(script, { ...options, stdio: [fd, 'pipe', 'pipe'] });
    } finally {
      closeSync(fd);
    }
  };
  assert.match(await given({ sandbox }), /^(refused EACCES\s*){3}$/);
  assert.equal(readFileSync(file, 'utf8'), 'content');
  assert.match(await given({}), /^(escaped\s*){3}$/);
});

test('it does not slow down its process group outside', async (t) => {
  if (spawnSync('renice', ['--version']).status !== 0) return t.skip('there is no renice(1)');
  // A group of its own, for none of it could be undone.
  const { stdout } = await asNobody(
    `
    const { run } = await import(LIBRARY);
    const { getPriority } = await import('node:os');
    const before = getPriority();
    for (const sandbox of [${JSON.stringify(sandbox)}, undefined]) {
      await run('renice', ['-n', String(before + 1), '-g', '0'], { sandbox, cwd: '/', reject: false });
      console.log(getPriority() - before);
    }`,
    { detached: true },
  );
  assert.match(stdout, /^0\n[1-9]\d*\n$/);
});

/** The descriptor that is to be kept, given on purpose. */
function inherited(): RunOptions['stdio'] {
  const stdio: (number | 'pipe' | 'ignore')[] = ['pipe', 'pipe', 'pipe'];
  while (stdio.length < outside.fd) stdio.push('ignore');
  return [...stdio, outside.fd];
}

const library = new URL('../../src/index.js', import.meta.url).href;

/** Runs a module as a user who is nobody, if this is root. */
function asNobody(code: string, options: RunOptions = {}) {
  const ids = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  const source = `const LIBRARY = ${JSON.stringify(library)};${code}`;
  return run(process.execPath, ['--input-type=module', '-e', source], {
    ...options,
    ...ids,
    cwd: '/',
  });
}

describe('what a sandbox does not let get out of hand', () => {
  const bomb = `
    const { spawn } = require('node:child_process');
    let started = 0, refused = 0;
    for (let i = 0; i < 40; i++) {
      const child = spawn('/bin/sleep', ['600'], { stdio: 'ignore' });
      child.on('error', () => {});
      if (child.pid === undefined) refused++; else { started++; child.unref(); }
    }
    console.log(JSON.stringify({ started, refused }));
    process.kill(0, 'SIGKILL');`;

  test('processes', async () => {
    const settings = { ...sandbox, processes: 30 };
    const limited = await asNobody(`
      const { run } = await import(LIBRARY);
      const script = ${JSON.stringify(bomb)};
      for (const sandbox of [${JSON.stringify(settings)}, undefined]) {
        const { stdout } = await run(process.execPath, ['-e', script], { sandbox, detached: true, reject: false });
        console.log(stdout.trim());
      }`);
    const [inside, free] = limited.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.ok(
      inside.refused > 0 && inside.started > 0 && inside.started < 30,
      JSON.stringify(inside),
    );
    assert.deepEqual(free, { started: 40, refused: 0 });
  });

  test('memory', async () => {
    const script = `
      const all = [];
      try { for (let i = 0; i < 96; i++) all.push(Buffer.alloc(1 << 23, 1)); console.log('escaped'); }
      catch (e) { console.log('refused', e.message); }`;
    const limited = await attempt(script, { sandbox: { ...sandbox, memory: '400MiB' } });
    assert.match(limited, /refused|out of memory|allocation failed/i);
    assert.doesNotMatch(limited, /escaped/);
    assert.match(await attempt(script, {}), /escaped/);
  });

  test('what is left behind ends with the program', async () => {
    const script = 'setsid sleep 600 >/dev/null 2>&1 & exit 0';
    const leftBehind = (marker: string) => pidsOf(marker).length;
    // The sleep of each has a number of its own, by which it is found.
    const [inside, bare] = ['612345.1', '612345.2'] as const;
    const start = (marker: string, options: RunOptions) =>
      run('sh', ['-c', script.replace('600', marker)], { ...options, stdio: 'ignore' });
    await start(inside, { sandbox });
    assert.equal(leftBehind(inside), 0);
    await start(bare, {});
    await until('it is there', () => leftBehind(bare) === 1);
    for (const pid of pidsOf(bare)) process.kill(pid, 'SIGKILL');
  });

  test('nothing of it outlives the process that started it', async () => {
    const marker = '612345.3';
    const parent = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      `const { spawn } = await import(${JSON.stringify(library)});
       const script = 'setsid sleep ${marker} & echo ready; wait';
       const child = spawn('sh', ['-c', script], { sandbox: ${JSON.stringify(sandbox)} });
       child.stdout.pipe(process.stdout);`,
    ]);
    await once(parent.stdout as NodeJS.ReadableStream, 'data');
    await until('it is there', () => pidsOf(marker).length === 1);
    parent.kill('SIGKILL');
    await until('it is gone', () => pidsOf(marker).length === 0);
  });
});
