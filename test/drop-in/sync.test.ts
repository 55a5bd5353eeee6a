import assert from 'node:assert/strict';
import * as own from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import * as ours from '../../src/index.js';
import { fixture, LIBRARY, parse, runNode, text } from './support.js';

type Options = ours.SpawnSyncOptions;
const modules = [own as unknown as typeof ours, ours] as const;
const folder = mkdtempSync(join(tmpdir(), 'safeexec-sync-'));
after(() => rmSync(folder, { recursive: true }));

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Runs the same with Node's function and with ours; gives ours, if they agree. */
function same(file: string, args: string[] = [], options: Options = {}): ours.SpawnSyncResult {
  const [reference, result] = modules.map(({ spawnSync }) => spawnSync(file, args, options));
  assert(reference && result);
  assert(result.pid > 0);
  assert.deepEqual(comparable(result), comparable(reference));
  return result;
}

/** A result without what is another one each time. */
function comparable({ error, ...rest }: ours.SpawnSyncResult): object {
  return { ...rest, pid: 0, error: error && { ...error, message: error.message } };
}

describe('input', () => {
  const inputs: [string, Options['input']][] = [
    ['nothing', undefined],
    ['an empty string', ''],
    ['a string', 'äöü\n'],
    ['a Buffer', Buffer.from('buffer')],
    ['an Uint16Array that is a part', new Uint16Array(new ArrayBuffer(10), 2, 3).fill(0x4142)],
    ['a DataView', new DataView(Uint8Array.from([1, 2, 3]).buffer, 1)],
  ];
  for (const [name, input] of inputs) {
    test(name, () => {
      same('cat', [], { input });
      same('cat', [], { input, stdio: ['pipe', 'pipe', 'inherit'] });
    });
  }

  test('5 MB through cat', () => {
    const input = randomBytes(5 << 20);
    const { stdout } = ours.spawnSync('cat', { input, maxBuffer: Infinity });
    assert.equal(sum(stdout as Buffer), sum(input));
  });

  test('a child that does not read it is no error', () => {
    assert.equal(ours.spawnSync('true', { input: randomBytes(1 << 20) }).error, undefined);
    const closing = ours.spawnSync('sh', ['-c', 'exec <&-; echo ok'], {
      input: randomBytes(1 << 20),
    });
    assert.equal(String(closing.stdout), 'ok\n');
    assert.equal(closing.error, undefined);
  });

  test('in an encoding', () => {
    same('cat', [], { input: '616263', encoding: 'hex' });
    same('cat', [], { input: 'YWJj', encoding: 'base64' });
  });
});

test('encodings of the output', () => {
  for (const encoding of ['utf8', 'latin1', 'hex', 'base64', 'utf16le', 'ascii', 'buffer', null]) {
    same('sh', ['-c', 'echo äöü; echo é >&2'], { encoding });
  }
});

describe('stdio', () => {
  test('words and arrays', () => {
    const tell = 'for i in 0 1 2 3 4 5; do [ -e /proc/self/fd/$i ] && printf "$i "; done';
    for (const stdio of [
      'pipe',
      'ignore',
      ['ignore', 'pipe', 'ignore'],
      ['pipe', 'pipe'],
      [null, undefined, null],
      ['ignore', 'pipe', 'pipe', 'pipe', 'ignore', 'pipe'],
    ] as Options['stdio'][]) {
      same('sh', ['-c', tell], { stdio });
    }
  });

  test('given as nothing it is the default', async () => {
    for (const nothing of [false, '', 0, null, undefined]) {
      const options = { stdio: nothing } as unknown as Options;
      assert.equal(String(same('echo', ['x'], options).stdout), 'x\n');
      assert.equal(await text(ours.spawn('echo', ['x'], options).stdout), 'x\n');
    }
  });

  test('overlapped is pipe; Node 20 aborts over it', () => {
    const { stdout } = ours.spawnSync('echo', ['a'], { stdio: 'overlapped' });
    assert.equal(String(stdout), 'a\n');
  });

  test('output of descriptors above 2', () => {
    const { output } = same('sh', ['-c', 'echo three >&3; echo five >&5'], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'ignore', 'pipe'],
      encoding: 'utf8',
    });
    assert.deepEqual(output, [null, '', '', 'three\n', null, 'five\n']);
  });

  test('a file’s descriptor', () => {
    const path = join(folder, 'descriptor');
    writeFileSync(path, 'from the file');
    const [read, write] = [openSync(path, 'r'), openSync(`${path}-out`, 'w')];
    const result = ours.spawnSync('cat', { stdio: [read, write, 'pipe'] });
    closeSync(read);
    closeSync(write);
    assert.deepEqual(result.output?.map(String), ['null', 'null', '']);
    assert.equal(readFileSync(`${path}-out`, 'utf8'), 'from the file');
  });

  test('inherit', async () => {
    for (const stdio of ["'inherit'", "['ignore', 1, 2]", '[0, process.stdout, process.stderr]']) {
      const code = `import { spawnSync } from '${LIBRARY}';
        const { output } = spawnSync('sh', ['-c', 'echo out; echo err >&2'], { stdio: ${stdio} });
        console.log(JSON.stringify(output));`;
      const { stdout, stderr } = await runNode(['--input-type=module', '-e', code]);
      assert.equal(stdout, 'out\n[null,null,null]\n');
      assert.equal(stderr, 'err\n');
    }
  });

  test('ipc is refused', () => {
    for (const { spawnSync } of modules) {
      assert.throws(() => spawnSync('true', { stdio: ['ipc'] }), { code: 'ERR_IPC_SYNC_FORK' });
    }
  });
});

