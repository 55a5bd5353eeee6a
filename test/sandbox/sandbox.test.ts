import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fullSandbox, type Sandbox } from '../../src/controls/sandbox.js';
import { checkSandbox } from '../../src/controls/sandbox-options.js';
import {
  launch,
  type RunError,
  run,
  type SandboxSettings,
  type SpawnError,
  SYSTEM_PATHS,
  spawn,
  spawnSync,
} from '../../src/index.js';
import { ANYBODY, isRoot, without } from '../controls/isolated.js';
import { openTerminal } from '../controls/terminal.js';
import { resultInNode } from '../fixtures/in-node.js';
import { traces } from '../process/observe.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'safeexec-sandbox-')));
mkdirSync(join(folder, 'a/b'), { recursive: true });
writeFileSync(join(folder, 'a/file'), 'content', { mode: 0o755 });
writeFileSync(join(folder, 'a/b/file'), 'content');
after(() => rmSync(folder, { recursive: true }));

const shell = (script: string, sandbox: true | SandboxSettings, options = {}) =>
  run('sh', ['-c', script], { ...options, sandbox, reject: false });

test('what is wrong with a sandbox is said before anything is started', () => {
  const start = (options: object) => () => launch({ path: '/bin/true', ...options });
  for (const [options, code, pattern] of [
    [{ sandbox: 7 }, 'ERR_INVALID_ARG_TYPE', /options\.sandbox/],
    [{ sandbox: { Read: [] } }, 'ERR_INVALID_ARG_VALUE', /did you mean "read"/],
    [{ sandbox: { read: '/usr' } }, 'ERR_INVALID_ARG_TYPE', /sandbox\.read/],
    [{ sandbox: { read: [''] } }, 'ERR_INVALID_ARG_VALUE', /read\[0\]/],
    [{ sandbox: { read: ['a\0'] } }, 'ERR_INVALID_ARG_VALUE', /null bytes/],
    [{ sandbox: { write: ['/'] } }, 'ERR_INVALID_ARG_VALUE', /root directory/],
    [{ sandbox: { net: 1 } }, 'ERR_INVALID_ARG_TYPE', /sandbox\.net/],
    [{ sandbox: { tmp: 0 } }, 'ERR_OUT_OF_RANGE', /sandbox\.tmp.*>= 1 byte/],
    [{ sandbox: { processes: 0 } }, 'ERR_OUT_OF_RANGE', /sandbox\.processes/],
    [{ sandbox: { memory: 'much' } }, 'ERR_INVALID_ARG_VALUE', /sandbox\.memory/],
    [{ sandbox: true, uid: 1 }, 'ERR_INVALID_ARG_VALUE', /decided by `sandbox`/],
    [{ sandbox: {}, namespaces: {} }, 'ERR_INVALID_ARG_VALUE', /decided by `sandbox`/],
    [{ sandbox: true, cwdFd: 0 }, 'ERR_INVALID_ARG_VALUE', /leads out of a sandbox/],
    [{ sandbox: true, limits: null }, 'ERR_INVALID_ARG_TYPE', /options\.limits/],
    [{ sandbox: true, seccomp: null }, 'ERR_INVALID_ARG_TYPE', /options\.seccomp/],
    [{ sandbox: true, executor: 'direct' }, 'ERR_INVALID_ARG_VALUE', /must be image/],
  ] as const) {
    assert.throws(
      start(options),
      (error: NodeJS.ErrnoException) => error.code === code && pattern.test(error.message),
      JSON.stringify(options),
    );
  }
});

test('other options are checked beside it too, however often it was used', async () => {
  assert.equal((await shell(':', true)).exitCode, 0);
  const inSandbox = (options: object) => () =>
    launch({ path: '/bin/true', sandbox: true, ...options });
  for (const options of [{ nice: Number.NaN }, { umask: () => 0 }, { timerSlack: Infinity }]) {
    assert.throws(inSandbox(options), { code: /ERR_INVALID_ARG_TYPE|ERR_OUT_OF_RANGE/ });
  }
  const rule = (value: unknown) => ({
    syscalls: ['mkdir', 'mkdirat'],
    action: { errno: 'EDOM' },
    args: [{ index: 1, op: 'ne', value }],
  });
  const seccomp = { base: 'default', rules: [rule(0n)] };
  assert.match((await shell('mkdir /tmp/x', true, { seccomp })).stderr, /out of domain/);
  assert.throws(inSandbox({ seccomp: { ...seccomp, rules: [rule('0n')] } }), /options\.seccomp/);
});

