import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  launch,
  type Mount,
  type Namespaces,
  type Root,
  type RunOptions,
} from '../../src/index.js';
import { resultInNode } from '../fixtures/in-node.js';
import { traces } from '../process/observe.js';
import { ANYBODY, failure, inside, isRoot, noUserNamespaces, without } from './isolated.js';

const skip = noUserNamespaces;
const namespaces: Namespaces = { user: true, pid: true };

/** What programs need of this system, in an empty root. */
const SYSTEM: readonly Mount[] = [
  { type: 'bind', source: '/usr', readOnly: true },
  ...['bin', 'lib', 'lib64'].map((name): Mount => {
    return { type: 'bind', source: `/${name}`, readOnly: true, optional: true };
  }),
];
const EMPTY: Root = { type: 'tmpfs' };

/** Options with an empty root that has the system, and more. */
function box(...mounts: Mount[]): RunOptions {
  return { namespaces, root: EMPTY, mounts: [...SYSTEM, ...mounts] };
}

/** Mount points and options of each. */
const MOUNTS = 'while read -r _ _ _ _ point options _; do echo "$point $options"; done';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'safeexec-mounts-'));
  chmodSync(folder, 0o755);
  for (const name of ['one', 'two', 'work']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'one/file'), 'first');
  writeFileSync(join(folder, 'two/other'), 'second');
});
after(() => rmSync(folder, { recursive: true }));

