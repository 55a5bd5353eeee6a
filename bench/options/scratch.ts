import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from '../root.js';

/** Files and directories that the programs use. */
export interface Scratch {
  readonly path: string;
  readonly perl: string;
  readonly probe: string;
  /** A control group of version 2, or an empty string if there can be none. */
  readonly group: string;
  remove(): void;
}

export function makeScratch(): Scratch {
  const path = mkdtempSync(join(tmpdir(), 'safeexec-options-'));
  // Users without privileges are to see it.
  chmodSync(path, 0o777);
  const probe = join(path, 'probe.pl');
  copyFileSync(join(ROOT, 'bench/options/programs/probe.pl'), probe);
  for (const folder of ['folder', 'target', 'root']) mkdirSync(join(path, folder));
  writeFileSync(join(path, 'folder/file'), 'third');
  writeFileSync(join(path, 'leak'), '');
  writeFileSync(join(path, 'secret'), '');
  writeFileSync(join(path, 'filter'), denyMkdir());
  const perl = '/usr/bin/perl';
  fillRoot(join(path, 'root'), perl, probe);
  const group = makeGroup(path);
  return {
    path,
    perl,
    probe,
    group,
    remove() {
      rmSync(path, { recursive: true, force: true });
      if (group !== '') rmdirSync(group);
    },
  };
}

/** A root with perl, its libraries and the probe. */
function fillRoot(root: string, perl: string, probe: string): void {
  for (const folder of ['proc', 'dev', 'tmp']) mkdirSync(join(root, folder));
  writeFileSync(join(root, 'inside'), '');
  const libraries = execFileSync('ldd', [perl], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  for (const file of [perl, ...[...libraries].map(([, library]) => library as string)]) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
  copyFileSync(probe, join(root, 'probe.pl'));
}

/** A seccomp program, as struct sock_filter: mkdir or mkdirat gives EPERM, all else is allowed. */
function denyMkdir(): Buffer {
  const mkdir = arch() === 'arm64' ? 34 : 83;
  const [load, equal, give] = [0x20, 0x15, 0x06];
  const [allow, refuse] = [0x7fff0000, 0x00050001];
  const program = [
    [load, 0, 0, 0],
    [equal, 0, 1, mkdir],
    [give, 0, 0, refuse],
    [give, 0, 0, allow],
  ];
  const bytes = Buffer.alloc(program.length * 8);
  for (const [i, [code = 0, jt = 0, jf = 0, k = 0]] of program.entries()) {
    bytes.writeUInt16LE(code, i * 8);
    bytes.writeUInt8(jt, i * 8 + 2);
    bytes.writeUInt8(jf, i * 8 + 3);
    bytes.writeUInt32LE(k, i * 8 + 4);
  }
  return bytes;
}

function makeGroup(path: string): string {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const mount = mounts.find((line) => / - cgroup2 /.test(line))?.split(' ')[4];
  if (mount === undefined) return '';
  const group = join(mount, path.slice(path.lastIndexOf('/') + 1));
  try {
    mkdirSync(group);
  } catch {
    return '';
  }
  return group;
}
