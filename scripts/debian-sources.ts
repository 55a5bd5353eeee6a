import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SUITES = 'bookworm trixie forky sid';

/**
 * Fetches a source package of Debian's Node with apt into `folder`, unpacks its tests, and gives
 * the path of the tree: of the release `major`, or the next before it that can be had. apt gets
 * lists of its own, so the machine's are not touched.
 */
export function debianSources(folder: string, major: number): string {
  const tree = join(folder, `node${major}`);
  if (existsSync(join(tree, 'test/parallel'))) return tree;
  const archives = join(folder, `archives${major}`);
  for (const part of [join(folder, 'lists/partial'), join(folder, 'parts'), archives, tree]) {
    mkdirSync(part, { recursive: true });
  }
  writeFileSync(
    join(folder, 'parts/source.sources'),
    `Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: ${SUITES}\nComponents: main\nSigned-By: ${KEYRING}\n`,
  );
  const settings = [
    ['Dir::Etc::sourcelist', '/dev/null'],
    ['Dir::Etc::sourceparts', join(folder, 'parts')],
    ['Dir::State::lists', join(folder, 'lists')],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  execFileSync('apt-get', ['-qq', ...settings, 'update'], { stdio: 'inherit' });
  const records = execFileSync('apt-cache', [...settings, 'showsrc', 'nodejs'], {
    encoding: 'utf8',
  });
  const versions = [...records.matchAll(/^Version: (.*)$/gm)].map(([, version]) => version ?? '');
  for (const version of fitting(versions, major)) {
    const [upstream = ''] = version.split('-', 1);
    const archive = `nodejs_${upstream}.orig.tar.xz`;
    try {
      const args = ['source', '--download-only', '--tar-only', `nodejs=${version}`];
      execFileSync('apt-get', ['-qq', ...settings, ...args], { cwd: archives, stdio: 'inherit' });
    } catch {
      // An index can be ahead of its mirror. Of the archives of a version only one is needed here.
    }
    if (!existsSync(join(archives, archive))) continue;
    const wanted = ['parallel/test-child-process*', 'sequential/test-child-process*'];
    execFileSync('tar', [
      ...['xf', join(archives, archive), '-C', tree, '--strip-components=1', '--wildcards'],
      ...[...wanted, 'common/*', 'fixtures/*'].map((part) => `*/test/${part}`),
    ]);
    return tree;
  }
  throw new Error('apt brought no source archive of nodejs');
}

/** Versions up to a release, those nearest to it first. */
function fitting(versions: readonly string[], major: number): string[] {
  const newestFirst = [...new Set(versions)].sort((a, b) =>
    b.localeCompare(a, 'en', { numeric: true }),
  );
  return newestFirst.filter((version) => Number.parseInt(version, 10) <= major);
}