describe('an empty root', { skip }, () => {
  test('has what is mounted, and nothing else', async () => {
    const { stdout } = { stdout: await inside('echo /*; pwd; echo /..', box({ type: 'proc' })) };
    assert.equal(stdout, '/bin /lib /lib64 /proc /usr\n/\n/..');
    const points = await inside(`${MOUNTS} < /proc/self/mountinfo`, box({ type: 'proc' }));
    const names = points.split('\n').map((line) => line.split(' ')[0]);
    const given =
      /^\/(usr|bin|lib|lib64|proc\/(sys|sysrq-trigger|irq|bus|acpi|dynamic_debug|fs|scsi))\b/;
    assert.deepEqual(
      names.filter((name) => !given.test(name as string)),
      ['/', '/proc'],
    );
    assert.match(points, /^\/usr ro,nosuid,nodev/m);
  });

  test('a process whose root is elsewhere has it as its root too', async () => {
    // The init: what it holds would be a way out.
    const script =
      'cd /proc/1/root 2>/dev/null && echo out; cd /proc/1/cwd 2>/dev/null && echo out; :';
    const options = { ...box({ type: 'proc' }), namespaces: { ...namespaces, user: { uid: 0 } } };
    assert.equal(await inside(script, options), '');
  });

  test('read-only: itself, and not what is mounted', async () => {
    const script = 'for d in / /tmp /usr; do mkdir $d/x 2>&- && echo $d; done; :';
    const mounts = [...SYSTEM, { type: 'tmpfs', target: '/tmp' } as const];
    const root: Root = { type: 'tmpfs', readOnly: true };
    assert.equal(await inside(script, { namespaces, root, mounts }), '/tmp');
    assert.equal(await inside(script, { namespaces, root: EMPTY, mounts }), '/\n/tmp');
  });

  test('sizes and modes, whatever the mask', async () => {
    const options = {
      namespaces,
      root: { type: 'tmpfs', size: '4MiB', mode: 0o750 } as const,
      mounts: [
        ...SYSTEM,
        { type: 'tmpfs', target: '/a', size: 65536, mode: 0o1777 },
        { type: 'mkdir', target: '/b/c', mode: 0o700 },
        { type: 'mkdir', target: '/b' },
        { type: 'file', target: '/b/f', content: 'Größe\n', mode: 0o640 },
        { type: 'file', target: '/b/empty', content: '' },
        { type: 'symlink', target: '/d/l', to: '../b/f' },
        { type: 'bind', source: join(folder, 'one/file'), target: '/d/e/file' },
      ] as const,
    };
    const script =
      'umask; stat -c "%n %a %F" / /a /b /b/c /b/f /b/empty /d /d/e; cat /d/l /d/e/file';
    const run = `process.umask(0o077); console.log(JSON.stringify((await run('/bin/sh',
      ['-c', ${JSON.stringify(script)}], ${JSON.stringify({ ...options, cwd: '/' })})).stdout))`;
    assert.deepEqual((resultInNode(run) as string).split('\n'), [
      '0077',
      '/ 750 directory',
      '/a 1777 directory',
      '/b 755 directory',
      '/b/c 700 directory',
      '/b/f 640 regular file',
      '/b/empty 644 regular empty file',
      '/d 755 directory',
      '/d/e 755 directory',
      'Größe',
      'first',
    ]);
    const sizes = await inside('stat -fc "%n %b %S" / /a', options);
    assert.equal(sizes, '/ 1024 4096\n/a 16 4096');
  });

  test('/dev: its devices, and no others', async () => {
    const script = `echo /dev/*; echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 1 /dev/urandom | wc -c
      [ -L /dev/fd ] && echo to fd | cat /dev/stdin; touch /dev/shm/x; ls -d /dev/pts/ptmx; (exec 3<>/dev/ptmx) && echo opened
      (echo x > /dev/full) 2>/dev/null || echo full`;
    const output = await inside(script, box({ type: 'proc' }, { type: 'dev' }));
    const names = 'core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero';
    assert.equal(
      output,
      `${names.replace(/(\w+)/g, '/dev/$1')}\n3\n1\nto fd\n/dev/pts/ptmx\nopened\nfull`,
    );
  });

  test('overlay: a directory that is written to over another', async () => {
    const [lower, upper, work] = ['one', 'two', 'work'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const overlay: Mount = { type: 'overlay', lower: [lower], upper, work, target: '/o' };
    const written = await inside('cat /o/file /o/other; echo changed > /o/file', box(overlay));
    assert.equal(written, 'firstsecond');
    assert.equal(readFileSync(join(lower, 'file'), 'utf8'), 'first');
    assert.equal(readFileSync(join(upper, 'file'), 'utf8'), 'changed\n');
    rmSync(join(upper, 'file'));
    const both: Mount = { type: 'overlay', lower: [upper, lower], target: '/o' };
    assert.equal(
      await inside('cat /o/*; (: > /o/x) 2>/dev/null || echo ro', box(both)),
      'firstsecondro',
    );
  });
});

describe('mounts in the root that is there', { skip }, () => {
  test('hide what was below them, also from the working directory', async () => {
    const options: RunOptions = {
      namespaces: { user: true },
      mounts: [{ type: 'tmpfs', target: folder }],
    };
    assert.equal(await inside(`ls ${folder} | wc -l`, options), '0');
    assert.match(readFileSync(join(folder, 'one/file'), 'utf8'), /first/);
    // The launching process stands where the child must not look.
    const code = `process.chdir(${JSON.stringify(join(folder, 'one'))});
      const { stdout } = await run('/bin/sh', ['-c', 'pwd; ls'], ${JSON.stringify(options)});
      process.chdir(${JSON.stringify(folder)});
      const { stdout: same } = await run('/bin/sh', ['-c', 'pwd; ls'], ${JSON.stringify(options)});
      console.log(JSON.stringify([stdout.split('\\n')[0], same]));`;
    assert.deepEqual(resultInNode(code), ['/', `${folder}\n`]);
  });

  test('sources are those of before the first mount', async () => {
    const options: RunOptions = {
      namespaces: { user: true },
      mounts: [
        { type: 'tmpfs', target: folder },
        { type: 'bind', source: join(folder, 'one'), readOnly: true },
        { type: 'bind', source: join(folder, 'none'), optional: true },
      ],
    };
    const script = `ls ${folder}; cat ${folder}/one/file; touch ${folder}/one/x 2>/dev/null || echo ro`;
    assert.equal(await inside(script, options), 'one\nfirstro');
  });

  test('read-only binds are so in all that is mounted below', async () => {
    const options: RunOptions = {
      namespaces: { user: true },
      mounts: [{ type: 'bind', source: '/', target: '/mnt', readOnly: true }],
    };
    const flags = await inside(`${MOUNTS} < /proc/self/mountinfo`, options);
    const below = flags.split('\n').filter((line) => line.startsWith('/mnt'));
    assert.ok(below.length > 1);
    for (const line of below) assert.match(line, /^\S+ ro,nosuid,nodev/);
  });

  test('remountReadOnly', async () => {
    const target = join(folder, 'one');
    const mounts: Mount[] = [
      { type: 'tmpfs', target },
      { type: 'file', target: join(target, 'made'), content: 'x' },
      { type: 'remountReadOnly', target },
    ];
    const script = `cat ${target}/made; touch ${target}/y 2>/dev/null || echo ro`;
    assert.equal(await inside(script, { namespaces: { user: true }, mounts }), 'xro');
  });

  test('nothing of it is seen outside', { skip: isRoot ? false : 'takes root' }, async () => {
    const earlier = readFileSync('/proc/self/mountinfo', 'utf8');
    // Without a user namespace, where only privacy keeps mounts from the others.
    await inside('true', { mounts: [{ type: 'tmpfs', target: folder }] });
    await inside('true', { root: '/', mounts: [{ type: 'tmpfs', target: folder }] });
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), earlier);
  });
});

