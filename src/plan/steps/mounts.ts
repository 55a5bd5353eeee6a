import type { Operand, Place } from '../../program/instruction.js';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  EEXIST,
  ENOENT,
  ENOTDIR,
  MNT_DETACH,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_SIZE_VER0,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_SYMLINKS,
  MS_PRIVATE,
  MS_REC,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_PATH,
  O_WRONLY,
  OPEN_TREE_CLONE,
  PATH_MAX,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';
import { enterRoot, type NewRoot } from './root.js';

/**
 * One change of the tree of files. `source` is a path of the root that the process was launched
 * in, `target` one of its root in the end. `create`: what is missing of the target is made.
 */
export type Mount =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly recursive: boolean;
      /** MOUNT_ATTR_ flags that are set. */
      readonly attributes: number;
      /** A source that is not there is no error. */
      readonly optional: boolean;
      readonly create: boolean;
    }
  | {
      readonly type: 'filesystem';
      readonly filesystem: string;
      readonly target: string;
      readonly flags: number;
      readonly options: string;
      readonly create: boolean;
    }
  /** Lower directories, the uppermost first, and above them perhaps one that is written to. */
  | {
      readonly type: 'overlay';
      readonly lower: string;
      readonly options: string;
      readonly target: string;
      readonly create: boolean;
    }
  | { readonly type: 'remountReadOnly'; readonly target: string; readonly recursive: boolean }
  /** With the directories above it. */
  | { readonly type: 'mkdir'; readonly target: string; readonly mode: number }
  | { readonly type: 'symlink'; readonly target: string; readonly to: string }
  | {
      readonly type: 'file';
      readonly target: string;
      readonly content: string;
      readonly mode: number;
    };

export type MountStep =
  /** No mount is propagated from this namespace, or into it: mount_namespaces(7). */
  | { readonly type: 'privateMounts' }
  /**
   * Mounts, in this order, in a new root if there is one. All sources are opened before anything
   * changes. The file mode creation mask does not count.
   */
  | { readonly type: 'mounts'; readonly root: NewRoot | null; readonly mounts: readonly Mount[] };

const imageOnly = 'mounts and the root change: direct shares memory with the child';

export const MOUNT_STEPS: StepKinds<MountStep> = {
  privateMounts: {
    imageOnly,
    emit(_, emitter) {
      const { b } = emitter;
      const step = { step: 'private mounts' };
      emitter.call('mount', [b.string('none'), b.string('/'), 0, MS_REC | MS_PRIVATE, 0], step);
    },
  },
  mounts: {
    imageOnly,
    emit({ root, mounts }, emitter) {
      const { b } = emitter;
      const mask = b.words(0);
      b.syscall('umask', [0], { result: mask });
      const sources = mounts.map((mount) => openSource(mount, emitter));
      const cwd = b.reserve(root === null ? PATH_MAX : 0);
      if (root === null) b.syscall('getcwd', [cwd, PATH_MAX]);
      const finish = root === null ? () => again(cwd, emitter) : enterRoot(root, emitter);
      const made = new Set<string>();
      mounts.forEach((mount, i) => {
        place(mount, sources[i] as Place, made, emitter);
      });
      finish();
      b.copy(mask, b.argumentOf(b.position + 1, 0));
      b.syscall('umask', [0]);
    },
  },
};

/** The directory by its name once more: what was there may be hidden now, and must be. */
function again(cwd: Place, { b }: Emitter): void {
  const [hidden, done] = [b.label(), b.label()];
  b.syscall('chdir', [cwd], { onError: hidden });
  b.jump(done);
  b.place(hidden);
  b.syscall('chdir', [b.string('/')]);
  b.place(done);
}

/** A copy of the tree at a source, with its attributes; gives the place of its descriptor. */
function openSource(mount: Mount, emitter: Emitter): Place | null {
  if (mount.type !== 'bind' && mount.type !== 'overlay') return null;
  const { b } = emitter;
  const tree = b.words(0);
  if (mount.type === 'overlay') {
    // Made where its lower directory is, copied, and taken away again: the paths of its options
    // mean something in the old root only.
    const path = mount.lower;
    const step = { step: 'overlay', path };
    const [name, at] = [b.string('overlay'), b.string(path)];
    emitter.call('mount', [name, at, name, 0, b.string(mount.options)], step);
    openTree(path, false, tree, false, emitter, step.step);
    emitter.call('umount2', [at, MNT_DETACH], step);
    return tree;
  }
  const { source, recursive, attributes, optional } = mount;
  openTree(source, recursive, tree, optional, emitter, 'bind');
  if (attributes !== 0) {
    const absent = b.label();
    if (optional) b.branchIfEqual(tree, -ENOENT, absent);
    b.copy(tree, b.argumentOf(b.position + 1, 0));
    setAttributes(0, '', recursive, attributes, { step: 'bind', path: source }, emitter);
    b.place(absent);
  }
  return tree;
}

/** open_tree(2). What is `optional` and missing leaves -ENOENT. */
export function openTree(
  path: string,
  recursive: boolean,
  result: Place,
  optional: boolean,
  emitter: Emitter,
  step: string,
): void {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  const args = [AT_FDCWD, emitter.b.string(path), flags];
  if (optional) tolerate(ENOENT, 'open_tree', args, result, { step, path }, emitter);
  else emitter.b.resultTo(emitter.call('open_tree', args, { step, path }), result);
}

