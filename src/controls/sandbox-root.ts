import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Mount } from './mount-options.js';
import type { NamespaceOptions } from './namespaces.js';
import type { CheckedSandbox } from './sandbox-options.js';

/** The root directory, with what may be read and written in it. */
export function tree({ read, write, optional, tmp }: CheckedSandbox): NamespaceOptions {
  const isWhole = read.includes('/');
  const binds = [
    ...read.filter((path) => path !== '/').map((path) => ({ path, readOnly: true })),
    ...write.map((path) => ({ path, readOnly: false })),
  ].sort((a, b) => a.path.length - b.path.length);
  const mounts: Mount[] = [];
  mounts.push({ type: 'proc' }, { type: 'dev' });
  if (tmp !== false) mounts.push({ type: 'tmpfs', target: '/tmp', size: tmp, mode: 0o1777 });
  const links = isWhole ? [] : rootLinks(read);
  for (const [target, to] of links) mounts.push({ type: 'symlink', target, to });
  const linked = new Set(links.map(([target]) => target));
  for (const { path, readOnly } of binds) {
    if (linked.has(path)) continue;
    mounts.push({
      type: 'bind',
      source: path,
      target: path,
      readOnly,
      optional: optional && readOnly,
    });
  }
  return {
    mounts,
    root: isWhole
      ? { path: '/', readOnly: true, nosuid: true, nodev: true }
      : { type: 'tmpfs', size: 1 << 20, readOnly: true },
  };
}

/** Links of the root directory that lead to what may be read: /bin, /lib64 … */
function rootLinks(read: readonly string[]): [target: string, to: string][] {
  const links: [string, string][] = [];
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']) {
    const path = `/${name}`;
    try {
      if (!lstatSync(path).isSymbolicLink()) continue;
      if (isBelow(realpathSync(path), read)) links.push([path, readlinkSync(path)]);
    } catch {
      // It is not there.
    }
  }
  return links;
}

/** Whether a directory of this process is in the sandbox too. */
export function visible(path: string, { read, write, tmp }: CheckedSandbox): boolean {
  // These are hidden again by what is mounted there.
  const hidden = isBelow(path, ['/proc', '/dev', ...(tmp === false ? [] : ['/tmp'])]);
  const named = [...read, ...write];
  return isBelow(path, hidden ? named.filter((each) => each !== '/') : named);
}

export function isBelow(path: string, folders: readonly string[]): boolean {
  for (let at = path; ; at = dirname(at)) {
    if (folders.includes(at)) return true;
    if (at === dirname(at)) return false;
  }
}
