import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'safeexec-package-'));
const installed = join(folder, 'node_modules/safeexec');
let files: string[] = [];
let packedSize = 0;

const sh = (file: string, args: readonly string[], env = {}): string =>
  execFileSync(file, args, { cwd: folder, encoding: 'utf8', env: { ...process.env, ...env } });

before(() => {
  // dist/ was built before the tests ran; packing must not build it again under them.
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const output = execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  const parsed = JSON.parse(output);
  const [pack] = Array.isArray(parsed) ? parsed : Object.values(parsed);
  files = pack.files.map(({ path }: { path: string }) => path);
  packedSize = pack.size;
  mkdirSync(installed, { recursive: true });
  sh('tar', ['xzf', join(folder, pack.filename), '-C', installed, '--strip-components=1']);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the package holds JavaScript, types, bindings and docs, and is small', () => {
  const allowed =
    /^(dist\/.*\.(js|cjs|d\.ts|d\.cts|node)|docs\/.*\.md|README\.md|CHANGELOG\.md|LICENSE|package\.json)$/;
  assert.deepEqual(
    files.filter((file) => !allowed.test(file)),
    [],
  );
  for (const name of ['x64', 'ia32', 'arm', 'arm64', 'riscv64']) {
    assert.ok(files.includes(`dist/binding/safeexec-linux-${name}.node`), name);
  }
  assert.ok(packedSize < 250_000, `${packedSize} bytes`);
});

test('it has no dependency and no install script', () => {
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  assert.deepEqual(manifest.dependencies ?? {}, {});
  for (const name of ['preinstall', 'install', 'postinstall']) {
    assert.equal(manifest.scripts[name], undefined);
  }
});

test('an installed package works: library, register by both ways, command', () => {
  writeFileSync(
    join(folder, 'library.mjs'),
    `import { run, launch, spawnSync } from 'safeexec';
     const { stdout } = await run('echo', ['hello']);
     const { exitCode } = await launch({ path: '/bin/sh', argv: ['sh', '-c', 'exit 3'] }).exited;
     console.log(JSON.stringify([stdout, exitCode, String(spawnSync('echo', ['x']).stdout)]));`,
  );
  assert.deepEqual(JSON.parse(sh(process.execPath, ['library.mjs'])), ['hello\n', 3, 'x\n']);
  const program = `process.stdout.write(require('child_process').execSync('echo registered'))`;
  for (const flag of ['--import', '--require']) {
    const output = sh(process.execPath, [flag, 'safeexec/register', '-e', program], {
      SAFEEXEC_DEBUG: '1',
    });
    assert.equal(output, 'registered\n');
  }
  assert.match(
    sh(process.execPath, [join(installed, 'dist/cli/main.js'), 'run', '--', 'echo', 'by command']),
    /^by command$/m,
  );
});
