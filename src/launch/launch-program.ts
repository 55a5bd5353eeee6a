import type { Machine } from '../machine/machine.js';
import { SIGSET_SIZE } from '../machine/structs.js';
import {
  AT_EMPTY_PATH,
  EAGAIN,
  EPOLL_CTL_ADD,
  EPOLLIN,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  F_SETFD,
  SIG_SETMASK,
} from '../plan/constants.js';
import { offsetBy, ProgramBuilder } from '../program/builder.js';
import { type Place, type Program, WORD } from '../program/instruction.js';
import { emitClone, emitCloneBeside, emitCloneIntoCgroup } from './clone.js';

/** Name of the memfd, by which the helper shows in ps(1) until the target's exec. */
export const HELPER_NAME = 'safeexec';

/**
 * What the new process runs: an image in a memfd that the program makes, an image in a file that it
 * is given, or the plan itself, in the parent's memory.
 */
export type Carrier = 'memfd' | 'file' | 'direct';

/** The words of a launch program that its caller sets before, or reads after, a run. */
export interface LaunchPlaces {
  /** memfd: flags of memfd_create(2), and the image with its size. */
  readonly memfdFlags: Place | null;
  readonly image: Place | null;
  readonly imageSize: Place | null;
  /** memfd, file: the vectors for the helper. */
  readonly argv: Place | null;
  readonly envp: Place | null;
  /** direct: address of the plan's first instruction. */
  readonly plan: Place | null;
  /** The descriptors that must reach the new process: address of a list of words, and its end. */
  readonly descriptors: Place;
  readonly descriptorsEnd: Place;
  /** null if the outcome is not asked for. */
  readonly errorRead: Place | null;
  readonly errorWrite: readonly [Place, Place];
  /** Flags of the clone, with CLONE_PIDFD, and where there is a second attempt without. */
  readonly cloneFlags: readonly [Place, Place | null];
  /** The directory of the control group to start in, if that is what the program does. */
  readonly cgroup: Place | null;
  /** Addresses of the slots of the error pipe's write end and the image: they are closed here. */
  readonly slots: readonly [Place, Place];
  /** To be -1 before a run; file: the descriptor of the image, which the program closes. */
  readonly memfd: Place;
  /** To be -1 before a run; -1 after it if no child was started. */
  readonly pid: Place;
  readonly pidfd: Place;
  /** What reading the error pipe gave: a size, or a negated error number; and what was read. */
  readonly outcome: Place;
  readonly record: Place;
  /** The records of failures, each to be 0 before a run. */
  readonly failures: {
    /** Up to and including the clone: there is no child, or none any more. */
    readonly unstarted: readonly Place[];
    /** The child is there, but epoll did not take a descriptor. */
    readonly unwatched: Place;
  };
}

export interface LaunchProgram {
  readonly program: Program;
  readonly places: LaunchPlaces;
}

/** What the thread's watcher contributes: its epoll descriptor, and its count of descriptors. */
export interface WatchSite {
  readonly epoll: number;
  readonly live: number;
}

/** What a launch program is made for. */
export interface LaunchVariant {
  readonly carrier: Carrier;
  /** Has the kernel start the child in a control group: clone3(2), Linux 5.7. */
  readonly intoCgroup: boolean;
  /**
   * Address of a word that is not 0 as long as the child shares this memory, which must not be
   * changed meanwhile, and of one for its pid. null: the launch itself takes until then.
   */
  readonly sharing: number | null;
}

/**
 * The parent's half of a launch: the new process execs an image of the plan, or runs it. When the
 * program halts the child is in the thread's epoll set. If the launch waited for it, then the error
 * pipe has been asked for the outcome, should it be there already.
 */
