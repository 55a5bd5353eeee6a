import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * Fetches Debian's source package of Node with apt into `folder`, unpacks its tests, and gives the
 * path of the tree. apt gets lists of its own, so the machine's are not touched.
 */
export function debianSources(folder: string): string {
  const tree = join(folder, 'node');
  if (existsSync(join(tree, 'test/parallel'))) return tree;
  for (const part of ['lists/partial', 'parts', 'node']) {
    mkdirSync(join(folder, part), { recursive: true });
  }
  writeFileSync(
    join(folder, 'parts/source.sources'),
    `Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main\nSigned-By: ${KEYRING}\n`,
  );
  const settings = [
    ['Dir::Etc::sourcelist', '/dev/null'],
    ['Dir::Etc::sourceparts', join(folder, 'parts')],
    ['Dir::State::lists', join(folder, 'lists')],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const apt = (...args: string[]): void => {
    execFileSync('apt-get', ['-qq', ...settings, ...args], { cwd: folder, stdio: 'inherit' });
  };
  apt('update');
  apt('source', '--download-only', 'nodejs');
  const archive = readdirSync(folder).find((name) => /^nodejs_[^-]*\.orig\.tar\.xz$/.test(name));
  if (archive === undefined) throw new Error('apt brought no source archive of nodejs');
  const wanted = ['parallel/test-child-process*', 'sequential/test-child-process*'];
  execFileSync('tar', [
    ...['xf', join(folder, archive), '-C', tree, '--strip-components=1', '--wildcards'],
    ...[...wanted, 'common/*', 'fixtures/*'].map((part) => `*/test/${part}`),
  ]);
  return tree;
}
