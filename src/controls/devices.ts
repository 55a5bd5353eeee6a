import type { Mount } from './mount-options.js';

type DeviceEntry =
  | (Mount & { readonly type: 'bind' | 'symlink' | 'mkdir' })
  /** Pseudoterminals of its own: devpts. */
  | { readonly type: 'devpts'; readonly target: string; readonly options: string };

const FILES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

const LINKS = {
  stdin: '/proc/self/fd/0',
  stdout: '/proc/self/fd/1',
  stderr: '/proc/self/fd/2',
  fd: '/proc/self/fd',
  core: '/proc/kcore',
  ptmx: 'pts/ptmx',
};

/** What a minimal /dev consists of, in a file system that is empty at first. */
export function devices(target: string): DeviceEntry[] {
  return [
    ...FILES.map((name): DeviceEntry => {
      // Without the right to make device files these are the host's own.
      const source = `/dev/${name}`;
      return { type: 'bind', source, target: `${target}/${name}`, nodev: false, noexec: true };
    }),
    { type: 'mkdir', target: `${target}/shm`, mode: 0o1777 },
    { type: 'mkdir', target: `${target}/pts` },
    { type: 'devpts', target: `${target}/pts`, options: 'newinstance,ptmxmode=0666,mode=620' },
    ...Object.entries(LINKS).map(
      ([name, to]): DeviceEntry => ({ type: 'symlink', target: `${target}/${name}`, to }),
    ),
  ];
}
