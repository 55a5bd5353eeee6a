import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunError, type RunOptions, run } from '../../src/index.js';
import { children, until } from './observe.js';

const sh = (command: string, options?: RunOptions) => run('/bin/sh', ['-c', command], options);

/** The RunError of a run that fails. */
async function failure(promise: Promise<unknown>): Promise<RunError> {
  const error = await promise.then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RunError, String(error));
  return error;
}

test('the fields of a result', async () => {
  const result = await sh('echo out; echo err >&2');
  const { durationMs, resourceUsage, ...rest } = result;
  assert.deepEqual(rest, {
    command: "/bin/sh -c 'echo out; echo err >&2'",
    stdout: 'out\n',
    stderr: 'err\n',
    exitCode: 0,
    signal: null,
    timedOut: false,
    sandbox: null,
    cgroup: null,
  });
  assert.ok(durationMs > 0 && (resourceUsage?.maxRSS ?? 0) > 0);
});

test('arguments may be left out', async () => {
  assert.equal((await run('true')).exitCode, 0);
  assert.equal((await run('pwd', { cwd: '/' })).stdout, '/\n');
  assert.equal((await run('pwd', undefined, { cwd: '/' })).stdout, '/\n');
});

test('input, of text and of bytes; none is an empty one', async () => {
  const big = 'x'.repeat(1_000_000);
  assert.equal((await run('/bin/cat', [], { input: big })).stdout, big);
  const bytes = Uint8Array.of(0, 255, 10);
  const { stdout } = await run('/bin/cat', [], { input: bytes, encoding: 'buffer' });
  assert.deepEqual(stdout, Buffer.from(bytes));
  assert.equal((await run('/bin/cat')).stdout, '');
});

test('input that nobody reads is no error', async () => {
  assert.equal((await run('/bin/true', [], { input: 'x'.repeat(1_000_000) })).exitCode, 0);
});

test('encodings', async () => {
  assert.equal((await sh('printf ä', { encoding: 'hex' })).stdout, 'c3a4');
  assert.equal((await sh('printf ä', { encoding: 'latin1' })).stdout, 'Ã¤');
  const parts = 'i=0; while [ $i -lt 200 ]; do printf "\\303"; printf "\\244"; i=$((i+1)); done';
  assert.equal((await sh(parts)).stdout, 'ä'.repeat(200));
});

test('an exit code other than 0 is an error, which has the result', async () => {
  const error = await failure(sh('echo out; echo err >&2; exit 3', { cwd: '/' }));
  assert.equal(error.message.split(':')[0], 'Command failed with exit code 3');
  assert.deepEqual(
    [error.name, error.code, error.exitCode, error.signal, error.stdout, error.stderr],
    ['RunError', 3, 3, null, 'out\n', 'err\n'],
  );
  assert.deepEqual([error.cwd, error.step, error.timedOut], ['/', undefined, false]);
  assert.ok(error.message.endsWith(error.command));
});

test('a signal is an error', async () => {
  const error = await failure(sh('kill -9 $$'));
  assert.deepEqual([error.exitCode, error.signal, error.code], [null, 'SIGKILL', null]);
});

test('with reject: false every end is a result', async () => {
  const failed = await sh('echo out; exit 4', { reject: false });
  assert.deepEqual([failed.stdout, failed.exitCode], ['out\n', 4]);
  assert.ok(failed.error instanceof RunError);
  assert.equal((await sh('exit 0', { reject: false })).error, undefined);
  const missing = await run('/no/such', [], { reject: false });
  assert.deepEqual([missing.exitCode, missing.signal, missing.resourceUsage], [null, null, null]);
  assert.equal(missing.error?.code, 'ENOENT');
});

test('a program that is not there', async () => {
  const error = await failure(run('no-such-program', ['a b']));
  assert.deepEqual([error.code, error.step, error.exitCode], ['ENOENT', 'exec', null]);
  assert.equal(error.command, "no-such-program 'a b'");
  assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
  const directory = await failure(run('true', [], { cwd: '/no/such' }));
  assert.deepEqual([directory.code, directory.step], ['ENOENT', 'chdir']);
});

test('what spawn throws arrives as a rejection', async () => {
  await assert.rejects(run('true', ['x'.repeat(131072)]), { code: 'E2BIG' });
  await assert.rejects(run('true', [], { stdio: [9999] }), { code: 'EBADF' });
});

