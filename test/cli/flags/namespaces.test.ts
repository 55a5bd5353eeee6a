import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { readControls } from '../../../src/cli/flags/index.js';
import { noUserNamespaces as skip, without } from '../../controls/isolated.js';
import { cli, MAIN } from '../cli.js';

test('flags are the options of their names', () => {
  const { namespaces, mounts, root } = readControls({
    ...{ 'unshare-pid': true, 'unshare-net': true, hostname: 'box', 'map-user': '0' },
    ...{ 'map-groups': ['0:100:5', '9:200:1'], boottime: '-2.5', join: ['ipc=7'] },
    ...{ bind: ['/b/c:/d/e/f'], 'ro-bind': ['/usr'], tmpfs: ['/d'], proc: ['/proc'] },
    mount: [
      'overlay,lower=/a:/b,target=/o',
      'mkdir,target=/m,mode=1777',
      'bind,source=/s,optional,nosuid=false',
    ],
    ...{ root: '/r', 'root-read-only': true },
  });
  assert.deepEqual(namespaces, {
    pid: true,
    network: true,
    user: {
      uid: 0,
      gidMap: [
        { inside: 0, outside: 100, size: 5 },
        { inside: 9, outside: 200, size: 1 },
      ],
    },
    uts: { hostname: 'box' },
    time: { boottime: -2.5 },
    ipc: { join: 7 },
  });
  // Of flags that say nothing of an order, the higher directories come first.
  assert.deepEqual(mounts, [
    { type: 'bind', source: '/usr', readOnly: true },
    { type: 'tmpfs', target: '/d' },
    { type: 'proc', target: '/proc' },
    { type: 'bind', source: '/b/c', target: '/d/e/f' },
    { type: 'overlay', lower: ['/a', '/b'], target: '/o' },
    { type: 'mkdir', target: '/m', mode: 0o1777 },
    { type: 'bind', source: '/s', optional: true, nosuid: false },
  ]);
  assert.deepEqual(root, { path: '/r', readOnly: true });
  assert.deepEqual(readControls({ 'tmpfs-root': true }).root, { type: 'tmpfs' });
  assert.deepEqual(
    readControls({ 'tmpfs-root': true, 'tmpfs-root-size': '1MiB', 'tmpfs-root-mode': '0700' }).root,
    { type: 'tmpfs', size: '1MiB', mode: 0o700 },
  );
  assert.deepEqual(readControls({ root: '/r', 'root-nosuid': true, 'root-nodev': true }).root, {
    ...{ path: '/r', nosuid: true, nodev: true },
  });
  assert.deepEqual(readControls({ chroot: '/c' }).root, { path: '/c', type: 'chroot' });
  assert.deepEqual(Object.keys(readControls({ 'unshare-all': true }).namespaces ?? {}), [
    ...['user', 'mount', 'pid', 'network', 'ipc', 'uts', 'cgroup'],
  ]);
});

test('what is wrong with them: 2, and a message', async () => {
  for (const [flags, message] of [
    [['--join', 'net=3'], /KIND=FD, KIND being one of user, mount, pid, network/],
    [['--join', 'uts=3', '--hostname', 'x'], /excludes the settings/],
    [['--map-users', '0:1'], /INSIDE:OUTSIDE:SIZE/],
    [['--map-user', 'root'], /--map-user wants a number/],
    [['--map-user', '-1'], /Did you forget|out of range|ambiguous/],
    [['--root', '/', '--chroot', '/'], /one root/],
    [['--chroot', '/', '--root-read-only'], /--root-read-only is for --root and --tmpfs-root/],
    [['--tmpfs-root', '--root-nodev'], /--root-nodev is for --root/],
    [['--root', '/', '--tmpfs-root-size', '1MiB'], /--tmpfs-root-size is for --tmpfs-root/],
    [['--tmpfs-root', '--tmpfs-root-mode', '8'], /octal/],
    [['--mount', 'tmpfs,target=/x,mode=9'], /octal/],
    [['--mount', 'floppy,target=/x'], /must be one of: bind/],
    [['--tmpfs', 'x'], /absolute path/],
  ] as const) {
    const { code, stderr } = await cli(['run', ...flags, 'true']);
    assert.equal(code, 2, flags.join(' '));
    assert.match(stderr, message, flags.join(' '));
  }
});

const SYSTEM = ['/usr', '/bin', '/lib', '/lib64'].map(
  (path) => `--mount=bind,source=${path},optional`,
);

test('run: in namespaces and a root of its own', { skip }, async () => {
  const flags = ['--unshare-all', '--map-user', '7', '--hostname', 'box', '--tmpfs-root'];
  const script = 'id -u; uname -n; echo /*; exit 9';
  const command = ['sh', '-c', script];
  const { code, stdout, stderr } = await cli(['run', ...flags, ...SYSTEM, ...command]);
  assert.deepEqual([code, stderr], [9, '']);
  assert.match(stdout, /^7\nbox\n(\/(bin|lib|lib64|usr) ?)+\n$/);
});

test('run: a namespace that is joined', { skip }, () => {
  const fd = openSync('/proc/self/ns/uts', 'r');
  try {
    const argv = [MAIN, 'run', '--unshare-user', '--join', 'network=3', 'true'];
    // Without rights in the user namespace that it belongs to.
    const { status, stderr } = spawnWith(fd, argv);
    assert.deepEqual([status, /join namespace/.test(stderr)], [125, true]);
  } finally {
    closeSync(fd);
  }
});

function spawnWith(fd: number, argv: readonly string[]) {
  try {
    const stdio = ['ignore', 'pipe', 'pipe', fd] as const;
    execFileSync(process.execPath, argv, { stdio: [...stdio], encoding: 'utf8' });
    return { status: 0, stderr: '' };
  } catch (error) {
    return error as { status: number; stderr: string };
  }
}

test('doctor: what forbids user namespaces', { skip: without('unshare') || skip }, () => {
  const forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"';
  const through = ['--user', '--map-root-user', 'sh', '-c', forbid];
  const output = execFileSync('unshare', [...through, process.execPath, MAIN, 'doctor', '--json'], {
    encoding: 'utf8',
  });
  const { findings } = JSON.parse(output) as { findings: { name: string; reason: string }[] };
  const reason = findings.find(({ name }) => name === 'user namespaces')?.reason;
  assert.equal(reason, 'ENOSPC: user namespace (unshare) failed; user.max_user_namespaces is 0');
});

test('doctor agrees with the options', { skip }, async () => {
  const { stdout } = await cli(['doctor', '--json']);
  const { findings } = JSON.parse(stdout) as { findings: { name: string; ok: boolean }[] };
  assert.equal(findings.find(({ name }) => name === 'user namespaces')?.ok, true);
});
