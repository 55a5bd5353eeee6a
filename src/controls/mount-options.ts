import { invalidArgType, invalidArgValue } from '../errors.js';
import {
  validateBoolean,
  validateCString,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import type { Root } from './root.js';

/** What may be said of each mount of files: mount_setattr(2). */
export interface MountAttributes {
  /** Default false. */
  readonly readOnly?: boolean | undefined;
  /** Set-user-ID bits and file capabilities do nothing. Default true. */
  readonly nosuid?: boolean | undefined;
  /** Device files cannot be opened. Default true. */
  readonly nodev?: boolean | undefined;
  /** Programs cannot be executed. Default false. */
  readonly noexec?: boolean | undefined;
}

/**
 * A change of the tree of files. `source` is a path that this process sees, before any of the
 * changes; `target` an absolute path in the child's root, without `.` and `..`.
 */
export type Mount =
  /** A file or directory in another place too, with what is mounted below it. Linux 5.12. */
  | ({
      readonly type: 'bind';
      readonly source: string;
      /** Default: the source. */
      readonly target?: string | undefined;
      /** With all mounts below. Default true; the kernel refuses false for some of its own. */
      readonly recursive?: boolean | undefined;
      /** A source that is not there is left out. Default false. */
      readonly optional?: boolean | undefined;
    } & MountAttributes)
  /** An empty file system in memory: tmpfs(5). */
  | {
      readonly type: 'tmpfs';
      readonly target: string;
      /** Bytes, as a number or with a unit. Default: half of the memory. */
      readonly size?: number | string | undefined;
      /** Default 0o755. */
      readonly mode?: number | undefined;
    }
  /**
   * proc(5). Without a new pid namespace, the one that is there, by a bind mount. If root launches,
   * what is the machine's in it (sys, sysrq-trigger, irq, bus and others) is read-only.
   */
  | { readonly type: 'proc'; readonly target?: string | undefined }
  /** A minimal /dev: null, zero, full, random, urandom, tty, pts, shm and the usual links. */
  | { readonly type: 'dev'; readonly target?: string | undefined }
  /** POSIX message queues: mq_overview(7). Of a new ipc namespace. */
  | { readonly type: 'mqueue'; readonly target?: string | undefined }
  /** Directories as one, the first on top: overlayfs, Linux 5.11 without privilege. */
  | {
      readonly type: 'overlay';
      readonly lower: readonly string[];
      /** Where changes go, and a directory beside it for the kernel. Without them: read-only. */
      readonly upper?: string | undefined;
      readonly work?: string | undefined;
      readonly target: string;
    }
  /** What is mounted at `target` cannot be written to any more. Linux 5.12. */
  | {
      readonly type: 'remountReadOnly';
      readonly target: string;
      /** With all mounts below. Default false. */
      readonly recursive?: boolean | undefined;
    }
  /** A directory, with those above it; one that is there is left alone. Default mode 0o755. */
  | { readonly type: 'mkdir'; readonly target: string; readonly mode?: number | undefined }
  /** A symbolic link. */
  | { readonly type: 'symlink'; readonly target: string; readonly to: string }
  /** A new file. Default mode 0o644. */
  | {
      readonly type: 'file';
      readonly target: string;
      readonly content: string;
      readonly mode?: number | undefined;
    };

export interface MountOptions {
  /**
   * Mounts in a new mount namespace, in this order. What is missing of a target is made if it is in
   * a file system of this list, or of an empty root; elsewhere it must be there. Default: none.
   * Needs CAP_SYS_ADMIN, as in a new user namespace. Linux 5.2.
   */
  mounts?: readonly Mount[] | undefined;
  /**
   * The root directory: a path of this process's, or an empty file system to be filled by
   * `mounts`. pivot_root(2) in a new mount namespace; chroot(2) only if that is asked for.
   * The working directory is `/` then, unless `cwd` is given. Default: this process's.
   */
  root?: string | Root | undefined;
}

/** Fields of each type: a question mark for those that may be missing. */
const FIELDS: Readonly<Record<Mount['type'], readonly string[]>> = {
  bind: [
    ...['source', 'target?', 'recursive?', 'optional?'],
    ...['readOnly?', 'nosuid?', 'nodev?', 'noexec?'],
  ],
  tmpfs: ['target', 'size?', 'mode?'],
  proc: ['target?'],
  dev: ['target?'],
  mqueue: ['target?'],
  overlay: ['lower', 'upper?', 'work?', 'target'],
  remountReadOnly: ['target', 'recursive?'],
  mkdir: ['target', 'mode?'],
  symlink: ['target', 'to'],
  file: ['target', 'content', 'mode?'],
};

const BOOLEANS = ['recursive', 'optional', 'readOnly', 'nosuid', 'nodev', 'noexec'];

/** An absolute path. */
export function absolute(path: unknown, name: string): string {
  validateCString(path, name);
  if (!path.startsWith('/')) throw invalidArgValue(name, path, 'must be an absolute path');
  return path;
}

/** Checks the fields of a mount: which there are, and those that are strings or booleans. */
export function checkMount(given: unknown, name: string): Mount {
  validateObject(given, name);
  const mount = given as Record<string, unknown>;
  const { type } = mount;
  if (typeof type !== 'string' || !Object.hasOwn(FIELDS, type)) {
    const known = Object.keys(FIELDS).join(', ');
    throw invalidArgValue(`${name}.type`, type, `must be one of: ${known}`);
  }
  const fields = FIELDS[type as Mount['type']];
  validateOptionNames(mount, ['type', ...fields.map((field) => field.replace('?', ''))]);
  for (const field of fields) {
    const key = field.replace('?', '');
    const value = mount[key];
    const where = `${name}.${key}`;
    if (value === undefined) {
      if (!field.endsWith('?')) throw invalidArgType(where, 'given', value);
    } else if (BOOLEANS.includes(key)) validateBoolean(value, where);
    else if (key === 'content') {
      if (typeof value !== 'string') throw invalidArgType(where, 'of type string', value);
    } else if (!['size', 'mode', 'lower'].includes(key)) validateCString(value, where);
  }
  return given as Mount;
}
