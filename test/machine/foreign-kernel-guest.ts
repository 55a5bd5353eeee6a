/*
 * What emulation of a process alone cannot show, in a machine with a kernel of its own:
 * foreign-kernel.test.ts boots it, and looks at the line that this prints.
 */

import { readFileSync } from 'node:fs';
import { LaunchError, launch, run, spawn, spawnSync } from '../../src/index.js';
import { engine } from '../../src/process/engine.js';

const BUSYBOX = '/bin/busybox';
const CHILDREN = 60;

/** Children that still share this memory when the next is made: each has to say its own word. */
async function beside() {
  const { kernel, inFlight, launcher } = engine();
  let [sharers, garbled] = [0, 0];
  const ends: Promise<void>[] = [];
  for (let i = 0; i < CHILDREN; i++) {
    const word = `word ${i} `.repeat(60);
    const child = spawn(BUSYBOX, ['echo', word], { env: { I: `${i}` } });
    if (kernel.load(inFlight.sharing + kernel.memory.wordSize) === child.pid) sharers++;
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    ends.push(
      new Promise((resolve) => {
        child.on('close', (code) => {
          if (code !== 0 || output !== `${word}\n`) garbled++;
          resolve();
        });
      }),
    );
    if (i % 10 === 9) await Promise.all(ends);
  }
  await Promise.all(ends);
  return { sharers, garbled, way: launcher.last };
}

function refused() {
  try {
    launch({ path: BUSYBOX, executor: 'image', actions: [{ type: 'chdir', path: '/nowhere' }] });
    return 'started';
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    const { code, step, syscall, path } = error;
    return { code, step, syscall, path };
  }
}

/** The longest string, and one byte more. */
function longest(pageSize: number) {
  const start = (size: number) => {
    const { status, error } = spawnSync(BUSYBOX, ['true', 'x'.repeat(size)]);
    return (error as NodeJS.ErrnoException | undefined)?.code ?? status;
  };
  return [start(32 * pageSize - 1), start(32 * pageSize)];
}

async function ended(executor: 'image' | 'direct') {
  const path = BUSYBOX;
  const exited = await launch({ path, argv: ['sh', '-c', 'exit 7'], executor }).exited;
  const endless = launch({ path, argv: ['sleep', '1000'], executor });
  endless.kill('SIGTERM');
  return [exited?.exitCode, (await endless.exited)?.signal, engine().launcher.last?.image];
}

const smaps = readFileSync('/proc/self/smaps', 'latin1');
const pageSize = 1024 * Number(/^KernelPageSize: +(\d+) kB/m.exec(smaps)?.[1]);
const show =
  'id -u; id -g; id -G; umask; ulimit -n; grep -E "^(NoNewPrivs|Seccomp):" /proc/self/status';
const controlled = await run(BUSYBOX, ['sh', '-c', show], {
  ...{ uid: 1234, gid: 100_000, groups: [7, 3_000_000_000], umask: 0o27 },
  ...{ noNewPrivileges: true, seccomp: 'default', limits: { nofile: { soft: 100, hard: 200 } } },
});
const inNamespaces = await run(BUSYBOX, ['sh', '-c', 'echo $$; hostname'], {
  namespaces: { user: true, pid: true, ipc: true, network: true, uts: { hostname: 'inner' } },
});

console.log(
  JSON.stringify({
    arch: process.arch,
    pageSize,
    image: await ended('image'),
    direct: await ended('direct'),
    refused: refused(),
    beside: await beside(),
    longest: longest(pageSize),
    controlled: controlled.stdout.split(/\s+/),
    inNamespaces: inNamespaces.stdout,
  }),
);
