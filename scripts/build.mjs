// Builds the package into dist/ (modules bundled, so that few files have to be loaded, and their
// types), and sources, tests, benchmarks and scripts into build/, file by file; then emits the
// bindings that the package ships into both.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = join(root, 'node_modules', '.bin', 'tsc');
for (const folder of ['dist', 'build'])
  rmSync(join(root, folder), { recursive: true, force: true });
for (const project of ['tsconfig.build.json', 'tsconfig.json']) {
  execFileSync(tsc, ['-p', join(root, project)], { cwd: root, stdio: 'inherit' });
}
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  outdir: 'dist',
  outbase: 'src',
  logLevel: 'warning',
  // The package stays small, and names stay for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
};
await build({
  ...common,
  entryPoints: ['src/index.ts', 'src/install.ts', 'src/register.ts', 'src/cli/main.ts'],
  format: 'esm',
  splitting: true,
});
await build({
  ...common,
  entryPoints: ['src/register.cts'],
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  external: ['./install.js'],
});

const load = (file) => import(pathToFileURL(join(root, 'build/src', file)).href);
const { bindingImage, bindingFileName } = await load('launch/binding-image.js');
const { MACHINES } = await load('machine/index.js');
for (const machine of Object.values(MACHINES)) {
  for (const folder of ['dist', 'build/src']) {
    mkdirSync(join(root, folder, 'binding'), { recursive: true });
    writeFileSync(
      join(root, folder, 'binding', bindingFileName(machine)),
      bindingImage(machine).bytes,
    );
  }
}
chmodSync(join(root, 'dist/cli/main.js'), 0o755);

// Types that no user can get at stay out of the package.
const reachable = new Set();
function reach(file) {
  if (reachable.has(file)) return;
  reachable.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, path] of text.matchAll(/(?:from|import\() ?'(\.[^']+)\.js'/g)) {
    reach(join(dirname(file), `${path}.d.ts`));
  }
}
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
JSON.stringify(exports, (_, value) => {
  if (typeof value === 'string' && /\.d\.c?ts$/.test(value)) reach(join(root, value));
  return value;
});
for (const name of readdirSync(join(root, 'dist'), { recursive: true })) {
  const file = join(root, 'dist', name);
  if (/\.d\.c?ts$/.test(name) && !reachable.has(file)) rmSync(file);
}
