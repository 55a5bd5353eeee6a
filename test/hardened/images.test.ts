import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { __O_TMPFILE } from '../../src/plan/constants.js';
import type { Rule } from './filter.js';
import { allWorks, noMounts, noSysctl, observe, within } from './observe.js';

/* Where memory must not be executed: the image of the helper is in a file, or there is none. */

const { EPERM, ENOSYS, EOPNOTSUPP } = constants.errno;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'safeexec-hardened-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const library = new URL('../../src/index.js', import.meta.url).href;
const engine = new URL('../../src/process/engine.js', import.meta.url).href;

const env = { TMPDIR: folder, XDG_RUNTIME_DIR: '' };
const noMemfd: Rule = { call: 'memfd_create', errno: EPERM };
const noTmpfile: Rule = {
  call: 'openat',
  errno: EOPNOTSUPP,
  argument: { index: 2, bits: __O_TMPFILE },
};

/** A script that lets nothing be executed from the usual folders, but `kept`, read-only. */
const noexec = (kept: string): string => `
  flag() { mount --bind "$1" "$1"; mount -o "remount,bind,$2" "$1"; }
  for at in /tmp /dev/shm /var/tmp '${tmpdir()}'; do flag "$at" noexec; done
  flag '${kept}' ro,exec`;