describe('a directory as the root', { skip }, () => {
  const system = (): void => {
    for (const name of ['usr', 'bin', 'lib', 'lib64', 'proc']) {
      mkdirSync(join(folder, 'two', name), { recursive: true });
    }
  };

  test('by pivot_root(2): paths of mounts are those inside', async () => {
    system();
    const root = join(folder, 'two');
    const options: RunOptions = {
      namespaces,
      root: { path: root, readOnly: true },
      mounts: [...SYSTEM, { type: 'proc' }],
    };
    const script = 'pwd; echo /*; cat /other; touch /x 2>/dev/null || echo ro; echo $PWD';
    assert.equal(
      await inside(script, options),
      '/\n/bin /lib /lib64 /other /proc /usr\nsecondro\n/',
    );
  });

  test('what holds for all of it, and the mounts below', async () => {
    const root: Root = { path: '/', nosuid: true, nodev: true };
    const options = { namespaces, root, mounts: [{ type: 'tmpfs', target: folder } as const] };
    const points = await inside(`${MOUNTS} < /proc/self/mountinfo`, options);
    for (const line of points.split('\n')) assert.match(line, / r[ow],nosuid,nodev/);
  });

  test('a link that leads up to the root leads to the new one', async () => {
    const up = `../..${folder}`;
    const made = `${folder}/made`;
    const mounts: Mount[] = [
      { type: 'mkdir', target: folder },
      { type: 'mkdir', target: '/a/b' },
      { type: 'symlink', target: '/a/b/up', to: `../${up}` },
      { type: 'mkdir', target: '/a/b/up/made/in' },
      { type: 'file', target: '/a/b/up/file', content: 'x' },
      { type: 'bind', source: '/usr', target: '/a/b/up/made/usr' },
    ];
    assert.equal(
      await inside(`ls -A ${folder} ${made}`, box(...mounts)),
      [...[`${folder}:`, 'file', 'made', '', `${made}:`, 'in', 'usr']].join('\n'),
    );
    assert.deepEqual(readdirSync(folder).sort(), ['one', 'two', 'work']);

    system();
    const root = join(folder, 'two');
    symlinkSync(up, join(root, 'usr/up'));
    mkdirSync(join(root, folder, 'there'), { recursive: true });
    const source = join(folder, 'one');
    const options: RunOptions = {
      namespaces,
      root,
      mounts: [{ type: 'bind', source, target: '/usr/up/there' }, ...SYSTEM],
    };
    assert.equal(await inside(`cat ${folder}/there/file`, options), 'first');
    rmSync(join(root, 'usr/up'));
    rmSync(join(root, 'tmp'), { recursive: true });
  });

  test('by chroot(2), where that is asked for', async () => {
    system();
    const root: Root = { path: join(folder, 'two'), type: 'chroot' };
    const options: RunOptions = { namespaces: { user: true }, root, mounts: SYSTEM };
    assert.equal(await inside('pwd; cat /other', options), '/\nsecond');
    if (!isRoot) return;
    // The root that is there, and no namespace at all.
    const same = await inside('pwd; readlink /proc/self/ns/mnt', {
      root: { path: '/', type: 'chroot' },
    });
    const own = execFileSync('readlink', ['/proc/self/ns/mnt'], { encoding: 'utf8' });
    assert.equal(same, `/\n${own.trim()}`);
  });
});

test('the same as bwrap(1)', { skip: without('bwrap') || skip }, async () => {
  const script = `echo /* /dev/* /tmp/*; ${MOUNTS} < /proc/self/mountinfo | grep -v -e ^/dev/ -e ^/proc/ | sort`;
  const flags = [
    ...['--unshare-user', '--unshare-pid', '--ro-bind', '/usr', '/usr', '--proc', '/proc'],
    ...['--ro-bind', '/bin', '/bin', '--ro-bind', '/lib', '/lib', '--ro-bind', '/lib64', '/lib64'],
    ...['--dev', '/dev', '--tmpfs', '/tmp', '--chdir', '/'],
  ];
  const theirs = execFileSync('bwrap', [...flags, '/bin/sh', '-c', script], { encoding: 'utf8' });
  const ours = await inside(
    script,
    box({ type: 'proc' }, { type: 'dev' }, { type: 'tmpfs', target: '/tmp' }),
  );
  // Ours may execute nothing in /dev, and in /proc neither may theirs.
  const rest = (text: string): string[] =>
    text.trimEnd().replace('/dev rw,nosuid,nodev,noexec', '/dev rw,nosuid,nodev').split('\n');
  assert.deepEqual(rest(ours), rest(theirs));
});