test('programs of the system run, and see what they may', async () => {
  const { stdout, stderr } = await shell('ls /; hostname; ls /proc | grep -c "^[0-9]"; pwd', true);
  assert.equal(stderr, '');
  const lines = stdout.trim().split('\n');
  assert.deepEqual(
    ['usr', 'proc', 'dev', 'tmp', 'home', 'root', 'var'].map((name) => lines.includes(name)),
    [true, true, true, true, false, false, false],
  );
  // The first process of the namespace, and those of the pipe.
  assert.ok(Number(lines.at(-2)) <= 4);
  assert.deepEqual([lines.at(-3), lines.at(-1)], ['sandbox', '/']);
});

test('what may be read and written, nested either way', async () => {
  const script = `cd ${folder}; cat a/file a/b/file; echo x > a/new; echo x > a/b/new; ls ${tmpdir()}`;
  const outer = await shell(script, {
    read: ['/usr', join(folder, 'a')],
    write: [join(folder, 'a/b')],
  });
  assert.match(outer.stderr, /a\/new: Read-only file system/);
  assert.match(outer.stdout, /^contentcontent/);
  assert.equal(readFileSync(join(folder, 'a/b/new'), 'utf8'), 'x\n');
  const inner = await shell(script, {
    read: ['/usr', join(folder, 'a/b')],
    write: [join(folder, 'a')],
  });
  assert.match(inner.stderr, /a\/b\/new: Read-only file system/);
  assert.equal(readFileSync(join(folder, 'a/new'), 'utf8'), 'x\n');
});

test('the working directory is kept if it can be seen', async () => {
  const before = process.cwd();
  process.chdir(join(folder, 'a'));
  try {
    assert.equal((await shell('pwd', { read: ['/usr'], write: ['.'] })).stdout, `${folder}/a\n`);
    assert.equal((await shell('pwd', true)).stdout, '/\n');
    assert.equal((await shell('pwd', true, { cwd: '/usr' })).stdout, '/usr\n');
  } finally {
    process.chdir(before);
  }
  const { error } = await shell('pwd', true, { cwd: folder });
  assert.deepEqual([error?.code, error?.step], ['ENOENT', 'chdir']);
});

