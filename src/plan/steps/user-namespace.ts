import type { Place } from '../../program/instruction.js';
import {
  __WALL,
  AT_FDCWD,
  CLONE_NEWUSER,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  O_CLOEXEC,
  O_PATH,
  P_PID,
  POLLIN,
  PR_SET_DUMPABLE,
  WEXITED,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';
import { writeFile } from './namespaces.js';

export type UserNamespaceStep = {
  /** A new user namespace with its id maps: user_namespaces(7). */
  readonly type: 'userNamespace';
  /** Contents of uid_map and gid_map. */
  readonly uidMap: string;
  readonly gidMap: string;
  /**
   * `self`: the process maps its own ids and no others, which needs no privilege; setgroups(2) is
   * forbidden for good then. `parent`: maps of any ids, written from the namespace outside.
   */
  readonly writer: 'self' | 'parent';
  /** Ids inside that the process takes because its own have none there. */
  readonly become?: { readonly uid?: number; readonly gid?: number };
};

const STEP = { step: 'user namespace' };

export const USER_NAMESPACE_STEPS: StepKinds<UserNamespaceStep> = {
  userNamespace: {
    imageOnly: 'namespaces change: direct shares memory with the child',
    emit(step, emitter) {
      if (step.writer === 'self') {
        emitter.call('unshare', [CLONE_NEWUSER], STEP);
        writeFile(emitter, AT_FDCWD, '/proc/self/setgroups', 'deny', 'deny setgroups');
        writeFile(emitter, AT_FDCWD, '/proc/self/uid_map', step.uidMap, 'uid map');
        writeFile(emitter, AT_FDCWD, '/proc/self/gid_map', step.gidMap, 'gid map');
      } else fromOutside(step, emitter);
      become(step, emitter);
    },
  },
};

/**
 * The maps are written by a child that is made before the namespace is, and so stays outside. It
 * waits for an eventfd, and for its parent's pidfd: that is readable when the parent has failed.
 */
function fromOutside({ uidMap, gidMap }: UserNamespaceStep, emitter: Emitter): void {
  const { b, site } = emitter;
  const { structs, wordSize } = site.machine;
  const [writer, written] = [b.label('map writer'), b.label()];
  const [self, event, pidfd, child] = [b.words(0), b.words(0), b.words(0), b.words(0)];
  const step = { step: 'uid map' };

  // Whatever process id this one has in the namespace of that /proc.
  const path = '/proc/self/.';
  b.resultTo(
    emitter.call('openat', [AT_FDCWD, b.string(path), O_PATH | O_CLOEXEC, 0], { ...step, path }),
    self,
  );
  b.resultTo(emitter.call('eventfd2', [0, EFD_CLOEXEC | EFD_NONBLOCK], step), event);
  openOwnPidfd(emitter, pidfd, step.step);
  // No signal at its end: were SIGCHLD ignored, there would be nothing to wait for.
  b.resultTo(emitter.call('clone', [0, 0, 0, 0, 0], step), child);
  b.branchIfEqual(child, 0, writer);

  emitter.call('unshare', [CLONE_NEWUSER], STEP);
  b.copy(event, b.argumentOf(b.position + 1, 0));
  const one = new Uint8Array(8);
  one[0] = 1;
  emitter.call('write', [0, b.bytes(one, 8), 8], step);
  const end = b.reserve(structs.siginfo.size, 8);
  const status: Place = { ...end, offset: end.offset + structs.siginfo.status };
  b.copy(child, b.argumentOf(b.position + 1, 1));
  emitter.call('waitid', [P_PID, 0, end, WEXITED | __WALL, 0], step);
  b.branchIfEqual(status, 0, written);
  const reported = b.label();
  b.branchIfEqual(status, 127, reported);
  // It was killed. That leaves no error number but this.
  b.copy(child, b.argumentOf(b.position + 1, 1));
  emitter.call('waitid', [P_PID, 0, end, WEXITED | __WALL, 0], step);
  b.place(reported);
  b.syscall('exit_group', [127]);

  b.place(writer);
  const polled = b.words(0, 0, 0, 0);
  waitReadable(emitter, [event, pidfd], polled, wordSize);
  b.copy(event, b.argumentOf(b.position + 1, 0));
  const gone = b.label();
  b.syscall('read', [0, b.reserve(8, 8), 8], { onError: gone });
  writeFile(emitter, self, 'uid_map', uidMap, 'uid map');
  writeFile(emitter, self, 'gid_map', gidMap, 'gid map');
  b.place(gone);
  b.syscall('exit_group', [0]);

  b.place(written);
  for (const fd of [self, event, pidfd]) {
    b.copy(fd, b.argumentOf(b.position + 1, 0));
    b.syscall('close', [0]);
  }
}

/** pidfd_open(2) of this very process. */
export function openOwnPidfd(emitter: Emitter, pidfd: Place, step: string): void {
  const { b } = emitter;
  const getpid = b.syscall('getpid', []);
  b.resultTo(getpid, b.argumentOf(getpid + 1, 0));
  b.resultTo(emitter.call('pidfd_open', [0, 0], { step }), pidfd);
}

/** ppoll(2) until one of the descriptors is readable. `structs` has a word for each half of one. */
function waitReadable(
  { b }: Emitter,
  descriptors: readonly Place[],
  structs: Place,
  wordSize: 4 | 8,
): void {
  descriptors.forEach((fd, i) => {
    fillPoll(b, fd, { ...structs, offset: structs.offset + 8 * i }, wordSize);
  });
  b.syscall('ppoll', [structs, descriptors.length, 0, 0, 8]);
}

/** Fills in a struct pollfd: a descriptor in the lower half, POLLIN in the upper. */
export function fillPoll(b: Emitter['b'], fd: Place, struct: Place, wordSize: 4 | 8): void {
  if (wordSize === 8) {
    b.copy(fd, struct);
    b.add(POLLIN * 2 ** 32, struct);
  } else {
    b.copy(fd, struct);
    b.copy(b.words(POLLIN), { ...struct, offset: struct.offset + 4 });
  }
}

/** Ids of the namespace, in place of those that it does not map. */
function become({ become: ids }: UserNamespaceStep, emitter: Emitter): void {
  if (ids === undefined) return;
  const { uid, gid } = ids;
  if (gid !== undefined) {
    emitter.call('setgroups', [0, 0], { step: 'setgroups' });
    emitter.call('setresgid', [gid, gid, gid], { step: 'setgid' });
  }
  if (uid !== undefined) emitter.call('setresuid', [uid, uid, uid], { step: 'setuid' });
  // The change of ids has given /proc/self to root outside.
  emitter.b.syscall('prctl', [PR_SET_DUMPABLE, 1]);
}
