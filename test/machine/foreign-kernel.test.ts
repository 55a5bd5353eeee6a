import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { soak } from '../soak.js';
import { foreign } from './foreign.js';
import { RootArchive } from './root-archive.js';

/*
 * The library in a Node of another architecture, on that architecture's own kernel: qemu emulates
 * the whole machine. So what qemu's user mode does not have is here: images started from a memfd by
 * execveat(2), CLONE_PIDFD, children that share their parent's memory and the word that the kernel
 * clears (clone(2) takes its address as another argument than on x64), other pages than of 4 KiB.
 *
 * What this cannot show is a processor that reorders memory accesses as it may: qemu keeps the
 * order of this one. docs/porting.md says why nothing rests on more than the kernel's own barriers.
 */

const build = fileURLToPath(new URL('../..', import.meta.url));

interface Computer {
  readonly arch: string;
  /** The folder of its Node, and that of its kernel and its busybox. */
  readonly node: string;
  readonly qemu: readonly string[];
  readonly console: string;
  /** Of the kernel that scripts/install-foreign-nodes.sh fetches. */
  readonly pageSize: number;
}

const ARM64: Computer = {
  ...{ arch: 'arm64', node: 'arm64', console: 'ttyAMA0', pageSize: 16384 },
  qemu: ['qemu-system-aarch64', '-cpu', 'max,pauth-impdef=on'],
};
const OTHERS: readonly Computer[] = [
  {
    ...{ arch: 'arm', node: 'armv7l', console: 'ttyAMA0', pageSize: 4096 },
    qemu: ['qemu-system-arm', '-cpu', 'cortex-a15'],
  },
  {
    ...{ arch: 'riscv64', node: 'riscv64', console: 'ttyS0', pageSize: 4096 },
    qemu: ['qemu-system-riscv64'],
  },
];

const INIT = `#!/bin/busybox sh
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t tmpfs tmp /tmp
exec >/dev/console 2>&1
/usr/bin/node /safeexec/test/machine/smoke.js
/usr/bin/node /safeexec/test/machine/foreign-kernel-guest.js
poweroff -f
`;
const COMMANDS = ['sh', 'cat', 'echo', 'true', 'false', 'sleep', 'mount', 'poweroff'];

function writeRoot(path: string, { arch, node }: Computer): void {
  const root = new RootArchive();
  for (const folder of ['bin', 'dev', 'proc', 'tmp']) root.directory(folder);
  root.file('init', INIT);
  root.file('bin/busybox', readFileSync(join(foreign, 'kernels', arch, 'busybox')));
  for (const name of COMMANDS) root.link(`bin/${name}`, 'busybox');
  for (const folder of ['etc', 'lib', 'usr']) {
    root.tree(folder, join(foreign, node, folder), (name) => !/\/(doc|man|locale)$/.test(name));
  }
  root.directory('safeexec');
  root.file('safeexec/package.json', '{"type":"module"}');
  root.tree('safeexec/src', join(build, 'src'));
  root.directory('safeexec/test');
  root.tree('safeexec/test/machine', join(build, 'test/machine'));
  writeFileSync(path, root.bytes());
}

/** Boots a kernel with a root file system, and gives what comes from its console. */
async function boot(computer: Computer, root: string, signal: AbortSignal): Promise<string> {
  const [file = '', ...options] = computer.qemu;
  const kernel = join(foreign, 'kernels', computer.arch, 'kernel');
  // Only what is an emergency is told on the console too: it would be among the results.
  const line = `console=${computer.console} rdinit=/init loglevel=1 panic=-1`;
  const args = [
    ...['-M', 'virt', ...options, '-smp', '2', '-m', '1536', '-nographic', '-nic', 'none'],
    ...['-no-reboot', '-kernel', kernel, '-initrd', root, '-append', line],
  ];
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const qemu = spawn(file, args, { stdio: [...stdio], signal, killSignal: 'SIGKILL' });
  let output = '';
  qemu.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  await new Promise((resolve, reject) => qemu.on('error', reject).on('close', resolve));
  return output;
}

function unusable({ arch, node, qemu: [qemu = ''] }: Computer): string | false {
  const script = 'scripts/install-foreign-nodes.sh';
  if (spawnSync(qemu, ['--version']).error !== undefined) {
    return `${qemu} is missing: install qemu-system-arm, qemu-system-misc`;
  }
  if (!existsSync(join(foreign, node, 'usr/bin/node'))) return `no Node for ${arch}: ${script}`;
  const kernel = join(foreign, 'kernels', arch, 'kernel');
  return !existsSync(kernel) && `${kernel} is not there: ${script} ${arch} fetches it`;
}

for (const computer of [ARM64, ...OTHERS]) {
  const { arch, pageSize } = computer;
  const short = computer !== ARM64 && !soak && 'a boot of this machine is part of npm run soak';
  test(`a kernel for ${arch}`, { skip: short || unusable(computer) }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'safeexec-kernel-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const root = join(folder, 'root.cpio');
    writeRoot(root, computer);
    const output = await boot(computer, root, t.signal);
    const lines = output.split('\n').filter((line) => /^\{.*\}\s*$/.test(line));
    assert.equal(lines.length, 2, output);
    const [smoke, guest] = lines.map((line) => JSON.parse(line));

    const { direct, ...rest } = smoke;
    assert.deepEqual(rest, {
      ...{ arch, isShipped: true, isSelf: true, error: -9, stdout: 'run\n', worker: 1 },
      // With images, in whole.
      chosen: direct,
      image: { code: 'ENOENT', step: 'chdir', syscall: 'chdir', path: '/nowhere' },
    });
    assert.deepEqual(direct.launched, {
      ...{ exitCode: 7, hasUsage: true, sent: true, signal: 'SIGTERM' },
    });

    const { beside, ...found } = guest;
    assert.deepEqual(found, {
      ...{ arch, pageSize },
      image: [7, 'SIGTERM', 'memfd'],
      direct: [7, 'SIGTERM', null],
      refused: { code: 'ENOENT', step: 'chdir', syscall: 'chdir', path: '/nowhere' },
      longest: [0, 'E2BIG'],
      controlled: [
        ...['1234', '100000', '100000', '7', '3000000000', '0027', '100'],
        ...['NoNewPrivs:', '1', 'Seccomp:', '2', ''],
      ],
      inNamespaces: '2\ninner\n',
    });
    const { sharers, garbled, way } = beside;
    assert.deepEqual(way, { executor: 'image', image: 'memfd' });
    assert.equal(garbled, 0);
    assert.ok(sharers > 0, 'children share the memory of their parent while it goes on');
  });
}