test('all of the files, read-only', async () => {
  const script = `cat ${process.execPath} | head -c 1 | wc -c; touch /etc/x; touch /tmp/x && ls /tmp`;
  const { stdout, stderr } = await shell(script, { read: ['/'] });
  assert.match(stderr, /\/etc\/x'?: Read-only file system/);
  assert.equal(stdout, '1\nx\n');
  const points = await shell('cat /proc/self/mounts', { read: ['/'] });
  for (const line of points.stdout.trim().split('\n')) {
    assert.match(line, / r[ow],nosuid/);
    // Those of /dev are meant to be opened.
    if (!/^\S+ \/dev\//.test(line)) assert.match(line, / r[ow],nosuid,nodev/);
  }
});

test('the network is this machine’s only if that is asked for', async () => {
  const script = 'cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d " "';
  assert.equal((await shell(script, true)).stdout, 'lo\n');
  const names = (await shell(script, { net: true })).stdout.trim().split('\n');
  for (const name of Object.keys(networkInterfaces())) assert.ok(names.includes(name), name);
});

test('standard streams have their names: a terminal, a file, nothing', (t) => {
  const script = 'echo out > /dev/stdout && echo err > /dev/stderr && cat < /dev/stdin';
  const file = join(folder, 'stream');
  let master: number;
  let terminal: number;
  try {
    ({ master, terminal } = openTerminal());
  } catch (error) {
    return t.skip(`no terminal can be had: ${(error as Error).message}`);
  }
  const log = openSync(file, 'a');
  const stdio = ['ignore', terminal, log] as const;
  const { status } = spawnSync('sh', ['-c', script], { sandbox: true, stdio });
  for (const fd of [master, terminal, log]) closeSync(fd);
  assert.deepEqual([status, readFileSync(file, 'utf8')], [0, 'err\n']);
});

test('/tmp has a size, or is not there', async () => {
  const full = await shell('head -c 2000000 /dev/zero > /tmp/x', { tmp: '1MiB' });
  assert.match(full.stderr, /No space left/);
  assert.match((await shell('ls -d /tmp', { tmp: false })).stderr, /No such file/);
});

test('it has no capabilities, gains no privileges, and dumps no core', async () => {
  const { stdout } = await shell('cat /proc/self/status /proc/self/limits', true);
  assert.match(stdout, /^CapEff:\t0{16}$/m);
  assert.match(stdout, /^CapBnd:\t0{16}$/m);
  assert.match(stdout, /^NoNewPrivs:\t1$/m);
  assert.match(stdout, /^Seccomp:\t2$/m);
  assert.match(stdout, /^Max core file size +0 +0/m);
  assert.match(stdout, /^Max processes +1024 +1024/m);
});

test('its limit of processes is not above what is allowed here', {
  skip: without('prlimit'),
}, () => {
  const through = ['prlimit', '--nproc=400:400'];
  const stdout = resultInNode(
    `const { stdout, stderr } = await run('sh', ['-c', 'cat /proc/self/limits'], { sandbox: true, cwd: '/' });
     console.log(JSON.stringify(stdout));`,
    { through: isRoot ? [...through, ...ANYBODY] : through },
  );
  assert.match(String(stdout), /^Max processes +400 +400/m);
});

test('limits and another filter of one’s own', async () => {
  const rules = [{ syscalls: ['mkdir', 'mkdirat'], action: { errno: 'EDOM' } }];
  const { stdout, stderr } = await shell(
    'grep -E "core|open files" /proc/self/limits; mkdir /tmp/x',
    true,
    {
      limits: { nofile: 77 },
      seccomp: { base: 'default', rules },
    },
  );
  assert.match(stdout, /^Max core file size +0 /m);
  assert.match(stdout, /^Max open files +77 +77/m);
  assert.match(stderr, /Numerical argument out of domain/);
});

test('all forms have it, and it says what is in force', async () => {
  const child = spawn('/bin/true', [], { sandbox: true, stdio: 'ignore' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.ok(child.sandbox?.namespaces.includes('user'));
  assert.deepEqual([child.sandbox?.seccomp, child.sandbox?.net], [true, false]);
  assert.ok(child.sandbox?.files.includes('root'));
  assert.equal(spawn('/bin/true').sandbox, null);
  assert.ok((await shell(':', true)).sandbox?.namespaces.includes('user'));
  const failed = await run('false', [], { sandbox: true }).catch((error: RunError) => error);
  assert.equal(failed.sandbox?.seccomp, true);
  const launched = launch({ path: '/bin/true', sandbox: { net: true } });
  assert.equal(launched.sandbox?.net, true);
  assert.equal((await launched.exited)?.exitCode, 0);
  const waited = spawnSync('hostname', { sandbox: true, encoding: 'utf8' });
  assert.equal(waited.stdout, 'sandbox\n');
  assert.equal(waited.sandbox?.net, false);
  assert.ok(!('sandbox' in spawnSync('/bin/true')));
});

test('the exit is the program’s own, and signals reach it', async () => {
  assert.equal((await shell('exit 7', true)).exitCode, 7);
  assert.equal((await shell('kill -SEGV $$', true)).signal, 'SIGSEGV');
  const child = spawn(
    'sh',
    ['-c', 'trap "exit 5" TERM; echo ready; while :; do sleep 0.01; done'],
    {
      sandbox: true,
    },
  );
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [5, null]);
});

test('what fails names its step and its path, and leaves nothing behind', async () => {
  const before = traces();
  const start = (sandbox: SandboxSettings, file = '/bin/true') =>
    new Promise<SpawnError>((resolve, reject) => {
      const child = spawn(file, [], { sandbox, stdio: 'ignore' });
      child.on('error', resolve);
      child.on('exit', () => reject(new Error('it ran')));
    });
  const missing = await start({ read: ['/usr', '/no/such/path'] });
  assert.deepEqual([missing.code, missing.step], ['ENOENT', 'bind']);
  assert.match(missing.message, /\/no\/such\/path/);
  const hidden = await start({}, join(folder, 'a/file'));
  assert.deepEqual([hidden.code, hidden.step], ['ENOENT', 'exec']);
  assert.deepEqual(traces(), before);
});

/** Runs code where no namespaces can be made: a filter refuses them. */
function withoutNamespaces(code: string, through: readonly string[] = []): unknown {
  const rules = [{ syscalls: ['unshare'], action: { errno: 'EPERM' } }];
  const seccomp = { default: 'allow', rules };
  return resultInNode(
    `
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(code)}], {
      seccomp: ${JSON.stringify(seccomp)},
      env: { ...process.env, LIBRARY: ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)} },
    });
    process.stdout.write(stdout);`,
    { through },
  );
}

/** A sandbox as it is where Landlock has an older ABI. */
function older(abi: number, settings: SandboxSettings = {}): Sandbox {
  const checked = checkSandbox({ sandbox: settings });
  assert.ok(checked !== null);
  return fullSandbox(checked, { abi });
}

test('what only Landlock denies is said where the kernel lacks it', () => {
  const missing = (abi: number, settings?: SandboxSettings): string =>
    older(abi, settings).inForce.missing.join('\n');
  assert.match(missing(0), /opened anew, to write to them: .* needs Linux 5\.13/);
  assert.doesNotMatch(missing(1), /opened anew/);
  assert.match(missing(2), /truncated: .* needs Linux 6\.2/);
  assert.doesNotMatch(missing(5), /Linux/);
  const weaker = { net: true, bestEffort: true };
  assert.match(missing(5, weaker), /abstract sockets .* needs Linux 6\.12/);
  for (const all of [missing(5, { net: true }), missing(6, weaker)]) {
    assert.doesNotMatch(all, /Linux/);
  }
});

test('what Landlock has no scopes for, a filter denies', async () => {
  assert.equal(older(6, { net: true }).filter, undefined);
  const script = `
    const net = require('node:net');
    const { spawn } = require('node:child_process');
    const said = [];
    for (const pid of [0, process.pid]) {
      try { process.kill(pid, 0); said.push('signalled'); } catch (e) { said.push(e.code); }
    }
    const child = spawn('cat', { stdio: ['ignore', 'pipe', 'ignore'] });
    child.on('exit', (code) => {
      said.push(code);
      const server = net.createServer().on('error', (e) => console.log(...said, e.code));
      server.listen('\\0safeexec-' + process.pid, () => { console.log(...said, 'listens'); server.close(); });
    });`;
  const said = async (settings: SandboxSettings): Promise<string> => {
    const seccomp = older(5, settings).filter;
    return (await run(process.execPath, ['-e', script], { seccomp, cwd: '/' })).stdout.trim();
  };
  // What it starts has pipes of libuv, which are socket pairs.
  assert.equal(await said({}), 'EPERM signalled 0 listens');
  assert.equal(await said({ net: true }), 'EPERM signalled 0 EAFNOSUPPORT');
  assert.equal(await said({ net: true, bestEffort: true }), 'EPERM signalled 0 listens');
});

describe('with the best that there is', () => {
  const sandbox = { bestEffort: true };

  test('no option is left out', async () => {
    const execFd = openSync('/bin/echo', 'r');
    const program = await run('echo', ['by descriptor'], { sandbox, execFd });
    assert.equal(program.stdout, 'by descriptor\n');
    closeSync(execFd);
    const { error } = await run('true', [], { sandbox, cgroup: '/no/such/group', reject: false });
    assert.deepEqual([error?.code, error?.step], ['ENOENT', 'cgroup']);
  });

  test('what other options have refused does not weaken it', async (t) => {
    let master: number;
    let terminal: number;
    try {
      ({ master, terminal } = openTerminal());
    } catch (error) {
      return t.skip(`no terminal can be had: ${(error as Error).message}`);
    }
    const child = spawn('true', [], {
      ...{ sandbox, setsid: true, controllingTerminal: 3 },
      stdio: ['ignore', 'ignore', 'ignore', terminal],
    });
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.ok(child.sandbox?.namespaces.includes('user'));
    for (const fd of [master, terminal]) closeSync(fd);
  });
});

describe('where there are no namespaces', () => {
  test('somebody without privileges has the rest', { skip: !isRoot && 'takes root' }, () => {
    const result = withoutNamespaces(
      `
      const { run } = await import(process.env.LIBRARY);
      const options = { sandbox: { bestEffort: true }, cwd: '/', reject: false };
      const script = 'exec grep -E "^(Cap|NoNewPrivs)" /proc/self/status';
      const { stdout, stderr } = await run('/bin/sh', ['-c', script], options);
      const hidden = await run('cat', ['/etc/hostname'], options);
      console.log(JSON.stringify([stdout, stderr + hidden.stderr]));`,
      ANYBODY,
    ) as [string, string];
    assert.match(result[0], /^CapPrm:\t0{16}$/m);
    assert.match(result[0], /^CapAmb:\t0{16}$/m);
    assert.match(result[0], /^NoNewPrivs:\t1$/m);
    assert.match(result[1], /hostname.*Permission denied/);
  });

  test('no socket leads outside, also with a filter of one’s own', async () => {
    const path = join(folder, 'socket');
    const server = createServer((socket) => socket.end());
    server.listen(path);
    await once(server, 'listening');
    const settings = { read: ['/'], write: [folder], bestEffort: true };
    const result = withoutNamespaces(`
      const { run } = await import(process.env.LIBRARY);
      const sandbox = ${JSON.stringify(settings)};
      const connect = (to) => "require('node:net').connect(" + JSON.stringify(to) + ").on('connect', () => { console.log('connected'); process.exit(); }).on('error', (e) => console.log(e.code))";
      const to = async (address, options) =>
        (await run(process.execPath, ['-e', connect(address)], { ...options, reject: false })).stdout.trim();
      const seccomp = { default: 'allow' };
      const path = ${JSON.stringify(path)};
      console.log(JSON.stringify([
        await to({ path }, {}),
        await to({ path }, { sandbox }),
        await to({ path }, { sandbox, seccomp }),
        await to({ port: 1, host: '127.0.0.1' }, { sandbox, seccomp }),
        await to({ path }, { sandbox: { ...sandbox, net: true } }),
      ]));`);
    server.close();
    assert.deepEqual(result, ['connected', 'EACCES', 'EACCES', 'EACCES', 'connected']);
  });

  test('the launch fails, unless the best is good enough', () => {
    const settings = {
      read: [...SYSTEM_PATHS, dirname(dirname(process.execPath)), join(folder, 'a')],
      write: [folder],
    };
    const result = withoutNamespaces(`
      const { run, spawn } = await import(process.env.LIBRARY);
      const existing = (await import('node:fs')).existsSync;
      const settings = ${JSON.stringify(settings)};
      settings.read = settings.read.filter(existing);
      const refused = await run('true', [], { sandbox: settings, reject: false });
      const sandbox = { ...settings, bestEffort: true };
      const script = 'touch ${folder}/there; cat /etc/shadow /proc/1/environ; ls ${tmpdir()}; while read -r line; do case $line in NoNew*) echo $line;; esac; done < /proc/self/status';
      const shell = await run('sh', ['-c', script], { sandbox, reject: false });
      const connect = "require('node:net').connect(1, '127.0.0.1').on('error', (e) => console.log(e.code))";
      const node = await run(process.execPath, ['-e', connect], { sandbox, reject: false });
      const child = spawn('true', { sandbox });
      console.log(JSON.stringify({
        refused: [refused.error.code, refused.error.step],
        stdout: shell.stdout, stderr: shell.stderr,
        connect: node.stdout.trim(),
        inForce: child.sandbox,
      }));`) as Record<string, unknown> & { inForce: { missing: string[]; namespaces: string[] } };
    assert.deepEqual(result.refused, ['EPERM', 'user namespace']);
    assert.match(String(result.stdout), /NoNewPrivs:\s1/);
    assert.match(String(result.stderr), /shadow.*Permission denied/);
    assert.match(String(result.stderr), /environ.*Permission denied/);
    assert.match(String(result.stderr), /ls: .*Permission denied/);
    assert.equal(result.connect, 'EACCES');
    assert.ok(realpathSync(join(folder, 'there')));
    assert.deepEqual(result.inForce.namespaces, []);
    assert.match(result.inForce.missing.join(), /no namespaces: .*EPERM/);
    const below = join(folder, 'a');
    assert.ok(result.inForce.missing.includes(`${below} can be written to, being below what can`));
  });
});
