/*
 * A walk through the library, to be run by a Node of another architecture: foreign-node.test.ts
 * starts it and looks at what it prints. It starts only programs that the kernel can run.
 */

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import {
  type Executor,
  LaunchError,
  launch,
  run,
  spawn,
  UnsupportedError,
} from '../../src/index.js';
import { binding } from '../../src/launch/binding.js';
import { bindingImage } from '../../src/launch/binding-image.js';
import { Kernel } from '../../src/launch/kernel.js';

async function launched(executor?: Executor) {
  const actions = [{ type: 'chdir', path: '/' }] as const;
  const argv = ['sh', '-c', 'exit 7'];
  const exit = await launch({ path: 'sh', argv, search: true, actions, executor }).exited;
  const endless = launch({ path: '/bin/sleep', argv: ['sleep', '1000'], executor });
  const sent = endless.kill('SIGTERM');
  return {
    exitCode: exit?.exitCode,
    hasUsage: (exit?.resourceUsage.maxRSS ?? 0) > 0,
    sent,
    signal: (await endless.exited)?.signal,
  };
}

function refused(executor?: Executor): unknown {
  try {
    const actions = [{ type: 'chdir', path: '/nowhere' }] as const;
    launch({ path: '/bin/true', actions, executor });
    return 'started';
  } catch (error) {
    if (error instanceof UnsupportedError) return { missing: error.missing };
    if (!(error instanceof LaunchError)) throw error;
    const { code, step, syscall, path } = error;
    return { code, step, syscall, path };
  }
}

function spawned(executor?: Executor): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const env = { VARIABLE: 'value' };
    const script = 'cat; echo "$VARIABLE $PWD" >&2; kill -9 $$';
    const child = spawn('/bin/sh', ['-c', script], { cwd: '/usr', env, executor });
    let [output, errors] = ['', ''];
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      errors += chunk;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ output, errors, code, signal }));
    child.stdin?.end('through the pipes');
  });
}

function missing(executor?: Executor): Promise<unknown> {
  return new Promise((resolve) => {
    const child = spawn('no-such-program', { executor });
    child.on('error', ({ code }: NodeJS.ErrnoException) => resolve({ code, pid: child.pid }));
  });
}

function inWorker(): Promise<unknown> {
  const index = new URL('../../src/index.js', import.meta.url).href;
  const source = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(index)})
      .then(({ launch }) => launch({ path: '/bin/false' }).exited)
      .then((exit) => parentPort.postMessage(exit.exitCode));
  `;
  return new Promise((resolve, reject) => {
    new Worker(source, { eval: true }).on('message', resolve).on('error', reject);
  });
}

const all = async (executor?: Executor) => ({
  launched: await launched(executor),
  refused: refused(executor),
  spawned: await spawned(executor),
  missing: await missing(executor),
});

const { source, machine } = binding();
const emitted = Buffer.from(bindingImage(machine).bytes);
const kernel = new Kernel(binding());
const { stdout } = await run('/bin/echo', ['run'], {});

console.log(
  JSON.stringify({
    arch: process.arch,
    isShipped: source !== 'emitted' && readFileSync(source).equals(emitted),
    isSelf: kernel.call('getpid') === process.pid,
    error: kernel.call('close', -1),
    direct: await all('direct'),
    // What is chosen here.
    chosen: await all(),
    image: refused('image'),
    stdout: String(stdout),
    worker: await inWorker(),
  }),
);
