import type { Place } from '../../program/instruction.js';
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
} from '../constants.js';
import type { Emitter } from './emitter.js';
import { openTree, setAttributes } from './mounts.js';

/** Where the process's root will be. */
export type NewRoot =
  /** A copy of the tree at `path`, by pivot_root(2): the old root is out of reach. */
  | { readonly type: 'pivotRoot'; readonly path: string; readonly readOnly: boolean }
  /** An empty file system, by pivot_root(2). `options` are those of tmpfs(5). */
  | {
      readonly type: 'tmpfs';
      readonly options: Readonly<Record<string, string>>;
      readonly readOnly: boolean;
    }
  /** chroot(2). The old root stays mounted. */
  | { readonly type: 'chroot'; readonly path: string };

/** Makes the new root the root, and the working directory. */
export function enterRoot(root: NewRoot, emitter: Emitter): void {
  const { b } = emitter;
  if (root.type === 'chroot') {
    const { path } = root;
    emitter.call('chroot', [b.string(path)], { step: 'chroot', path });
    emitter.call('chdir', [b.string('/')], { step: 'chroot', path: '/' });
    return;
  }
  const tree = b.words(0);
  const path = root.type === 'tmpfs' ? '/' : root.path;
  if (root.type === 'tmpfs') emptyRoot(root.options, tree, emitter);
  else {
    openTree(path, true, tree, false, emitter, 'root');
    if (root.readOnly) {
      b.copy(tree, b.argumentOf(b.position + 1, 0));
      setAttributes(0, '', true, MOUNT_ATTR_RDONLY, { step: 'root', path }, emitter);
    }
  }
  // On top of the old root, where nothing but the descriptor leads to it.
  b.copy(tree, b.argumentOf(b.position + 3, 0));
  b.copy(tree, b.argumentOf(b.position + 3, 0));
  b.copy(tree, b.argumentOf(b.position + 3, 0));
  const args = [0, b.string(''), AT_FDCWD, b.string('/'), MOVE_MOUNT_F_EMPTY_PATH];
  emitter.call('move_mount', args, { step: 'root', path });
  emitter.call('fchdir', [0], { step: 'root', path });
  b.syscall('close', [0]);
  // The old root is mounted upon the new one then, and paths from the new root do not cross it.
  const here = b.string('.');
  emitter.call('pivot_root', [here, here], { step: 'pivot root', path });
}

/**
 * The end of what enterRoot() began. Not earlier: the kernel lets a user namespace mount a proc
 * file system only where one is in sight.
 */
export function leaveOldRoot(root: NewRoot, emitter: Emitter): void {
  if (root.type === 'chroot') return;
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