describe('the image of the helper is in a file', () => {
  test('where vm.memfd_noexec is 2', { skip: noSysctl }, () => {
    const { doctor, ...found } = observe({ memfdNoexec: 2, env });
    assert.deepEqual(found, allWorks(`a file in ${folder}`));
    assert.match(doctor.missing['executable memfd'] ?? '', /vm\.memfd_noexec is 2/);
  });

  for (const [name, rules, mounts] of [
    ['where a filter refuses memfd_create', [noMemfd], undefined],
    ['where memfd_create is missing', [{ ...noMemfd, errno: ENOSYS }], undefined],
    ['without O_TMPFILE', [noMemfd, noTmpfile], undefined],
    ['without /proc', [noMemfd], 'mount -t tmpfs none /proc'],
  ] as const) {
    test(name, { skip: mounts !== undefined && noMounts }, () => {
      const { doctor, ...found } = observe({ rules, env, ...(mounts && { mounts }) });
      assert.deepEqual(found, allWorks(`a file in ${folder}`, mounts === undefined));
      assert.match(doctor.missing.memfd_create ?? '', /EPERM|ENOSYS/);
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  test('in the first folder that is good for it', { skip: noMounts }, () => {
    // Not there; not a folder; noexec; read-only; and then a good one.
    const good = join(folder, 'good');
    const [bad, other] = [join(folder, 'bad'), join(folder, 'other')];
    for (const each of [good, bad, other]) mkdirSync(each);
    const mounts = `
      mount -t tmpfs -o noexec none '${bad}'
      mount -t tmpfs -o ro none /dev/shm
      mount -t tmpfs -o ro none '${other}'
      mount --bind '${good}' /var/tmp`;
    try {
      for (const [first, second] of [
        ['/nonexistent', bad],
        ['/dev/null', other],
      ] as const) {
        const hidden = { XDG_RUNTIME_DIR: first, TMPDIR: second };
        // /tmp may be where this package is: it is read-only, with what is in it.
        const readOnly = 'mount --bind /tmp /tmp; mount -o remount,bind,ro /tmp';
        const { doctor, ...found } = observe({
          rules: [noMemfd],
          mounts: `${mounts}\n${readOnly}`,
          env: hidden,
        });
        assert.deepEqual(found, allWorks('a file in /var/tmp'));
        assert.match(doctor.why, /\/var\/tmp/);
      }
    } finally {
      for (const each of [good, bad, other]) rmSync(each, { recursive: true });
    }
  });
});

test('where no file can be executed either, direct, or an error that says what to change', {
  skip: noMounts,
}, () => {
  const { doctor, ...found } = observe({
    rules: [noMemfd],
    mounts: noexec(root),
    env,
    cwd: '/tmp',
  });
  const { image, credentials, ...rest } = found;
  const { image: _, credentials: __, ...expected } = allWorks('direct');
  assert.deepEqual(rest, expected);
  for (const [error, why] of [
    [image, /executor 'image' was asked for/],
    [credentials, /credentials change/],
  ] as const) {
    assert.match(String(error), /^UnsupportedError ERR_SAFEEXEC_UNSUPPORTED executable image: /);
    assert.match(String(error), why);
    assert.match(String(error), /memfd: EPERM, a file in .*: EACCES/);
    assert.match(String(error), /vm\.memfd_noexec to 0 or 1, or TMPDIR to a folder/);
  }
  assert.deepEqual(Object.keys(doctor.missing).sort(), [
    'MFD_EXEC',
    'executable file',
    'executable memfd',
    'image executor',
    'memfd_create',
    'other namespaces',
    'pid namespaces, mounts',
    'sandbox',
    'time namespaces',
    'user namespaces',
  ]);
});

test('without execveat, direct, or an error that says so', () => {
  const { doctor, ...found } = observe({ rules: [{ call: 'execveat', errno: ENOSYS }] });
  const { image, credentials, ...rest } = found;
  const { image: _, credentials: __, ...expected } = allWorks('direct');
  assert.deepEqual(rest, expected);
  for (const error of [image, credentials])
    assert.match(String(error), /execveat: .*execveat\(2\)/);
  assert.ok('execveat' in doctor.missing);
});

describe('an image that another process has open for writing (ETXTBSY)', () => {
  test('is made anew', () => {
    // The first files stay open for writing, as if a child of another thread had inherited them.
    const code = `
      const { launch } = await import('${library}');
      const { engine } = await import('${engine}');
      const { inFlight, launcher } = engine();
      const { open, close } = inFlight;
      const held = [];
      inFlight.open = function (name, ...args) {
        const result = open.call(this, name, ...args);
        if (name === 'openat' && args[2] & ${__O_TMPFILE} && held.length < 5) held.push(result);
        return result;
      };
      inFlight.close = function (fd) {
        if (!held.includes(fd)) close.call(this, fd);
      };
      const { exitCode } = await launch({ path: '/bin/true', executor: 'image' }).exited;
      console.log(JSON.stringify({ exitCode, held: held.length, folder: launcher.last.folder }));`;
    const { stdout } = within({ rules: [noMemfd], env }, ['--input-type=module', '-e', code]);
    assert.deepEqual(JSON.parse(stdout), { exitCode: 0, held: 5, folder });
  });

  const strace = spawnSync('strace', ['-V']).error !== undefined && 'strace is missing';
  test('and if it always is, gives way to direct', { skip: strace }, () => {
    const script = fileURLToPath(new URL('./attempts.js', import.meta.url));
    const busy = ['-e', 'trace=execveat', '-e', 'inject=execveat:error=ETXTBSY'];
    const flags = ['-f', '--seccomp-bpf', '-qqq', '-o', '/dev/null'];
    const { stdout, stderr } = spawnSync('strace', [...flags, ...busy, process.execPath, script], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    assert.match(stdout, /^{/, stderr);
    const { first, way, image, left } = JSON.parse(stdout);
    assert.deepEqual({ first, way, left }, { first: 0, way: 'direct', left: 0 });
    assert.match(image, /executable image: .*ETXTBSY/);
  });

  test('while another thread forks', () => {
    // Node's own spawnSync forks, and its child has a copy of every descriptor until it execs.
    const code = `
      const { Worker } = await import('node:worker_threads');
      const { once } = await import('node:events');
      const { launch } = await import('${library}');
      const { engine } = await import('${engine}');
      const workerData = new Int32Array(new SharedArrayBuffer(4));
      const forks = new Worker(\`
        const { spawnSync } = require('node:child_process');
        const { parentPort, workerData } = require('node:worker_threads');
        let count = 0;
        do {
          if (spawnSync('/bin/true').status === 0) count++;
        } while (workerData[0] === 0);
        parentPort.postMessage(count);\`, { eval: true, execArgv: [], workerData });
      await once(forks, 'online');
      const codes = new Set();
      for (let i = 0; i < 100; i++) {
        const { exitCode } = await launch({ path: '/bin/true', executor: 'image' }).exited;
        codes.add(exitCode);
      }
      workerData[0] = 1;
      const [count] = await once(forks, 'message');
      console.log(JSON.stringify({
        codes: [...codes],
        image: engine().launcher.last.image,
        forked: count > 0,
      }));`;
    const { stdout } = within({ rules: [noMemfd], env }, ['--input-type=module', '-e', code]);
    assert.deepEqual(JSON.parse(stdout), { codes: [0], image: 'file', forked: true });
  });
});

test('what works is remembered: only the first launch looks for it', () => {
  const code = `
    const { launch } = await import('${library}');
    for (let i = 0; i < 3; i++) await launch({ path: '/bin/true' }).exited;`;
  const { stderr } = within(
    { rules: [noMemfd], env: { ...env, XDG_RUNTIME_DIR: '/nonexistent', SAFEEXEC_DEBUG: '1' } },
    ['--input-type=module', '-e', code],
  );
  const outcomes = stderr.match(/EPERM: memfd_create|ENOENT: image file|pid \d+/g);
  const kinds = outcomes?.map((outcome) => outcome.replace(/\d+/, ''));
  assert.deepEqual(kinds, ['EPERM: memfd_create', 'ENOENT: image file', 'pid ', 'pid ', 'pid ']);
});
