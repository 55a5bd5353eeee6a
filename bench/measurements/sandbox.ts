import { spawn as spawnNode } from 'node:child_process';
import { lstatSync, readlinkSync } from 'node:fs';
import { spawn } from '../../src/index.js';
import { PROGRAM, type Times, WARM_UP } from '../launching.js';
import { atMost, type Measurement } from '../measurement.js';
import { alternate } from '../sample.js';

/**
 * A sandbox around /bin/true, against bubblewrap with the same namespaces, root, /proc, /dev and
 * /tmp: ours has Landlock and a system call filter besides, bubblewrap is started by Node.
 */
export const sandbox: Measurement = {
  name: 'sandbox',
  share: 1,
  async run({ budget }) {
    const what = `a sandbox with ${PROGRAM} in it, to exit seen`;
    try {
      await bubblewrap();
    } catch (error) {
      return [{ what, skipped: `no bubblewrap: ${(error as Error).message}` }];
    }
    const schedule = { budget, block: 5, warmUp: WARM_UP };
    const [mine, theirs] = await alternate([ours, bubblewrap], schedule);
    const ratio = mine.total.median / theirs.total.median;
    return [
      {
        what,
        sides: ['safeexec', 'bwrap'],
        unit: 'us',
        ours: mine.total.median,
        theirs: theirs.total.median,
        target: atMost(ratio, 1 / 3, "a third of bubblewrap's time"),
        details: { ours: mine.total.summary, bwrap: theirs.total.summary },
      },
    ];
  },
};

const ours = (): Promise<Times> =>
  timed(() => spawn(PROGRAM, [], { stdio: 'ignore', sandbox: { read: ['/usr'] } }));

const LINKS = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'].flatMap((name) => {
  const path = `/${name}`;
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  return stat.isSymbolicLink()
    ? ['--symlink', readlinkSync(path), path]
    : ['--ro-bind', path, path];
});

const ARGUMENTS = [
  ...['--unshare-all', '--unshare-user', '--die-with-parent', '--hostname', 'sandbox'],
  ...['--ro-bind', '/usr', '/usr', ...LINKS, '--proc', '/proc', '--dev', '/dev'],
  ...['--tmpfs', '/tmp', '--cap-drop', 'ALL', PROGRAM],
];

const bubblewrap = (): Promise<Times> =>
  timed(() => spawnNode('bwrap', ARGUMENTS, { stdio: 'ignore' }));

function timed(start: () => Pick<ReturnType<typeof spawnNode>, 'once'>): Promise<Times> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = start();
    const hold = (performance.now() - began) * 1e3;
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve({ hold, total: (performance.now() - began) * 1e3 });
      else reject(new Error(`it ended with ${code}`));
    });
  });
}
