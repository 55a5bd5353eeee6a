// Installs the releases of Node that the smoke tests run on into .runtimes/, from npm:
// `node scripts/install-runtimes.mjs [20.0.0 20 22 24 26]`. The packages contain nothing but the binary,
// and no script of theirs is run.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), '.runtimes');
const given = process.argv.slice(2);
const releases = given.length > 0 ? given : ['20.0.0', '20', '22', '24', '26'];

const dependencies = {};
for (const release of releases) {
  dependencies[`node${release}`] = `npm:node-linux-${process.arch}@${release}`;
}
mkdirSync(folder, { recursive: true });
writeFileSync(
  join(folder, 'package.json'),
  `${JSON.stringify({ private: true, dependencies }, null, 2)}\n`,
);
const quiet = [
  '--ignore-scripts',
  '--no-bin-links',
  '--no-audit',
  '--no-fund',
  '--no-package-lock',
];
execFileSync('npm', ['install', ...quiet], { cwd: folder, stdio: 'inherit' });
for (const release of releases) {
  const node = join(folder, 'node_modules', `node${release}`, 'bin/node');
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`${version.padEnd(10)} ${node}`);
}