/** mount_setattr(2): sets attributes and clears none. Linux 5.12. */
export function setAttributes(
  directory: number,
  path: string,
  recursive: boolean,
  attributes: number,
  step: { readonly step: string; readonly path: string },
  emitter: Emitter,
): void {
  const { b } = emitter;
  // struct mount_attr: four 64-bit numbers, of which this is the first.
  const bytes = new Uint8Array(MOUNT_ATTR_SIZE_VER0);
  bytes[0] = attributes;
  const flags = (path === '' ? AT_EMPTY_PATH : 0) | (recursive ? AT_RECURSIVE : 0);
  emitter.call(
    'mount_setattr',
    [directory, b.string(path), flags, b.bytes(bytes, 8), MOUNT_ATTR_SIZE_VER0],
    step,
  );
}

/**
 * A call that may fail with one error. Any other is reported, from a second attempt: the handler
 * that looks at the first has the record.
 */
function tolerate(
  errno: number,
  name: string,
  args: readonly Operand[],
  result: Place,
  step: { readonly step: string; readonly path: string },
  emitter: Emitter,
): void {
  const { b } = emitter;
  const [failed, done] = [b.label(), b.label()];
  b.syscall(name, args, { result, onError: failed, step });
  b.jump(done);
  b.place(failed);
  b.branchIfEqual(result, -errno, done);
  b.resultTo(emitter.call(name, args, step), result);
  b.place(done);
}

function place(mount: Mount, source: Place | null, made: Set<string>, emitter: Emitter): void {
  const { b } = emitter;
  const { target } = mount;
  const path = target;
  switch (mount.type) {
    case 'bind':
    case 'overlay': {
      const tree = source as Place;
      const absent = b.label();
      if (mount.type === 'bind' && mount.optional) b.branchIfEqual(tree, -ENOENT, absent);
      if (mount.create) makeTarget(tree, target, made, emitter);
      b.copy(tree, b.argumentOf(b.position + 2, 0));
      b.copy(tree, b.argumentOf(b.position + 2, 0));
      const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
      const args = [0, b.string(''), AT_FDCWD, b.string(target), flags];
      emitter.call('move_mount', args, { step: mount.type, path });
      b.syscall('close', [0]);
      b.place(absent);
      break;
    }
    case 'filesystem': {
      if (mount.create) makeDirectories(`${target}/.`, made, emitter);
      const { filesystem, flags, options } = mount;
      const name = b.string(filesystem);
      const args = [name, b.string(target), name, flags, b.string(options)];
      emitter.call('mount', args, { step: filesystem, path });
      break;
    }
    case 'remountReadOnly': {
      const step = { step: 'remount read-only', path };
      setAttributes(AT_FDCWD, target, mount.recursive, MOUNT_ATTR_RDONLY, step, emitter);
      break;
    }
    case 'mkdir': {
      makeDirectories(target, made, emitter);
      const args = [AT_FDCWD, b.string(target), mount.mode];
      tolerate(EEXIST, 'mkdirat', args, b.words(0), { step: 'mkdir', path }, emitter);
      made.add(target);
      break;
    }
    case 'symlink':
      makeDirectories(target, made, emitter);
      emitter.call('symlinkat', [b.string(mount.to), AT_FDCWD, b.string(target)], {
        step: 'symlink',
        path,
      });
      break;
    case 'file': {
      makeDirectories(target, made, emitter);
      const step = { step: 'file', path };
      const bytes = new TextEncoder().encode(mount.content);
      const flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
      const open = emitter.call('openat', [AT_FDCWD, b.string(target), flags, mount.mode], step);
      b.resultTo(open, b.argumentOf(open + 2, 0));
      b.copy(b.argumentOf(open + 2, 0), b.argumentOf(open + 3, 0));
      emitter.call('write', [0, b.bytes(bytes, 1), bytes.length], step);
      b.syscall('close', [0]);
      break;
    }
  }
}

/** What is to be mounted upon: a directory, or a file, as the source is. */
function makeTarget(tree: Place, target: string, made: Set<string>, emitter: Emitter): void {
  const { b } = emitter;
  makeDirectories(target, made, emitter);
  const [file, done] = [b.label(), b.label()];
  const opened = b.words(0);
  b.copy(tree, b.argumentOf(b.position + 1, 0));
  b.syscall('openat', [0, b.string('.'), O_PATH | O_CLOEXEC, 0], { result: opened });
  b.branchIfEqual(opened, -ENOTDIR, file);
  b.copy(opened, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0]);
  b.syscall('mkdirat', [AT_FDCWD, b.string(target), 0o755]);
  b.jump(done);
  b.place(file);
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  const made0 = b.syscall('openat', [AT_FDCWD, b.string(target), flags, 0o644]);
  b.resultTo(made0, b.argumentOf(made0 + 1, 0));
  b.syscall('close', [0]);
  b.place(done);
}

/** The directories above a path. What cannot be made, the mount will miss. */
function makeDirectories(path: string, made: Set<string>, { b }: Emitter): void {
  for (let end = path.indexOf('/', 1); end > 0; end = path.indexOf('/', end + 1)) {
    const directory = path.slice(0, end);
    if (made.has(directory)) continue;
    made.add(directory);
    b.syscall('mkdirat', [AT_FDCWD, b.string(directory), 0o755]);
  }
}