export function launchProgram(
  machine: Machine,
  { carrier, intoCgroup, sharing }: LaunchVariant,
  watch: WatchSite,
): LaunchProgram {
  const { wordSize, structs } = machine;
  const direct = carrier === 'direct';
  const b = new ProgramBuilder(wordSize);
  const [cloneFails, restoring, closing] = [b.label('clone failed'), b.label(), b.label('close')];
  const [child, given, childFails] = [b.label('child'), b.label(), b.label('child failed')];
  const [unwatched, done] = [b.label('unwatched'), b.label('done')];

  const memfd = b.words(-1);
  const pid = b.words(-1);
  const outcome = b.words(-EAGAIN);
  const record = b.reserve(2 * wordSize);
  const all = b.bytes(new Uint8Array(SIGSET_SIZE).fill(255), 8);
  const old = b.reserve(SIGSET_SIZE, 8);
  // Words are read from the data of the event, so there is room for a whole one.
  const blank = new Uint8Array(structs.epollEvent.size + wordSize);
  blank[0] = EPOLLIN;
  const event = b.bytes(blank, 8);
  // The kernel writes the pidfd to where it is the event's data as well.
  const pidfd = offsetBy(event, structs.epollEvent.data);

  let create = -1;
  let write = -1;
  if (carrier === 'memfd') {
    create = b.syscall('memfd_create', [b.string(HELPER_NAME), 0], {
      result: memfd,
      onError: closing,
      step: { step: 'memfd_create' },
    });
    b.copy(memfd, b.argumentOf(b.position + 2, 0));
    b.copy(memfd, b.argumentOf(b.position + 2, 0));
    write = b.syscall('write', [0, 0, 0], { onError: closing, step: { step: 'write image' } });
    const seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    b.syscall('fcntl', [0, F_ADD_SEALS, seals], {
      onError: closing,
      step: { step: 'seal image' },
    });
  }
  b.syscall('rt_sigprocmask', [SIG_SETMASK, all, old, SIGSET_SIZE], {
    onError: closing,
    step: { step: 'block signals' },
  });
  const site = { pid, pidfd, child, restoring, failed: cloneFails };
  const clone = intoCgroup
    ? emitCloneIntoCgroup(b, site)
    : sharing === null
      ? emitClone(b, site)
      : emitCloneBeside(b, site, sharing);
  b.place(cloneFails);
  b.copy(b.words(-1), pid);
  if (sharing !== null) b.copy(b.words(0), sharing);
  b.place(restoring);
  b.syscall('rt_sigprocmask', [SIG_SETMASK, old, 0, SIGSET_SIZE]);
  b.place(closing);
  b.copy(memfd, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [-1]);
  const closeWrite = b.syscall('close', [-1]);
  const none = b.words(-1);
  const slots = [b.copy(none, 0), b.copy(none, 0)] as const;
  b.branchIfEqual(pid, -1, done);

  // EAGAIN, as a rule: the helper is still on its way.
  const read =
    sharing === null ? b.syscall('read', [0, record, 2 * wordSize], { result: outcome }) : -1;
  b.copy(pidfd, b.argumentOf(b.position + 1, 2));
  b.syscall('epoll_ctl', [watch.epoll, EPOLL_CTL_ADD, 0, event], {
    onError: unwatched,
    step: { step: 'watch child' },
  });
  b.add(1, watch.live);
  b.place(unwatched);
  b.place(done);
  b.halt();

  // The child. It shares the parent's memory, and may write only what is set before each run.
  b.place(child);
  const next = b.position + 1;
  const each = b.branchIfEqual(b.argumentOf(next, 0), 0, given);
  b.copy(0, b.argumentOf(next + 1, 0));
  b.syscall('fcntl', [0, F_SETFD, 0], { onError: childFails, step: { step: 'descriptors' } });
  b.add(wordSize, b.argumentOf(next, 0));
  b.jump(child);
  b.place(given);
  let execveat = -1;
  if (direct) {
    b.jump(given); // to the plan: its address is set before each run
  } else {
    b.copy(memfd, b.argumentOf(b.position + 1, 0));
    execveat = b.syscall('execveat', [0, b.string(''), 0, 0, AT_EMPTY_PATH], {
      onError: childFails,
      step: { step: 'start helper' },
    });
  }
  b.place(childFails);
  const report = b.syscall('write', [-1, b.wordOf(b.position, WORD.failedAt), 2 * wordSize]);
  const exit = b.here();
  b.syscall('exit_group', [127]);
  b.jump(exit);

  const failedAt = (label: { index: number }): Place => b.wordOf(label.index, WORD.failedAt);
  const argumentOf = (index: number, argument: number): Place | null =>
    index < 0 ? null : b.argumentOf(index, argument);
  return {
    program: b.build(),
    places: {
      memfdFlags: argumentOf(create, 1),
      image: argumentOf(write, 1),
      imageSize: argumentOf(write, 2),
      argv: argumentOf(execveat, 2),
      envp: argumentOf(execveat, 3),
      plan: direct ? b.wordOf(given.index, WORD.target) : null,
      descriptors: b.argumentOf(next, 0),
      descriptorsEnd: b.argumentOf(each, 1),
      errorRead: argumentOf(read, 0),
      errorWrite: [b.argumentOf(closeWrite, 0), b.argumentOf(report, 0)],
      cloneFlags: clone.flags,
      cgroup: clone.cgroup,
      slots: [b.wordOf(slots[0], WORD.result), b.wordOf(slots[1], WORD.result)],
      memfd,
      pid,
      pidfd,
      outcome,
      record,
      failures: {
        unstarted: [...clone.failures, cloneFails, closing].map(failedAt),
        unwatched: failedAt(unwatched),
      },
    },
  };
}