test('what is global in /proc is read-only for root', {
  skip: isRoot ? skip : 'takes root',
}, async () => {
  const script = `for f in /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity; do
    (: >> $f) 2>&- && echo "$f can be written to"; done; :`;
  assert.equal(await inside(script, box({ type: 'proc' })), '');
  // Whatever of them this kernel has.
  const points = await inside(`${MOUNTS} < /proc/self/mountinfo`, box({ type: 'proc' }));
  for (const part of ['sys', 'irq', 'acpi', 'dynamic_debug', 'fs', 'scsi']) {
    if (!existsSync(`/proc/${part}`)) continue;
    assert.match(points, new RegExp(`^/proc/${part} ro`, 'm'));
  }
  const mounts: Mount[] = [...SYSTEM, { type: 'proc' }];
  assert.equal(await inside(script, { namespaces: { user: true }, root: EMPTY, mounts }), '');
  // It could be without that.
  assert.match(await inside(script, { namespaces }), /core_pattern can be written to/);
});

test('all of it works without privileges', { skip: isRoot ? skip : 'takes root' }, () => {
  const options = {
    ...box({ type: 'proc' }, { type: 'dev' }, { type: 'tmpfs', target: '/tmp' }),
    cwd: '/',
  };
  const code = `const { stdout } = await run('/bin/sh', ['-c', 'id -u; echo /*; echo $$'],
    ${JSON.stringify(options)}); console.log(JSON.stringify(stdout.trim().split('\\n')));`;
  const found = resultInNode(code, { through: ANYBODY });
  assert.deepEqual(found, ['65534', '/bin /dev /lib /lib64 /proc /tmp /usr', '2']);
});

test('what fails names its step and path, and leaves nothing behind', { skip }, () => {
  const [earlier, mountinfo] = [traces(), readFileSync('/proc/self/mountinfo', 'utf8')];
  const none = join(folder, 'none');
  const one = join(folder, 'one');
  const cases: readonly (readonly [Mount | Root, code: string, step: string, path: string])[] = [
    [{ type: 'bind', source: none, target: one }, 'ENOENT', 'bind', none],
    [{ type: 'bind', source: one, target: none }, 'ENOENT', 'bind', none],
    [{ type: 'tmpfs', target: none }, 'ENOENT', 'tmpfs', none],
    [{ type: 'proc', target: none }, 'ENOENT', 'bind', none],
    [{ type: 'mqueue', target: none }, 'ENOENT', 'mqueue', none],
    [{ type: 'overlay', lower: [none, one], target: one }, 'ENOENT', 'overlay', none],
    [{ type: 'remountReadOnly', target: none }, 'ENOENT', 'remount read-only', none],
    [{ type: 'mkdir', target: `${one}/file/x` }, 'ENOTDIR', 'mkdir', `${one}/file/x`],
    [{ type: 'symlink', target: `${one}/file`, to: '/' }, 'EEXIST', 'symlink', `${one}/file`],
    [{ type: 'file', target: `${one}/file`, content: '' }, 'EEXIST', 'file', `${one}/file`],
    [{ path: none }, 'ENOENT', 'root', none],
    [{ path: none, type: 'chroot' }, 'ENOENT', 'chroot', none],
  ];
  for (const [what, code, step, path] of cases) {
    const options = 'path' in what ? { root: what } : { mounts: [what as Mount] };
    const error = failure({ namespaces: { user: true }, ...options });
    assert.deepEqual(error, { code, step, path }, JSON.stringify(what));
  }
  assert.deepEqual(traces(), earlier);
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mountinfo);
});

