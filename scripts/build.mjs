// Builds the package into dist/, and sources, tests, benchmarks and scripts into build/; then
// emits the bindings that the package ships into both.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = join(root, 'node_modules', '.bin', 'tsc');
for (const folder of ['dist', 'build'])
  rmSync(join(root, folder), { recursive: true, force: true });
for (const project of ['tsconfig.build.json', 'tsconfig.json']) {
  execFileSync(tsc, ['-p', join(root, project)], { cwd: root, stdio: 'inherit' });
}

const load = (file) => import(pathToFileURL(join(root, 'dist', file)).href);
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
