import { posix } from 'node:path';
import { invalidArgValue } from '../errors.js';
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
} from '../plan/constants.js';
import type { Step } from '../plan/plan.js';
import type { Mount as MountEntry } from '../plan/steps/mounts.js';
import { validateArray, validateInteger } from '../validate.js';
import { devices } from './devices.js';
import { needsLinux } from './kernel-version.js';
import { absolute, checkMount, type Mount, type MountOptions } from './mount-options.js';
import { checkRoot } from './root.js';
import { sizeAboveZero } from './size.js';

/** Parts of /proc that root may write to without any capability, as far as a kernel has them. */
const MACHINE_WIDE = ['sys', 'sysrq-trigger', 'irq', 'bus', 'acpi', 'dynamic_debug', 'fs', 'scsi'];

/** What mounts and a root come to. */
export interface MountTree {
  readonly steps: readonly Step[];
  readonly needsNamespace: boolean;
  readonly changesRoot: boolean;
}

/** Checks the options; null if there are none. */
export function checkMounts(options: MountOptions, hasPids: boolean): MountTree | null {
  const { mounts = [] } = options;
  validateArray(mounts, 'options.mounts');
  const root = options.root === undefined ? null : checkRoot(options.root);
  if (root === null && mounts.length === 0) return null;
  const tree = new Tree(root?.type === 'tmpfs', hasPids);
  for (const [i, mount] of mounts.entries()) tree.add(mount, `options.mounts[${i}]`);
  return {
    steps: [{ type: 'mounts', root, mounts: tree.entries }],
    needsNamespace: root?.type !== 'chroot' || mounts.length > 0,
    changesRoot: true,
  };
}

/** The list as it is built, and which of its parts are of its own making. */
class Tree {
  readonly entries: MountEntry[] = [];
  readonly #hasPids: boolean;
  /** Targets so far, and whether directories may be made below them. */
  readonly #made: { readonly target: string; readonly own: boolean }[];

  constructor(emptyRoot: boolean, hasPids: boolean) {
    this.#hasPids = hasPids;
    this.#made = [{ target: '/', own: emptyRoot }];
  }