describe('limits', () => {
  test('timeout', () => {
    const { error, signal } = same('sleep', ['600'], { timeout: 20 });
    assert.equal((error as NodeJS.ErrnoException).code, 'ETIMEDOUT');
    assert.equal(signal, 'SIGTERM');
    same('sleep', ['600'], { timeout: 20, killSignal: 'SIGKILL' });
    same('sleep', ['600'], { timeout: 20, killSignal: 10 });
  });

  test('timeout of a child that closed its pipes', () => {
    same('sh', ['-c', 'exec sleep 600 >&- 2>&- <&-'], { timeout: 100 });
  });

  test('maxBuffer', () => {
    for (const maxBuffer of [1, 4]) {
      const { error } = same('sh', ['-c', 'printf 12345; exec sleep 600'], { maxBuffer });
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOBUFS');
    }
    same('printf', ['12345'], { maxBuffer: 5 });
    // Of all the output together; and nothing is no limit.
    same('sh', ['-c', 'printf 1234; printf 123 >&2; exec sleep 600'], { maxBuffer: 5 });
    for (const maxBuffer of [0, undefined, Infinity]) {
      same('head', ['-c', '3000000', '/dev/zero'], { maxBuffer });
    }
  });

  test('output of 50 MB', () => {
    const command = 'head -c 52428800 /dev/zero';
    assert.equal((ours.execSync(command, { maxBuffer: Infinity }) as Buffer).length, 50 << 20);
    assert.throws(() => ours.execSync(command), { code: 'ENOBUFS' });
  });
});

describe('results', () => {
  test('status and signal', () => {
    assert.equal(same('sh', ['-c', 'exit 3']).status, 3);
    assert.equal(same('sh', ['-c', 'kill -9 $$']).signal, 'SIGKILL');
    same('sh', ['-c', 'kill -USR1 $$']);
    same('env', [], { env: { A: '1', B: 'two words' }, encoding: 'utf8' });
    same('pwd', [], { cwd: '/usr', encoding: 'utf8' });
    same('echo $0 "$HOME"', [], { shell: true, encoding: 'utf8' });
    same('sh', ['-c', 'echo $0'], { argv0: 'other', encoding: 'utf8' });
  });

  test('execSync and execFileSync give the output', () => {
    for (const { execSync, execFileSync } of modules) {
      assert.equal(execSync('echo "a  b"', { encoding: 'utf8' }), 'a  b\n');
      assert.deepEqual(execFileSync('echo', ['a']), Buffer.from('a\n'));
      assert.equal(execFileSync('true', { stdio: 'ignore' }), null);
      assert.equal(execSync('read x; echo $x', { input: 'in\n', encoding: 'latin1' }), 'in\n');
    }
  });

  test('a grandchild that keeps the output open is waited for, as by Node', () => {
    const { stdout, status } = same('sh', ['-c', '(read x; echo late) <&3 & exit 3'], {
      // The grandchild goes on when its input ends, which is when the pipe to it is closed.
      stdio: ['ignore', 'pipe', 'pipe', openSync('/dev/null', 'r')],
    });
    assert.equal(String(stdout), 'late\n');
    assert.equal(status, 3);
    // With a timeout it is not waited for longer; it loses its output.
    const limited = ours.spawnSync('sh', ['-c', 'sleep 600 & echo $!'], { timeout: 300 });
    process.kill(Number(limited.stdout), 'SIGKILL');
    assert.equal((limited.error as NodeJS.ErrnoException).code, 'ETIMEDOUT');
  });
});

describe('afterwards', () => {
  test('no zombies, and no descriptor more than before', async () => {
    const ended = await runNode([fixture('sync-descriptors.js'), LIBRARY, 'leaks']);
    assert.deepEqual(parse(ended), { descriptors: 0, children: 0 });
  });

  test('waiting takes no processor time', async () => {
    const ended = await runNode([fixture('sync-descriptors.js'), LIBRARY, 'idle']);
    const { milliseconds } = parse<{ milliseconds: number }>(ended);
    assert(milliseconds < 100, `${milliseconds} ms`);
  });

  test('the event loop goes on as before, also of children that run meanwhile', async () => {
    const child = ours.spawn('echo', ['a']);
    const exit = new Promise((resolve) => child.once('exit', resolve));
    for (let i = 0; i < 3; i++) assert.equal(ours.spawnSync('true').status, 0);
    assert.equal(await exit, 0);
  });
});
