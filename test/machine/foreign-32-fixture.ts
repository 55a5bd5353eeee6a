// Runs inside of a Node for another machine, and writes what it found as one line of JSON.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { launch, run, spawn, spawnSync } from '../../src/index.js';
import { binding } from '../../src/launch/binding.js';
import type { Executor } from '../../src/launch/executor.js';
import { Kernel } from '../../src/launch/kernel.js';
import { LoadedProgram } from '../../src/launch/loaded-program.js';
import { ProgramBuilder } from '../../src/program/builder.js';

const folder = process.argv[2] as string;
const current = binding();
const kernel = new Kernel(current);
const { wordSize } = current.machine;

/** A system call of six arguments: the second page of a file, mapped. */
function mapSecondPage(): string {
  const path = join(folder, 'pages');
  const fd = openSync(path, 'w+');
  writeSync(fd, 'page', 4096);
  const PROT_READ = 1;
  const MAP_PRIVATE = 2;
  const address = kernel.call('mmap', 0, 4096, PROT_READ, MAP_PRIVATE, fd, 1) >>> 0;
  closeSync(fd);
  const word = kernel.load(address);
  return Buffer.from(Uint32Array.of(word).buffer).toString();
}

/** A function of six arguments, of which the last two are passed otherwise than the first. */
function createFunction(): { status: number; created: boolean } {
  const b = new ProgramBuilder(wordSize);
  const status = b.words(-1);
  const created = b.words(0);
  const env = kernel.memory.word(wordSize); // as the binding left it for this callback
  const code = current.functions.get('run') as number;
  b.call('napi_create_function', [env, 0, 0, code, 0, created], { result: status });
  b.halt();
  const loaded = new LoadedProgram(current, b.build());
  loaded.run();
  const { memory } = loaded;
  return {
    status: memory.signedWord(loaded.at(status)),
    created: memory.word(loaded.at(created)) !== 0,
  };
}

const errorOf = async (start: () => unknown) => {
  try {
    await start();
    return null;
  } catch (error) {
    const { code, step } = error as { code?: string; step?: string };
    return { code, step };
  }
};

async function launches(executor: Executor | undefined) {
  const sh = (script: string, ...args: string[]) =>
    ({ path: '/bin/sh', argv: ['sh', '-c', script, ...args], executor }) as const;
  const big = join(folder, 'big');
  const fd = openSync(big, 'w');
  ftruncateSync(fd, 3 * 2 ** 30);
  closeSync(fd);

  const exited = await launch(sh('exit 7')).exited;
  const ended = await launch(sh('kill -TERM $$')).exited;
  const open = { type: 'open', fd: 9, path: big } as const;
  const read = launch({ ...sh('exec 8<&9'), actions: [open] });
  const child = spawn('/bin/sh', ['-c', 'echo "$0 $X"; pwd; cat', 'zero'], {
    env: { X: 'yes' },
    cwd: '/',
    executor,
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  child.stdin?.end('input');
  const code = await new Promise((resolve) => child.once('close', resolve));
  return {
    exited: exited?.exitCode,
    rss: exited?.resourceUsage.maxRSS,
    ended: ended?.signal,
    big: (await read.exited)?.exitCode,
    missing: await errorOf(() => launch({ path: '/nonexistent', executor })),
    directory: await errorOf(() =>
      launch({ ...sh('x'), actions: [{ type: 'chdir', path: '/nonexistent' }] }),
    ),
    spawned: { code, output },
    // 2^32 seconds and a moment: cut to a word of 32 bits that would be the moment.
    patient: spawnSync('/bin/sh', ['-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'], {
      timeout: 2 ** 32 * 1000 + 3,
      executor,
    }).status,
    ran: (await run('echo', ['one'], { executor })).stdout,
    refused: await errorOf(() => run('false', [], { executor })),
  };
}

const inWorker = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { run } = await import(workerData);
  parentPort.postMessage((await run('echo', ['worker'])).stdout);`;

const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(inWorker)}`), {
  workerData: new URL('../../src/index.js', import.meta.url).href,
});
const fromWorker = await new Promise((resolve, reject) => {
  worker.once('message', resolve);
  worker.once('error', reject);
});
const pages = mapSecondPage();
const result = {
  arch: process.arch,
  shipped: current.source.endsWith('.node'),
  pid: kernel.call('getpid') === process.pid,
  closed: kernel.call('close', 99999),
  pages,
  function: createFunction(),
  fromWorker,
  executors: Object.fromEntries(
    await Promise.all(
      // What is chosen here: images, but not under qemu 7.2, which has no execveat(2).
      (['direct', undefined] as const).map(
        async (executor) => [executor ?? 'chosen', await launches(executor)] as const,
      ),
    ),
  ),
};
console.log(JSON.stringify(result));