test('maxBuffer: no byte too many, and the process is ended', async () => {
  const fits = await sh('printf 12345', { maxBuffer: 5 });
  assert.equal(fits.stdout, '12345');
  for (const redirect of ['', '>&2']) {
    const error = await failure(
      sh(`while :; do echo 1234567 ${redirect}; done`, { maxBuffer: 20 }),
    );
    assert.equal(error.code, 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER');
    assert.equal(redirect === '' ? error.stdout : error.stderr, '1234567\n1234567\n1234');
    assert.ok(error.message.includes('maxBuffer'), error.message);
    assert.equal(error.signal, 'SIGTERM');
    assert.equal(error.timedOut, false);
  }
});

test('timeout', async () => {
  const error = await failure(run('/bin/sleep', ['1000'], { timeout: 5 }));
  assert.deepEqual([error.timedOut, error.signal], [true, 'SIGTERM']);
  const killed = await failure(run('/bin/sleep', ['1000'], { timeout: 5, killSignal: 'SIGKILL' }));
  assert.deepEqual([killed.timedOut, killed.signal], [true, 'SIGKILL']);
  const result = await run('/bin/true', [], { timeout: 100_000 });
  assert.equal(result.timedOut, false);
});

test('a process that ends in an orderly way upon its timeout has timed out all the same', async () => {
  // A signal that by default does nothing.
  const options = { timeout: 1, killSignal: 'SIGWINCH' } as const;
  const error = await failure(run('/bin/sleep', ['0.3'], options));
  assert.deepEqual([error.timedOut, error.exitCode, error.signal], [true, 0, null]);
});

test('an AbortSignal', async () => {
  const controller = new AbortController();
  const promise = run('/bin/sleep', ['1000'], { signal: controller.signal });
  controller.abort('enough');
  const error = await failure(promise);
  assert.deepEqual([error.code, error.signal], ['ABORT_ERR', 'SIGTERM']);
  assert.equal((error.cause as Error).cause, 'enough');
  const early = await failure(run('/bin/sleep', ['1000'], { signal: AbortSignal.abort() }));
  assert.equal(early.code, 'ABORT_ERR');
});

test('outputTimeout does not wait for a grandchild that keeps the output open', async () => {
  const { stdout, exitCode } = await sh('sleep 1000 & echo $!', { outputTimeout: 20 });
  assert.equal(exitCode, 0);
  process.kill(Number(stdout), 'SIGKILL');
});

test('a run leaves no process', async () => {
  await Promise.all(Array.from({ length: 20 }, (_, i) => sh(`exit ${i}`, { reject: false })));
  await until('all are reaped', () => ![...children().values()].includes('Z'));
});

test('an argument that is wrong is refused before anything is started', async () => {
  const wrong: [RunOptions, string, RegExp][] = [
    [{ input: 7 as never }, 'ERR_INVALID_ARG_TYPE', /input/],
    [{ encoding: 'utf-9' as never }, 'ERR_INVALID_ARG_VALUE', /encoding/],
    [{ maxBuffer: -1 }, 'ERR_OUT_OF_RANGE', /maxBuffer/],
    [{ maxBuffer: Number.NaN }, 'ERR_OUT_OF_RANGE', /maxBuffer/],
    [{ outputTimeout: -1 }, 'ERR_OUT_OF_RANGE', /outputTimeout/],
    [{ reject: 1 as never }, 'ERR_INVALID_ARG_TYPE', /reject/],
    [{ timeout: -1 }, 'ERR_OUT_OF_RANGE', /timeout/],
    [{ nonsense: 1 } as never, 'ERR_INVALID_ARG_VALUE', /nonsense/],
    [{ Input: 'x' } as never, 'ERR_INVALID_ARG_VALUE', /"input"/],
  ];
  for (const [options, code, message] of wrong) {
    await assert.rejects(run('/bin/true', [], options), { code, message });
  }
});

test('the standard streams may be taken away', async () => {
  const { stdout, stderr } = await sh('echo x', { stdio: 'ignore' });
  assert.deepEqual([stdout, stderr], ['', '']);
  const { stdout: only } = await sh('cat; echo x >&2', {
    stdio: ['pipe', 'pipe', 'ignore'],
    input: 'in',
  });
  assert.equal(only, 'in');
});
