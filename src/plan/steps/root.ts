import type { Place, StepName } from '../../program/instruction.js';
import {
  AT_FDCWD,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  O_CLOEXEC,
  O_PATH,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import { openTree, setAttributes } from './mounts.js';

/** Where the process's root will be. */
export type NewRoot =
  /** A copy of the tree at `path`, by pivot_root(2): the old root is out of reach. */
  | {
      readonly type: 'pivotRoot';
      readonly path: string;
      /** MOUNT_ATTR_ flags that are set, of all mounts below it too. */
      readonly attributes: number;
    }
  /** An empty file system, by pivot_root(2). `options` are those of tmpfs(5). */
  | {
      readonly type: 'tmpfs';
      readonly options: Readonly<Record<string, string>>;
      readonly readOnly: boolean;
    }
  /** chroot(2). The old root stays mounted. */
  | { readonly type: 'chroot'; readonly path: string };

/** Makes the new root the root, and the working directory. Gives what ends it, behind the mounts. */
export function enterRoot(root: NewRoot, emitter: Emitter): () => void {
  const { b } = emitter;
  if (root.type === 'chroot') {
    const { path } = root;
    emitter.call('chroot', [b.string(path)], { step: 'chroot', path });
    emitter.call('chdir', [b.string('/')], { step: 'chroot', path: '/' });
    return () => {};
  }
  const [tree, outside] = [b.words(0), b.words(0)];
  const path = root.type === 'tmpfs' ? '/' : root.path;
  const step = { step: 'root', path };
  if (root.type === 'tmpfs') emptyRoot(root.options, tree, emitter);
  else {
    openTree(path, true, tree, false, emitter, 'root');
    if (root.attributes !== 0) {
      b.copy(tree, b.argumentOf(b.position + 1, 0));
      setAttributes(0, '', true, root.attributes, step, emitter);
    }
  }
  const old = [AT_FDCWD, b.string('/'), O_PATH | O_CLOEXEC, 0];
  b.resultTo(emitter.call('openat', old, step), outside);
  // On top of the old root, where nothing but the descriptor leads to it.
  b.copy(tree, b.argumentOf(b.position + 1, 0));
  const args = [0, b.string(''), AT_FDCWD, b.string('/'), MOVE_MOUNT_F_EMPTY_PATH];
  emitter.call('move_mount', args, step);
  // Not by pivot_root(2) yet, which would put the old root on top: a target with a link that leads
  // up to the root would be found there, in the files outside.
  confine(tree, step, emitter);
  return () => {
    confine(outside, step, emitter);
    enter(tree, step, emitter);
    const here = b.string('.');
    emitter.call('pivot_root', [here, here], { step: 'pivot root', path });
    for (const fd of [tree, outside]) {
      b.copy(fd, b.argumentOf(b.position + 1, 0));
      b.syscall('close', [0]);
    }
    leaveOldRoot(root, emitter);
  };
}

/** fchdir(2). */
function enter(directory: Place, step: StepName, emitter: Emitter): void {
  const { b } = emitter;
  b.copy(directory, b.argumentOf(b.position + 1, 0));
  emitter.call('fchdir', [0], step);
}

/** Paths start and end at a directory, which is the working directory too. */
function confine(directory: Place, step: StepName, emitter: Emitter): void {
  enter(directory, step, emitter);
  emitter.call('chroot', [emitter.b.string('.')], step);
}

/**
 * The old root is upon the new one, and is taken away. Not earlier: the kernel lets a user
 * namespace mount a proc file system only where one is in sight.
 */
function leaveOldRoot(root: NewRoot & { type: 'pivotRoot' | 'tmpfs' }, emitter: Emitter): void {
  const { b } = emitter;
  const step = { step: 'detach old root' };
  emitter.call('umount2', [b.string('.'), MNT_DETACH], step);
  emitter.call('chdir', [b.string('/')], step);
  if (root.type === 'tmpfs' && root.readOnly) {
    const step = { step: 'root', path: '/' };
    setAttributes(AT_FDCWD, '/', false, MOUNT_ATTR_RDONLY, step, emitter);
  }
}

/** A tmpfs that is mounted nowhere yet: fsopen(2), fsmount(2). Linux 5.2. */
function emptyRoot(options: Readonly<Record<string, string>>, tree: Place, emitter: Emitter): void {
  const { b } = emitter;
  const step = { step: 'root', path: 'tmpfs' };
  const context = b.words(0);
  const use = (name: string, ...args: Parameters<Emitter['call']>[1]): number => {
    b.copy(context, b.argumentOf(b.position + 1, 0));
    return emitter.call(name, [0, ...args], step);
  };
  b.resultTo(emitter.call('fsopen', [b.string('tmpfs'), FSOPEN_CLOEXEC], step), context);
  for (const [name, value] of Object.entries(options)) {
    use('fsconfig', FSCONFIG_SET_STRING, b.string(name), b.string(value), 0);
  }
  use('fsconfig', FSCONFIG_CMD_CREATE, 0, 0, 0);
  const attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  b.resultTo(use('fsmount', FSMOUNT_CLOEXEC, attributes), tree);
  b.copy(context, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0]);
}
