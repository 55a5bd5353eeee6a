import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cgroupRequest } from '../../src/controls/cgroup.js';
import { UnsupportedError } from '../../src/errors.js';
import {
  type LaunchError,
  launch,
  type NewCgroup,
  run,
  spawn,
  spawnSync,
} from '../../src/index.js';
import { children, descriptorsOf, until } from '../process/observe.js';

const invalid = (code: string, pattern: RegExp) => (error: NodeJS.ErrnoException) =>
  error.code === code && pattern.test(error.message);

test('what is wrong with a cgroup is said before anything is started', () => {
  const start = (cgroup: unknown) => () => launch({ path: '/bin/true', cgroup: cgroup as string });
  for (const [cgroup, code, pattern] of [
    [7, 'ERR_INVALID_ARG_TYPE', /options\.cgroup/],
    ['', 'ERR_INVALID_ARG_VALUE', /empty/],
    ['/a\0b', 'ERR_INVALID_ARG_VALUE', /null bytes/],
    [{ memorymax: 1 }, 'ERR_INVALID_ARG_VALUE', /did you mean "memoryMax"/],
    [{ name: 'a/b' }, 'ERR_INVALID_ARG_VALUE', /name of a directory/],
    [{ name: '..' }, 'ERR_INVALID_ARG_VALUE', /name of a directory/],
    [{ memoryMax: '12 parsecs' }, 'ERR_INVALID_ARG_VALUE', /size/],
    [{ memoryMax: -1 }, 'ERR_OUT_OF_RANGE', /memoryMax/],
    [{ memoryMax: {} }, 'ERR_INVALID_ARG_TYPE', /memoryMax/],
    [{ pidsMax: 1.5 }, 'ERR_OUT_OF_RANGE', /pidsMax/],
    [{ cpuMax: 0 }, 'ERR_OUT_OF_RANGE', /cpuMax/],
    [{ cpuMax: { quota: 1, period: 2 } }, 'ERR_OUT_OF_RANGE', /cpuMax\.quota/],
    [{ cpuWeight: 0 }, 'ERR_OUT_OF_RANGE', /cpuWeight/],
    [{ ioMax: [{ device: 'sda' }] }, 'ERR_INVALID_ARG_VALUE', /major:minor/],
    [{ onExit: 'stay' }, 'ERR_INVALID_ARG_VALUE', /onExit/],
  ] as const) {
    assert.throws(start(cgroup), invalid(code, pattern), JSON.stringify(cgroup));
  }
});

test('settings are what is written into the files of the group', () => {
  const { settings } = cgroupRequest({
    memoryMax: '1.5GiB',
    memoryHigh: 1024,
    memorySwapMax: 'max',
    pidsMax: 7,
    cpuMax: 0.5,
    cpuWeight: 200,
    ioMax: [
      { device: '8:0', readBytes: '1MB', writes: 10 },
      { device: '8:16', writeBytes: 'max' },
    ],
  });
  assert.deepEqual(
    settings.map(({ file, text }) => `${file} = ${text}`),
    [
      'memory.max = 1610612736',
      'memory.high = 1024',
      'memory.swap.max = max',
      'pids.max = 7',
      'cpu.max = 50000 100000',
      'cpu.weight = 200',
      'io.max = 8:0 rbps=1000000 wiops=10',
      'io.max = 8:16 wbps=max',
    ],
  );
  assert.deepEqual(cgroupRequest({ cpuMax: { quota: 2000, period: 5000 } }).settings, [
    { file: 'cpu.max', text: '2000 5000' },
  ]);
});

test('a directory that is no control group is refused, and nothing stays open', () => {
  const open = [...descriptorsOf('self').keys()];
  for (const [path, code] of [
    ['/no/such/group', 'ENOENT'],
    ['/tmp', 'ENOTDIR'],
    ['/etc/passwd', 'ENOTDIR'],
  ] as const) {
    assert.throws(
      () => launch({ path: '/bin/true', cgroup: path }),
      (error: LaunchError) => error.code === code && error.step === 'cgroup' && error.path === path,
    );
  }
  assert.deepEqual([...descriptorsOf('self').keys()], open);
});

/** Where this process may make groups, or why it may not. */
function delegated(): { parent: string; above: string } | { skip: string } {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const point = mounts.find((line) => line.includes(' - cgroup2 '))?.split(' ')[4];
  if (point === undefined) return { skip: 'no control groups of version 2 are mounted' };
  const [, own = '/'] = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8')) ?? [];
  const above = join(point, own);
  const parent = join(above, `safeexec-test-${process.pid}`);
  try {
    mkdirSync(parent);
    return { parent, above };
  } catch (error) {
    return { skip: `no group can be made: ${(error as Error).message}` };
  }
}

const place = delegated();
const skip = 'skip' in place && place.skip;
const parent = 'parent' in place ? place.parent : '';
const wordsOf = (path: string): string[] => readFileSync(path, 'utf8').split(/\s+/).filter(Boolean);

