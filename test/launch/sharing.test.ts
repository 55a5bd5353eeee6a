import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

/*
 * A spawn does not wait until its child has left the memory that the two share: that is waited for
 * before this memory is used again, or freed. strace holds the children back, long enough for all
 * that a parent could do meanwhile.
 */

const source = (path: string): string => new URL(`../../src/${path}`, import.meta.url).href;
const library = source('index.js');
const skip = spawnSync('strace', ['-V']).error !== undefined && 'strace is missing';

/** How long each exec of an image is held back, in microseconds. */
const HELD = 'execveat:delay_enter=100000';

interface Run {
  readonly output: string;
  /** The calls of clone(2) that made processes, as strace writes them. */
  readonly clones: readonly string[];
}

/** Runs a script under strace. */
function runWith(script: string, ...injections: string[]): Run {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-sharing-'));
  try {
    const log = join(folder, 'log');
    const { stdout, stderr, status } = spawnSync(
      'strace',
      [
        ...['-f', '-qqq', '-o', log, '-e', 'trace=clone,execveat', '-e', 'signal=none'],
        ...injections.flatMap((injection) => ['-e', `inject=${injection}`]),
        ...[process.execPath, '--input-type=module', '-e', script],
      ],
      { encoding: 'utf8', env: { ...process.env, GREETING: 'first' } },
    );
    assert.equal(status, 0, stderr);
    const lines = readFileSync(log, 'utf8').split('\n');
    return {
      output: stdout,
      clones: lines.filter((line) => line.includes(' clone(') && !line.includes('CLONE_THREAD')),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs a script without. It is ended if it hangs. */
function run(script: string): { readonly output: string } {
  const { stdout, stderr, status, signal } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script],
    {
      encoding: 'utf8',
      env: { ...process.env, GREETING: 'first' },
      timeout: 60_000,
      killSignal: 'SIGKILL',
    },
  );
  assert.deepEqual({ status, signal }, { status: 0, signal: null }, stderr);
  return { output: stdout };
}

const START = `
import { spawn } from ${JSON.stringify(library)};
const text = async (child) => {
  let text = '';
  for await (const part of child.stdout) text += part;
  return text.trim();
};
const greet = (name) => spawn('/bin/sh', ['-c', 'echo $GREETING $0', name]);
`;

/** forget(n, …): of those children, counted from 1, that share memory, it is not told when they left. */
const UNTOLD = `
import { LoadedProgram } from ${JSON.stringify(source('launch/loaded-program.js'))};
import { CLONE_CHILD_CLEARTID, CLONE_VM } from ${JSON.stringify(source('plan/constants.js'))};
const forget = (...children) => {
  const { run } = LoadedProgram.prototype;
  let count = 0;
  LoadedProgram.prototype.run = function () {
    const { memory } = this;
    for (let at = 0; at + 4 <= memory.bytes.length; at += memory.wordSize) {
      const flags = memory.int32(at);
      const shares = CLONE_VM | CLONE_CHILD_CLEARTID;
      // Flags, and no word of data: the last byte is that of SIGCHLD.
      if ((flags & 0xff) !== 17 || (flags & shares) !== shares || flags > 0xffffff) continue;
      if (children.includes(++count)) memory.setInt32(at, flags & ~CLONE_CHILD_CLEARTID);
    }
    run.call(this);
  };
};
`;

describe('a child that shares memory with a thread that goes on', { skip }, () => {
  test('gets its own arguments, and the environment of the time of its start', () => {
    const { output, clones } = runWith(
      `${START}
      const texts = [];
      for (const name of ['a', 'b', 'c', 'd']) {
        texts.push(text(greet(name)));
        process.env.GREETING = 'after ' + name;
        for (let i = 0; i < 100; i++) process.env['VARIABLE_' + name + i] = 'x'.repeat(1000);
      }
      console.log(JSON.stringify(await Promise.all(texts)));`,
      HELD,
    );
    assert.deepEqual(JSON.parse(output), ['first a', 'after a b', 'after b c', 'after c d']);
    assert.deepEqual(
      clones.map((line) => line.includes('CLONE_VFORK')),
      [true, false, false, false],
    );
  });

  test('is waited for where the outcome is asked for at once', () => {
    const { output, clones } = runWith(
      `import { launch, spawnSync } from ${JSON.stringify(library)};
      const outcomes = [];
      const args = ['-c', 'exit $0'];
      for (const code of [1, 2]) {
        const { exited } = launch({ path: '/bin/sh', argv: ['sh', ...args, String(code)] });
        outcomes.push((await exited).exitCode, spawnSync('/bin/sh', [...args, code + 2]).status);
      }
      try {
        launch({ path: '/bin/sh', cwd: '/missing' });
      } catch ({ code, step }) {
        outcomes.push(code + ' ' + step);
      }
      console.log(JSON.stringify(outcomes));`,
      HELD,
    );
    assert.deepEqual(JSON.parse(output), [1, 3, 2, 4, 'ENOENT chdir']);
    assert.ok(clones.every((line) => line.includes('CLONE_VFORK')));
  });

  test('outlives the Worker that started it, and the main thread', () => {
    const start = `
      const { spawn } = await import(${JSON.stringify(library)});
      for (const name of ['proof', 'last']) {
        spawn('/bin/sh', ['-c', 'echo ' + name], { stdio: ['ignore', 1, 'ignore'] }).unref();
      }`;
    const fill = `
      globalThis.kept = Array.from({ length: 3000 }, (_, i) => Buffer.alloc(512 + i * 8, 0x7a));`;
    const worker = `
      import { Worker } from 'node:worker_threads';
      import { once } from 'node:events';
      const run = async (code) => {
        const url = 'data:text/javascript,' + encodeURIComponent(code);
        await once(new Worker(new URL(url)), 'exit');
      };
      await run(${JSON.stringify(start)} + 'process.exit()');
      // What was freed is used again, by a thread of which malloc takes it from the same place.
      await run(${JSON.stringify(fill)});`;
    for (const script of [start, worker]) {
      const { output } = runWith(script, HELD);
      assert.deepEqual(lines(output).sort(), ['last', 'proof']);
    }
  });

  test('that cannot run its image is an error of that launch, and the next takes another way', () => {
    const { output } = runWith(
      `${START}
      import { engine } from ${JSON.stringify(source('process/engine.js'))};
      const outcome = (child) => new Promise((resolve) => {
        child.on('error', ({ code, step }) => resolve(code + ' ' + step));
        child.on('exit', (exitCode) => resolve(exitCode));
      });
      const outcomes = [await outcome(greet('a')), await outcome(greet('b'))];
      // From here on a filter refuses execveat: EACCES.
      const { kernel } = engine();
      const { scratch, scratchAddress, memory, scratchAt } = kernel;
      const filter = [
        [0x20, 0, 0, 0],
        [0x15, 0, 1, kernel.binding.machine.syscallNumber('execveat')],
        [0x06, 0, 0, 0x50000 + 13],
        [0x06, 0, 0, 0x7fff0000],
      ];
      const view = new DataView(scratch.buffer, scratch.byteOffset);
      filter.forEach(([code, jt, jf, k], i) => {
        view.setUint16(32 + i * 8, code, true);
        view.setUint8(34 + i * 8, jt);
        view.setUint8(35 + i * 8, jf);
        view.setUint32(36 + i * 8, k, true);
      });
      memory.setWord(scratchAt, filter.length);
      memory.setWord(scratchAt + memory.wordSize, scratchAddress + 32);
      const [PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER] = [38, 1];
      kernel.call('prctl', PR_SET_NO_NEW_PRIVS, 1);
      outcomes.push(kernel.call('seccomp', SECCOMP_SET_MODE_FILTER, 0, scratchAddress));
      for (const name of ['c', 'd', 'e']) outcomes.push(await outcome(greet(name)));
      console.log(JSON.stringify(outcomes));`,
    );
    assert.deepEqual(JSON.parse(output), [0, 0, 0, 'EACCES start helper', 0, 0]);
  });

  test('is waited for as long as a Worker may change the environment that is passed on', () => {
    const { output, clones } = runWith(`${START}
      import { SHARE_ENV, Worker } from 'node:worker_threads';
      const texts = [];
      const start = async (...names) => {
        for (const name of names) texts.push(await text(greet(name)));
      };
      await start('a', 'b');
      const worker = new Worker(
        "import('node:worker_threads').then(({ parentPort }) => parentPort.once('message', () => process.exit()))",
        { eval: true, env: SHARE_ENV },
      );
      await new Promise((resolve) => worker.once('online', resolve));
      await start('c');
      const own = { env: { GREETING: 'own' } };
      texts.push(await text(spawn('/bin/sh', ['-c', 'echo $GREETING'], own)));
      worker.postMessage('end');
      await new Promise((resolve) => worker.once('exit', resolve));
      await start('d');
      console.log(JSON.stringify(texts));`);
    assert.deepEqual(JSON.parse(output), ['first a', 'first b', 'first c', 'own', 'first d']);
    assert.deepEqual(
      clones.map((line) => line.includes('CLONE_VFORK')),
      [true, false, true, false, false],
    );
  });

  test('does not hold the next launch if it was stopped, and is stopped after that as before', () => {
    const { output } = run(`${START}
      import { readFileSync } from 'node:fs';
      import { setTimeout } from 'node:timers/promises';
      const state = (pid) => readFileSync('/proc/' + pid + '/stat', 'utf8').split(') ')[1][0];
      for (const name of ['a', 'b']) await text(greet(name));
      const states = new Set();
      for (let i = 0; i < 20; i++) {
        const child = spawn('/bin/sleep', ['1000']);
        child.kill('SIGSTOP');
        await text(greet('c'));
        while (state(child.pid) !== 'T') await setTimeout(1);
        child.kill('SIGKILL');
        await new Promise((resolve) => child.on('exit', (_, signal) => resolve(states.add(signal))));
      }
      console.log(...states);`);
    assert.equal(output, 'SIGKILL\n');
  });

  test('need not be one of which the kernel tells when it left: that is tried first', () => {
    const { output, clones } = runWith(
      `${START}${UNTOLD}
      forget(1, 2, 3);
      const texts = [];
      for (const name of ['a', 'b', 'c', 'd']) texts.push(await text(greet(name)));
      console.log(JSON.stringify(texts));`,
    );
    assert.deepEqual(JSON.parse(output), ['first a', 'first b', 'first c', 'first d']);
    assert.deepEqual(
      clones.map((line) => line.includes('CLONE_VFORK')),
      [true, false, true, true],
    );
  });

  test('of which the kernel does not tell does not hold the next launch when it is gone', () => {
    const { output } = run(`${START}${UNTOLD}
      // It is told of the first, so that the word is trusted, and not of the next.
      forget(2, 3);
      const texts = [];
      for (const name of ['a', 'b', 'c', 'd', 'e']) texts.push(await text(greet(name)));
      console.log(JSON.stringify(texts));`);
    assert.deepEqual(
      JSON.parse(output),
      ['a', 'b', 'c', 'd', 'e'].map((name) => `first ${name}`),
    );
  });

  test('is waited for where an emulator makes no such child', () => {
    const { output, clones } = runWith(
      `${START}
      const texts = [];
      for (const name of ['a', 'b', 'c']) texts.push(await text(greet(name)));
      console.log(JSON.stringify(texts));`,
      // The first launch is one clone, the second two.
      'clone:error=EINVAL:when=2',
    );
    assert.deepEqual(JSON.parse(output), ['first a', 'first b', 'first c']);
    assert.deepEqual(
      clones.map((line) => line.includes('CLONE_VFORK')),
      [true, false, true, true],
    );
  });
});

function lines(text: string): string[] {
  return text.trimEnd().split('\n');
}
