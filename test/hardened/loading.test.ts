import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { MAIN } from '../cli/cli.js';
import { allWorks, noMounts, observe, within } from './observe.js';

/* How the binding gets into a process that does not make it easy. */

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'safeexec-loading-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const [temporary, copy] = ['temporary', 'copy'].map((name) => join(folder, name)) as [
  string,
  string,
];
execFileSync('mkdir', [temporary]);
cpSync(join(root, 'build/src'), copy, { recursive: true });
writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
const env = { TMPDIR: temporary, XDG_RUNTIME_DIR: '' };
const NO_PROC = 'mount -t tmpfs none /proc';

/** Where the binding of a copy of the package came from, and what a command printed. */
function load(library: string, surroundings: Parameters<typeof within>[0]) {
  const code = `
    const { spawnSync } = await import('${library}/index.js');
    const { binding } = await import('${library}/launch/binding.js');
    let result;
    try {
      const output = spawnSync('echo', ['x']).stdout.toString();
      result = { output, source: binding().source };
    } catch ({ name, missing, message }) {
      result = { name, missing, message };
    }
    console.log(JSON.stringify(result));`;
  const { stdout } = within(surroundings, ['--input-type=module', '-e', code]);
  return JSON.parse(stdout);
}

const emitted = { output: 'x\n', source: 'emitted' };
const flag = (at: string, flags: string) =>
  `mount --bind '${at}' '${at}'; mount -o remount,bind,${flags} '${at}'`;

describe('the binding of a package that is mounted noexec', { skip: noMounts }, () => {
  test('is emitted elsewhere', () => {
    assert.deepEqual(load(copy, { env, mounts: flag(copy, 'noexec') }), emitted);
    assert.deepEqual(readdirSync(temporary), []);
  });

  test('is emitted elsewhere without /proc, too', () => {
    const mounts = `${flag(copy, 'noexec')}; ${NO_PROC}`;
    assert.deepEqual(load(copy, { env, mounts }), emitted);
    assert.deepEqual(readdirSync(temporary), []);
  });

  test('cannot be loaded where nothing is executable: the error says what to change', () => {
    const folders = ['/tmp', '/dev/shm', '/var/tmp', tmpdir(), copy];
    const mounts = folders.map((at) => flag(at, 'noexec')).join('\n');
    const { name, missing, message } = load(copy, { env, mounts, cwd: copy });
    assert.deepEqual([name, missing], ['UnsupportedError', 'binding']);
    assert.match(message, /noexec\?\); and it could not be emitted: set TMPDIR to a folder/);
    const main = join(copy, 'cli/main.js');
    const { stdout } = within({ env, mounts, cwd: copy }, [main, 'doctor'], [1]);
    assert.match(stdout, /no {3}native binding .*set TMPDIR to a folder/);
    assert.match(stdout, /executor: none/);
  });
});

describe('in a bundle the binding is emitted', () => {
  for (const format of ['esm', 'cjs'] as const) {
    test(format, async () => {
      const outfile = join(folder, format === 'esm' ? 'bundle.mjs' : 'bundle.cjs');
      await build({
        stdin: {
          contents: `import { spawnSync } from './dist/index.js';
            console.log(spawnSync('echo', ['x']).stdout.toString());`,
          resolveDir: root,
        },
        bundle: true,
        platform: 'node',
        format,
        outfile,
        logLevel: 'error',
      });
      assert.ok(!existsSync(join(folder, 'binding')));
      assert.equal(within({ env }, [outfile]).stdout.trim(), 'x');
      if (noMounts === false) {
        assert.equal(within({ env, mounts: NO_PROC }, [outfile]).stdout.trim(), 'x');
      }
      assert.deepEqual(readdirSync(temporary), []);
    });
  }
});

/** The oldest and the newest of Node's releases, and the flag of their permission model. */
const releases = ['20', '26'].map((release) => {
  const own = process.versions.node.startsWith(`${release}.`);
  const other = join(root, `.runtimes/node_modules/node${release}/bin/node`);
  const node = own ? process.execPath : existsSync(other) ? other : null;
  return {
    release,
    node,
    permission: release === '20' ? '--experimental-permission' : '--permission',
  };
});

