/*
 * Run in a process of its own: starts processes in every form, and prints as JSON what came of it.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { launch, run, spawn, spawnSync } from '../../src/index.js';
import type { Executor } from '../../src/launch/executor.js';
import { nameOf } from '../../src/launch/ways.js';
import { engine } from '../../src/process/engine.js';

interface Failure extends Error {
  readonly code?: string;
  readonly step?: string;
  readonly missing?: string;
}

const reason = (error: unknown): string => {
  const { name, code, step, missing, message } = error as Failure;
  return `${name} ${code} ${step ?? missing}: ${message}`;
};

async function attempt<T>(act: () => T | Promise<T>): Promise<T | string> {
  try {
    return await act();
  } catch (error) {
    return reason(error);
  }
}

const launched = (executor?: Executor) =>
  attempt(async () => (await launch({ path: '/bin/true', executor }).exited)?.exitCode);

const spawned = (options: object) =>
  attempt(
    () =>
      new Promise<number | null>((resolve, reject) => {
        spawn('/bin/true', { stdio: 'ignore', ...options })
          .on('error', reject)
          .on('exit', resolve);
      }),
  );

/** Which of these the child has: those that it was not given are foreign. */
const LOOK = `
  cd /proc/self/fd || exit
  for fd in 9 100 600; do [ -e $fd ] && echo $fd; done`;

/** Descriptors of the child where the parent's 100 and 600 are not close-on-exec; it is given 9. */
const descriptors = (executor?: Executor) =>
  attempt(() => {
    const { kernel } = engine();
    const F_DUPFD = 0;
    const source = openSync('/dev/null', 'r');
    for (const fd of [100, 600]) kernel.call('fcntl', source, F_DUPFD, fd);
    try {
      const stdio = ['ignore', 'pipe', 'ignore', ...Array(6).fill('ignore'), source] as const;
      const { stdout } = spawnSync('sh', ['-c', LOOK], { stdio: [...stdio], executor });
      return stdout?.toString().trim();
    } finally {
      for (const fd of [source, 100, 600]) closeSync(fd);
    }
  });

/** How many descriptors are open; counted without /proc. */
function open(): number {
  let count = 0;
  for (let fd = 0; fd < 1024; fd++) {
    try {
      fstatSync(fd);
      count++;
    } catch {}
  }
  return count;
}

const first = await launched();
const way = await attempt(() => {
  const { last } = engine().launcher;
  return last === undefined ? null : nameOf(last);
});
const before = open();
const result = {
  first,
  way,
  again: await launched(),
  image: await launched('image'),
  direct: await launched('direct'),
  spawned: await spawned({}),
  credentials: await spawned({ uid: process.getuid?.() }),
  run: await attempt(async () => (await run('echo', ['x'])).stdout),
  sync: await attempt(() => spawnSync('sh', ['-c', 'exit 5']).status),
  descriptors: [await descriptors(), await descriptors('direct')],
  left: open() - before,
};
console.log(JSON.stringify(result));