  add(mount: unknown, name: string): void {
    const checked = checkMount(mount, name);
    switch (checked.type) {
      case 'bind':
        this.#bind(checked, name);
        break;
      case 'tmpfs': {
        const { mode = 0o755, size } = checked;
        validateInteger(mode, `${name}.mode`, 0, 0o7777);
        const options = [`mode=${mode.toString(8)}`];
        if (size !== undefined) options.push(`size=${sizeAboveZero(size, `${name}.size`)}`);
        this.#filesystem('tmpfs', checked.target, name, 0, options.join(','), true);
        break;
      }
      case 'proc': {
        const { target = '/proc' } = checked;
        if (this.#hasPids) this.#filesystem('proc', target, name, MS_NOEXEC, '', false);
        else this.#bind({ type: 'bind', source: '/proc', target, noexec: true }, name);
        this.#protectProc(this.#target(target, name), name);
        break;
      }
      case 'mqueue':
        this.#filesystem('mqueue', checked.target ?? '/dev/mqueue', name, MS_NOEXEC, '', false);
        break;
      case 'dev':
        this.#dev(this.#target(checked.target ?? '/dev', name), name);
        break;
      case 'overlay':
        this.#overlay(checked, name);
        break;
      case 'remountReadOnly': {
        needsLinux('5.12', 'a mount that becomes read-only');
        const target = this.#target(checked.target, name);
        this.entries.push({ ...checked, target, recursive: checked.recursive ?? false });
        break;
      }
      case 'mkdir':
      case 'file': {
        const mode = checked.mode ?? (checked.type === 'mkdir' ? 0o755 : 0o644);
        validateInteger(mode, `${name}.mode`, 0, 0o7777);
        this.entries.push({ ...checked, target: this.#target(checked.target, name), mode });
        break;
      }
      case 'symlink':
        this.entries.push({ ...checked, target: this.#target(checked.target, name) });
        break;
    }
  }

  #bind(mount: Mount & { type: 'bind' }, name: string): void {
    const { source, recursive = true, optional = false, readOnly = false } = mount;
    const { nosuid = true, nodev = true, noexec = false } = mount;
    const target = this.#target(mount.target ?? absolute(source, `${name}.source`), name);
    let attributes = 0;
    if (readOnly) attributes |= MOUNT_ATTR_RDONLY;
    if (nosuid) attributes |= MOUNT_ATTR_NOSUID;
    if (nodev) attributes |= MOUNT_ATTR_NODEV;
    if (noexec) attributes |= MOUNT_ATTR_NOEXEC;
    if (attributes !== 0) needsLinux('5.12', 'a bind mount with attributes');
    const create = this.#isOwn(target);
    this.entries.push({ type: 'bind', source, target, recursive, attributes, optional, create });
    this.#made.push({ target, own: false });
  }

  #filesystem(
    filesystem: string,
    path: string,
    name: string,
    flags: number,
    options: string,
    own: boolean,
    common = MS_NOSUID | MS_NODEV,
  ): void {
    const target = this.#target(path, name);
    const create = this.#isOwn(target);
    const all = flags | common;
    this.entries.push({ type: 'filesystem', filesystem, target, flags: all, options, create });
    this.#made.push({ target, own });
  }

  /**
   * What root may write to there is the whole machine's, and the kernel asks only for the id: also
   * in a user namespace, unless that gives it another.
   */
  #protectProc(target: string, name: string): void {
    if (process.geteuid?.() !== 0) return;
    for (const part of MACHINE_WIDE) {
      const source = `/proc/${part}`;
      const place = { source, target: `${target}/${part}` };
      this.#bind({ type: 'bind', ...place, readOnly: true, noexec: true, optional: true }, name);
    }
  }

  #dev(target: string, name: string): void {
    this.#filesystem('tmpfs', target, name, MS_NOEXEC, 'mode=755', true);
    for (const entry of devices(target)) {
      if (entry.type === 'bind') this.#bind(entry, name);
      else if (entry.type === 'devpts') {
        // Its devices are to be opened.
        this.#filesystem('devpts', entry.target, name, MS_NOEXEC, entry.options, false, MS_NOSUID);
      } else this.add(entry, name);
    }
  }

  #overlay({ lower, upper, work, target: path }: Mount & { type: 'overlay' }, name: string): void {
    validateArray(lower, `${name}.lower`);
    if (lower.length === 0) throw invalidArgValue(`${name}.lower`, lower, 'cannot be empty');
    const layer = (value: unknown, where: string): string => {
      const text = absolute(value, where);
      if (/[:,\\]/.test(text)) throw invalidArgValue(where, text, 'must be without : , and \\');
      return text;
    };
    const layers = lower.map((each, i) => layer(each, `${name}.lower[${i}]`));
    if ((upper === undefined) !== (work === undefined)) {
      throw invalidArgValue(`${name}.work`, work, 'must be given with upper, and only with it');
    }
    if (upper === undefined && layers.length === 1) {
      throw invalidArgValue(`${name}.lower`, lower, 'must be at least two, or have an upper');
    }
    const options = [`lowerdir=${layers.join(':')}`];
    if (upper !== undefined) options.push(`upperdir=${layer(upper, `${name}.upper`)}`);
    if (work !== undefined) options.push(`workdir=${layer(work, `${name}.work`)}`);
    // Trusted attributes are of the first user namespace only.
    options.push('userxattr');
    const target = this.#target(path, name);
    this.entries.push({
      type: 'overlay',
      lower: layers[0] as string,
      options: options.join(','),
      target,
      create: this.#isOwn(target),
    });
    this.#made.push({ target, own: false });
  }

  #target(path: unknown, name: string): string {
    const where = `${name}.target`;
    const target = absolute(path, where);
    if (target.split('/').includes('..')) throw invalidArgValue(where, path, 'must be without ..');
    const normal = posix.normalize(target);
    return normal === '/' ? normal : normal.replace(/\/$/, '');
  }

  /** Whether what is mounted last above a target is of this list's own making. */
  #isOwn(target: string): boolean {
    const above = this.#made.filter(
      (each) => each.target === '/' || `${target}/`.startsWith(`${each.target}/`),
    );
    const length = Math.max(...above.map((each) => each.target.length));
    return above.findLast((each) => each.target.length === length)?.own ?? false;
  }
}