for (const { release, node, permission } of releases) {
  const skip = node === null && `no Node ${release}: node scripts/install-runtimes.mjs`;
  describe(`under ${permission} of Node ${release}`, { skip }, () => {
    const given = (...flags: string[]) => ({
      node: node as string,
      env,
      flags: ['--no-warnings', permission, '--allow-fs-read=*', ...flags],
    });
    const all = ['--allow-addons', '--allow-child-process'];

    test('with add-ons and child processes allowed, all works', () => {
      const { doctor, ...found } = observe(given(...all));
      assert.deepEqual(found, allWorks('memfd'));
      assert.deepEqual(doctor.missing, {});
    });

    test('streams and channels work as with Node itself', () => {
      const echo = 'process.on("message", (message) => process.send(message))';
      const code = `
        const own = await import('node:child_process');
        const ours = await import('${new URL('../../src/index.js', import.meta.url).href}');
        const use = async ({ spawn, fork }) => {
          const first = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore', 'pipe'] });
          const second = spawn('wc', ['-c'], { stdio: [first.stdout, 'pipe', 2] });
          first.stdin.end('x'.repeat(1 << 20));
          const chunks = await second.stdout.toArray();
          const seen = [Buffer.concat(chunks).toString(), first.stdio[3].constructor.name];
          for (const serialization of ['json', 'advanced']) {
            const child = fork('${join(folder, 'echo.cjs')}', [], { serialization });
            for (const text of ['x', 'y'.repeat(1 << 20)]) {
              child.send({ text });
              const [message] = await new Promise((take) => child.once('message', (...all) => take(all)));
              seen.push(message.text.length);
            }
            const ended = new Promise((take) => child.once('exit', (...all) => take(all)));
            child.disconnect();
            seen.push(await ended, child.connected);
          }
          return seen;
        };
        console.log(JSON.stringify([await use(own), await use(ours)]));`;
      writeFileSync(join(folder, 'echo.cjs'), echo);
      const { stdout } = within(given(...all), ['--input-type=module', '-e', code]);
      const [own, ours] = JSON.parse(stdout);
      assert.deepEqual(ours, own);
      assert.equal(own[0].trim(), '1048576');
    });

    test('files for images need no permission to write', () => {
      const noMemfd = { call: 'memfd_create', errno: constants.errno.EPERM };
      const { doctor, ...found } = observe({ ...given(...all), rules: [noMemfd] });
      assert.deepEqual(found, allWorks(`a file in ${temporary}`));
      assert.ok(doctor.ok);
    });

    test('without add-ons: the error says so', () => {
      const { first, sync, doctor } = observe(given('--allow-child-process'));
      for (const error of [first, sync]) {
        assert.match(String(error), /^UnsupportedError .* binding: .* with --allow-addons$/);
      }
      assert.match(doctor.missing['native binding'] ?? '', /--allow-addons/);
    });

    test('without child processes: as with Node itself', () => {
      const { doctor, ...found } = observe(given('--allow-addons'));
      const { first, image, spawned, run, sync } = found;
      for (const error of [first, image, spawned, run, sync]) {
        assert.match(String(error), /^Error ERR_ACCESS_DENIED .*--allow-child-process\b/);
      }
      assert.match(doctor.missing.permission ?? '', /--allow-child-process/);
    });

    test('a node that is started is held back as with Node itself', () => {
      const code = `
        const own = await import('node:child_process');
        const ours = await import('${new URL('../../src/index.js', import.meta.url).href}');
        const seen = [own, ours].map(({ spawnSync }) => [
          [[]],
          [[], { env: { A: '1' } }],
          [[], { env: { NODE_OPTIONS: '--no-deprecation' } }],
          [[], { env: { NODE_OPTIONS: '--permission' } }],
          [['--permission']],
        ].map(([args, options]) =>
          spawnSync('/bin/sh', ['-c', 'echo $NODE_OPTIONS', ...args], options).stdout.toString()));
        console.log(JSON.stringify(seen));`;
      // The last is one of V8's, and may not stand in NODE_OPTIONS.
      const flags = given(...all, '--allow-natives-syntax');
      const { stdout } = within(flags, ['--input-type=module', '-e', code]);
      const [own, ours] = JSON.parse(stdout);
      assert.deepEqual(ours, own);
      assert.equal(own[0].includes('--allow-addons'), release !== '20');
    });

    test('an audit denies nothing', (t) => {
      // That of release 24 denies add-ons all the same.
      if (release !== '26') return t.skip('no --permission-audit');
      const code = `
        const own = await import('node:child_process');
        const ours = await import('${new URL('../../src/index.js', import.meta.url).href}');
        const seen = await Promise.all([own, ours].map(async ({ spawn, spawnSync }) => [
          spawnSync('/bin/sh', ['-c', 'echo $NODE_OPTIONS']).stdout.toString(),
          await new Promise((take) => spawn('sh', ['-c', 'exit 3']).on('exit', take)),
        ]));
        console.log(JSON.stringify(seen));`;
      const audit = { ...given(), flags: ['--no-warnings', '--permission-audit'] };
      const [own, ours] = JSON.parse(within(audit, ['--input-type=module', '-e', code]).stdout);
      assert.deepEqual(ours, own);
      assert.deepEqual(own, ['--permission-audit\n', 3]);
      const { stdout } = within(audit, [MAIN, 'doctor'], [0, 1]);
      assert.match(stdout, /permission .*node runs with --permission-audit/);
      return undefined;
    });

    test('a binding that must be emitted needs permission to write', () => {
      const bundle = join(folder, 'emits');
      cpSync(copy, bundle, { recursive: true });
      rmSync(join(bundle, 'binding'), { recursive: true });
      const { message, missing } = load(bundle, given(...all));
      assert.equal(missing, 'binding');
      assert.match(message, /its file is missing; .* --allow-fs-write/);
      const allowed = given(...all, `--allow-fs-write=${temporary}`);
      assert.deepEqual(load(bundle, allowed), emitted);
    });
  });
}

test('with --no-addons the error says so', () => {
  const { stdout } = within({ flags: ['--no-addons'] }, [MAIN, 'doctor'], [1]);
  assert.match(stdout, /no {3}native binding .*without --no-addons/);
});