test('what is wrong with mounts is said before anything is started', () => {
  const target = '/x';
  for (const [options, code, pattern] of [
    [{ mounts: {} }, 'ERR_INVALID_ARG_TYPE', /options\.mounts/],
    [{ mounts: [7] }, 'ERR_INVALID_ARG_TYPE', /mounts\[0\]/],
    [{ mounts: [{ type: 'ext4' }] }, 'ERR_INVALID_ARG_VALUE', /must be one of: bind, tmpfs/],
    [{ mounts: [{ type: 'bind' }] }, 'ERR_INVALID_ARG_TYPE', /source" property must be given/],
    [{ mounts: [{ type: 'bind', source: 'a' }] }, 'ERR_INVALID_ARG_VALUE', /source.*absolute/],
    [{ mounts: [{ type: 'bind', source: '/a', ro: true }] }, 'ERR_INVALID_ARG_VALUE', /ro/],
    [{ mounts: [{ type: 'bind', source: '/a', readOnly: 1 }] }, 'ERR_INVALID_ARG_TYPE', /readOnly/],
    [{ mounts: [{ type: 'tmpfs', target: 'x' }] }, 'ERR_INVALID_ARG_VALUE', /absolute/],
    [{ mounts: [{ type: 'tmpfs', target: '/a/../x' }] }, 'ERR_INVALID_ARG_VALUE', /without \.\./],
    [{ mounts: [{ type: 'tmpfs', target: '/a\0' }] }, 'ERR_INVALID_ARG_VALUE', /null bytes/],
    [{ mounts: [{ type: 'tmpfs', target, size: '1 yard' }] }, 'ERR_INVALID_ARG_VALUE', /size/],
    [{ mounts: [{ type: 'tmpfs', target, mode: 0o10000 }] }, 'ERR_OUT_OF_RANGE', /mode/],
    [{ mounts: [{ type: 'overlay', lower: ['/a'], target }] }, 'ERR_INVALID_ARG_VALUE', /two/],
    [{ mounts: [{ type: 'overlay', lower: [], target }] }, 'ERR_INVALID_ARG_VALUE', /empty/],
    [
      { mounts: [{ type: 'overlay', lower: ['/a:b', '/c'], target }] },
      'ERR_INVALID_ARG_VALUE',
      /lower\[0\]/,
    ],
    [
      { mounts: [{ type: 'overlay', lower: ['/a'], upper: '/b', target }] },
      'ERR_INVALID_ARG_VALUE',
      /work.*upper/,
    ],
    [{ mounts: [{ type: 'file', target, content: 5 }] }, 'ERR_INVALID_ARG_TYPE', /content/],
    [{ root: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.root/],
    [{ root: new Uint8Array(3) }, 'ERR_INVALID_ARG_TYPE', /options\.root/],
    [{ root: '' }, 'ERR_INVALID_ARG_VALUE', /root\.path.*empty/],
    [{ root: { type: 'tmpfs', path: '/' } }, 'ERR_INVALID_ARG_VALUE', /path/],
    [{ root: { type: 'jail', path: '/' } }, 'ERR_INVALID_ARG_VALUE', /must be one of: pivotRoot/],
    [{ root: { type: 'chroot', path: '/', readOnly: true } }, 'ERR_INVALID_ARG_VALUE', /pivotRoot/],
    [
      { root: { type: 'chroot', path: '/', nodev: true } },
      'ERR_INVALID_ARG_VALUE',
      /nodev.*pivotRoot/,
    ],
    // To the kernel that is no limit.
    [{ root: { type: 'tmpfs', size: 0 } }, 'ERR_OUT_OF_RANGE', /root\.size.*>= 1 byte/],
    [
      { mounts: [{ type: 'tmpfs', target: '/a', size: '0.5B' }] },
      'ERR_OUT_OF_RANGE',
      /mounts\[0\]\.size/,
    ],
    [{ root: { type: 'tmpfs', nosuid: true } }, 'ERR_INVALID_ARG_VALUE', /nosuid/],
    [{ root: { path: '/', nosuid: 1 } }, 'ERR_INVALID_ARG_TYPE', /nosuid/],
    [{ root: { path: '/', readOnly: 'yes' } }, 'ERR_INVALID_ARG_TYPE', /readOnly/],
    [{ root: '/', namespaces: { mount: false } }, 'ERR_INVALID_ARG_VALUE', /mount.*must be new/],
    [
      { mounts: [{ type: 'proc' }], namespaces: { mount: { join: 0 } } },
      'ERR_INVALID_ARG_VALUE',
      /mount.*must be new/,
    ],
  ] as const) {
    assert.throws(
      () => launch({ path: '/bin/true', ...(options as object) }),
      (error: NodeJS.ErrnoException) => error.code === code && pattern.test(error.message),
      JSON.stringify(options),
    );
  }
});