/** Has the group above give controllers to those below it; which it did not give before. */
function enable(above: string): string[] {
  const control = join(above, 'cgroup.subtree_control');
  const given = wordsOf(control);
  const more = wordsOf(join(above, 'cgroup.controllers')).filter(
    (name) => ['cpu', 'io', 'memory', 'pids'].includes(name) && !given.includes(name),
  );
  try {
    writeFileSync(control, more.map((name) => `+${name}`).join(' '));
    return more;
  } catch {
    // It has processes of its own, say.
    return [];
  }
}

const above = 'above' in place ? place.above : '';
const enabled = skip ? [] : enable(above);
const controllers = skip ? [] : wordsOf(join(parent, 'cgroup.controllers'));
const without = (name: string) =>
  skip || (!controllers.includes(name) && `the controller '${name}' is not to be had`);
/** `major:minor` of a disk; undefined where there is none. */
const firstDisk = (): string | undefined => {
  const [name] = readdirSync('/sys/block');
  return name && readFileSync(`/sys/block/${name}/dev`, 'utf8').trim();
};
const groupOf = (pid: number | undefined) =>
  /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];

describe('control groups', { skip }, () => {
  const existing = join(parent, 'there');
  before(() => mkdirSync(existing));
  after(() => {
    rmdirSync(existing);
    rmdirSync(parent);
    const control = join(above, 'cgroup.subtree_control');
    if (enabled.length > 0) writeFileSync(control, enabled.map((name) => `-${name}`).join(' '));
  });

  test('the process starts in a group that is there, by clone or by joining it', async () => {
    const { stdout } = await run('cat', ['/proc/self/cgroup'], { cgroup: existing });
    assert.match(stdout, /^0::.*\/there$/m);
    const frozen = spawn('/bin/cat', ['/proc/self/cgroup'], { cgroup: existing });
    assert.equal(frozen.cgroup?.path, existing);
    assert.equal(frozen.cgroup?.created, false);
    await once(frozen, 'close');
    assert.ok(existsSync(existing));
    const sync = spawnSync('cat', ['/proc/self/cgroup'], { cgroup: existing, encoding: 'utf8' });
    assert.match(String(sync.stdout), /^0::.*\/there$/m);
  });

  test('a frozen group holds the child and not this thread', async () => {
    const holder = spawn('/bin/cat', { cgroup: existing });
    holder.cgroup?.freeze();
    await until('it is frozen', () =>
      /^frozen 1$/m.test(readFileSync(join(existing, 'cgroup.events'), 'utf8')),
    );
    const child = spawn('/bin/true', { cgroup: existing, stdio: 'ignore' });
    const exited = once(child, 'exit');
    assert.equal(child.exitCode, null);
    holder.cgroup?.freeze(false);
    assert.deepEqual(await exited, [0, null]);
    holder.stdin?.end();
    await once(holder, 'exit');
  });

  test('a group that is made is removed with all that is in it', async () => {
    const child = spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!'], { cgroup: { parent } });
    const group = child.cgroup;
    const exited = once(child, 'exit');
    assert.ok(group?.created && existsSync(group.path));
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    await exited;
    // It can only be removed once nothing lives in it.
    await until('the group is gone', () => !existsSync(group.path));
    assert.deepEqual(group.processes(), []);
    assert.equal(typeof group.usage().cpuTime, 'number');
    group.kill();
  });

  test('`keep` leaves the group, and kill() ends all that is in it', async () => {
    const settings: NewCgroup = { parent, name: 'kept', onExit: 'keep' };
    const child = launch({ path: '/bin/sh', argv: ['sh', '-c', 'sleep 1000 &'], cgroup: settings });
    const group = child.cgroup;
    assert.equal(group?.path, join(parent, 'kept'));
    assert.equal((await child.exited)?.exitCode, 0);
    assert.equal(group.processes().length, 1);
    group.kill();
    await until('it is empty', () => group.processes().length === 0);
    await until('it can be removed', () => {
      try {
        rmdirSync(group.path);
        return true;
      } catch {
        return false;
      }
    });
  });

  test('a launch that fails leaves no group', async () => {
    const before = [...descriptorsOf('self').keys()];
    assert.throws(() => launch({ path: '/no/such', cgroup: { parent, name: 'failed' } }), {
      code: 'ENOENT',
      step: 'exec',
    });
    const child = spawn('/etc/passwd', { cgroup: { parent, name: 'failed' }, stdio: 'ignore' });
    const [error] = await once(child, 'error');
    assert.equal(error.code, 'EACCES');
    const late = spawn('/bin', { cgroup: { parent, name: 'failed' }, stdio: 'ignore' });
    await once(late, 'error');
    await until('it is removed', () => !existsSync(join(parent, 'failed')));
    assert.deepEqual([...descriptorsOf('self').keys()], before);
    assert.equal(children().size, 0);
  });

  test('a name that is taken, and a controller that is not there, are named', () => {
    assert.throws(() => launch({ path: '/bin/true', cgroup: { parent, name: 'there' } }), {
      code: 'EEXIST',
      step: 'cgroup',
      syscall: 'mkdir',
      path: existing,
    });
    const missing = ['memory', 'pids'].find((name) => without(name));
    if (missing === undefined) return;
    const limit = missing === 'memory' ? { memoryMax: '64MiB' } : { pidsMax: 3 };
    assert.throws(
      () => launch({ path: '/bin/true', cgroup: { parent, ...limit } }),
      (error) => error instanceof UnsupportedError && error.missing === missing,
    );
  });

  test('a parent below which nothing can be started is named, and is left as it was', () => {
    const [crowded, threads] = [join(parent, 'crowded'), join(parent, 'crowded/threads')];
    for (const path of [crowded, threads]) mkdirSync(path);
    try {
      // From now on other groups there are invalid.
      writeFileSync(join(threads, 'cgroup.type'), 'threaded');
      assert.throws(
        () => launch({ path: '/bin/true', cgroup: { parent: crowded } }),
        (error: Error) => error instanceof UnsupportedError && error.message.includes(crowded),
      );
      const entries = readdirSync(crowded, { withFileTypes: true });
      const groups = entries.filter((entry) => entry.isDirectory());
      assert.deepEqual(
        groups.map(({ name }) => name),
        ['threads'],
      );
    } finally {
      for (const path of [threads, crowded]) rmdirSync(path);
    }
  });

  test('no limits below a group with processes of its own', { skip: without('pids') }, async () => {
    const crowded = join(parent, 'crowded');
    mkdirSync(crowded);
    const names = ['pids', 'memory'].filter((name) => !without(name));
    const control = join(parent, 'cgroup.subtree_control');
    writeFileSync(control, names.map((name) => `+${name}`).join(' '));
    const holder = spawn('/bin/cat', { cgroup: crowded });
    try {
      for (const limit of [{ pidsMax: 9 }, without('memory') ? {} : { memoryMax: '1GiB' }]) {
        if (Object.keys(limit).length === 0) continue;
        assert.throws(
          () => launch({ path: '/bin/true', cgroup: { parent: crowded, ...limit } }),
          (error) => error instanceof UnsupportedError && /of its own/.test(error.message),
        );
      }
      assert.deepEqual(wordsOf(join(crowded, 'cgroup.subtree_control')), []);
    } finally {
      holder.stdin?.end();
      await once(holder, 'exit');
      rmdirSync(crowded);
    }
  });

  test('settings are those that the group has', {
    skip: without('memory') || without('pids') || without('cpu'),
  }, async () => {
    const device = without('io') ? undefined : firstDisk();
    const cgroup: NewCgroup = {
      ...{ parent, name: 'settings', memoryMax: '64MiB', memoryHigh: '32MiB', pidsMax: 7 },
      ...{ cpuMax: { quota: 50_000, period: 200_000 }, cpuWeight: 200 },
      ...(device === undefined ? {} : { ioMax: [{ device, readBytes: '2MiB', writes: 9 }] }),
    };
    const files = ['memory.max', 'memory.high', 'pids.max', 'cpu.max', 'cpu.weight'];
    if (device !== undefined) files.push('io.max');
    const paths = files.map((file) => join(parent, 'settings', file));
    const { stdout } = await run('cat', paths, { cgroup });
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      ...[64 << 20, 32 << 20, 7, '50000 200000', 200].map(String),
      ...(device === undefined ? [] : [`${device} rbps=${2 << 20} wbps=max riops=max wiops=9`]),
    ]);
  });

  test('pids.max stops a fork bomb', { skip: without('pids') }, async () => {
    const script = 'i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done';
    const child = spawn('/bin/sh', ['-c', script], { cgroup: { parent, pidsMax: 5 } });
    await once(child, 'close');
    assert.ok(Number(child.cgroup?.usage().pidsMaxEvents) > 0);
    assert.ok(Number(child.cgroup?.usage().pidsPeak ?? 5) <= 5);
  });

  test('memory.max ends what takes more', { skip: without('memory') }, async () => {
    const script = 'const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1));';
    const cgroup = { parent, memoryMax: '64MiB', memorySwapMax: 0 };
    const child = spawn(process.execPath, ['-e', script], { cgroup, stdio: 'ignore' });
    assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL']);
    assert.equal(child.cgroup?.usage().oomKills, 1);
  });

  test('cpu.max slows down', { skip: without('cpu') }, async () => {
    const script =
      'const end = process.cpuUsage().user + 1e5; while (process.cpuUsage().user < end);';
    const child = spawn(process.execPath, ['-e', script], { cgroup: { parent, cpuMax: 0.2 } });
    await once(child, 'exit');
    assert.ok(Number(child.cgroup?.usage().cpuThrottledTime) > 0);
  });

  test('what the kernel refuses is named by its file', { skip: without('pids') }, () => {
    const before = groupOf(process.pid);
    assert.throws(() => launch({ path: '/bin/true', cgroup: { parent, pidsMax: 2 ** 50 } }), {
      step: 'cgroup',
      syscall: 'write',
    });
    assert.equal(groupOf(process.pid), before);
  });
});
