import { SIGSET_SIZE } from '../../machine/structs.js';
import type { Label, Place } from '../../program/instruction.js';
import {
  __WALL,
  CLD_EXITED,
  P_ALL,
  P_PID,
  PR_GET_DUMPABLE,
  PR_SET_DUMPABLE,
  PR_SET_NAME,
  PR_SET_PDEATHSIG,
  SI_KERNEL,
  SIG_IGN,
  SIG_SETMASK,
  SIGCHLD,
  SIGKILL,
  WEXITED,
  WNOHANG,
} from '../constants.js';
import { LAST_DESCRIPTOR } from '../descriptors.js';
import { closeCounted, countFrom } from './close-each.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';
import { fillPoll, openOwnPidfd } from './user-namespace.js';

export type PidNamespaceStep =
  /**
   * Goes on in a child, which is the first in the pid namespace that was joined, or the second in
   * one that was made (`init`): there a process of its own is the first. This process stays
   * outside as a monitor: see pid-namespace.ts.
   */
  | { readonly type: 'forkIntoPidNamespace'; readonly init: boolean }
  /** The monitor's end is the target's: PR_SET_PDEATHSIG of prctl(2). */
  | { readonly type: 'endWithMonitor' };

const STEP = { step: 'pid namespace' };

export const PID_NAMESPACE_STEPS: StepKinds<PidNamespaceStep> = {
  forkIntoPidNamespace: {
    imageOnly: 'another process goes on: direct shares memory with the child',
    emit: ({ init }, emitter) => new Fork(emitter).emit(init),
  },
  endWithMonitor: {
    emit(_, emitter) {
      emitter.call('prctl', [PR_SET_PDEATHSIG, SIGKILL], { step: 'end with monitor' });
    },
  },
};

/**
 * Three processes: the *monitor*, which is what the launcher sees, outside of the namespace; the
 * *init*, its first process; and the *target*, which the rest of the plan makes.
 *
 * The init adopts what the target leaves behind, and ignores SIGCHLD so that the kernel reaps it.
 * It takes no signals but SIGKILL, which only reaches it from outside. When it ends, the kernel
 * ends all that is in the namespace; and it ends when the monitor does.
 *
 * The monitor is the target's parent. It passes on the signals that somebody sent, but not those
 * of the kernel: a terminal sends its own to the whole process group. When the target ends it
 * ends the init, reaps whatever else are its children until the namespace is empty, and ends as the
 * target did: with its code, or by its signal.
 *
 * Neither has a descriptor, and neither can be traced from inside: they are not dumpable, and
 * their memory belongs to the user namespace that they were launched in.
 */
class Fork {
  readonly #emitter: Emitter;
  readonly #all: Place;
  readonly #none: Place;
  /** A pidfd of the monitor. */
  readonly #monitor: Place;
  readonly #init: Place;
  readonly #target: Place;
  /** How many descriptors to close where there is no close_range(2). */
  #open: Place | null = null;
  /** The disposition of SIGCHLD, which the monitor must not ignore. */
  readonly #onChild: Place;

  constructor(emitter: Emitter) {
    this.#emitter = emitter;
    const { b, site } = emitter;
    this.#all = emitter.signalSet([0xffffffff, 0xffffffff]);
    this.#none = emitter.signalSet([0, 0]);
    [this.#monitor, this.#init, this.#target] = [b.words(0), b.words(0), b.words(0)];
    this.#onChild = b.reserve(site.machine.structs.sigaction.size + site.machine.wordSize);
  }

  emit(hasInit: boolean): void {
    const emitter = this.#emitter;
    const { b } = emitter;
    const [init, target] = [b.label('init'), b.label('target')];
    const [session, group] = [b.words(0), b.words(0)];
    const dumpable = b.words(0);
    const [own, ownAgain] = [b.words(0), b.words(0)];
    b.resultTo(emitter.call('getsid', [0], STEP), session);
    b.resultTo(emitter.call('getpgid', [0], STEP), group);
    b.syscall('getpid', [], { result: own });
    b.copy(own, ownAgain);
    const action = [SIGCHLD, emitter.defaultAction(), this.#onChild, SIGSET_SIZE];
    emitter.call('rt_sigaction', action, STEP);
    openOwnPidfd(emitter, this.#monitor, STEP.step);
    // Counted now: once the target goes on, /proc may be that of another pid namespace.
    if (emitter.site.closeRange === false) this.#open = countFrom(0, emitter);
    b.syscall('prctl', [PR_GET_DUMPABLE], { result: dumpable });
    emitter.call('prctl', [PR_SET_DUMPABLE, 0], STEP);
    if (hasInit) {
      // No signal at its end: SIGCHLD is of the target.
      b.resultTo(emitter.call('clone', [0, 0, 0, 0, 0], STEP), this.#init);
      b.branchIfEqual(this.#init, 0, init);
    }
    b.resultTo(emitter.call('clone', [SIGCHLD, 0, 0, 0, 0], STEP), this.#target);
    b.branchIfEqual(this.#target, 0, target);

    this.#watch(hasInit);
    if (hasInit) {
      b.place(init);
      this.#beInit();
    }
    b.place(target);
    b.copy(dumpable, b.argumentOf(b.position + 1, 1));
    b.syscall('prctl', [PR_SET_DUMPABLE, 0]);
    b.syscall('rt_sigaction', [SIGCHLD, this.#onChild, 0, SIGSET_SIZE]);
    if (!hasInit) this.#endWithMonitor();
    b.copy(this.#monitor, b.argumentOf(b.position + 1, 0));
    b.syscall('close', [0]);
    this.#lead(session, group, own, ownAgain);
  }

  /** The target leads a session, or a process group, if the launched process does. */
  #lead(session: Place, group: Place, own: Place, ownAgain: Place): void {
    const { b } = this.#emitter;
    const [leader, groupLeader, done] = [b.label(), b.label(), b.label()];
    b.copy(own, b.argumentOf(b.position + 2, 1));
    b.copy(ownAgain, b.argumentOf(b.position + 2, 1));
    b.branchIfEqual(session, 0, leader);
    b.branchIfEqual(group, 0, groupLeader);
    b.jump(done);
    b.place(leader);
    this.#emitter.call('setsid', [], { step: 'setsid' });
    b.jump(done);
    b.place(groupLeader);
    this.#emitter.call('setpgid', [0, 0], { step: 'setpgid' });
    b.place(done);
  }

  /** SIGKILL when the monitor ends, also if it has by now. */
  #endWithMonitor(): void {
    const { b, site } = this.#emitter;
    const alive = b.label();
    const polled = b.words(0, 0);
    const count = b.words(0);
    b.syscall('prctl', [PR_SET_PDEATHSIG, SIGKILL]);
    fillPoll(b, this.#monitor, polled, site.machine.wordSize);
    b.syscall('ppoll', [polled, 1, b.reserve(16, 8), 0, 8], { result: count });
    b.branchIfEqual(count, 0, alive);
    b.syscall('exit_group', [127]);
    b.place(alive);
  }

  #beInit(): void {
    const { b } = this.#emitter;
    b.syscall('rt_sigprocmask', [SIG_SETMASK, this.#all, 0, SIGSET_SIZE]);
    this.#endWithMonitor();
    const { sigaction } = this.#emitter.site.machine.structs;
    const ignore = b.reserve(sigaction.size);
    b.copy(b.words(SIG_IGN), ignore);
    b.syscall('rt_sigaction', [SIGCHLD, ignore, 0, SIGSET_SIZE]);
    this.#letGo('safeexec-init');
    const asleep = b.here();
    b.syscall('ppoll', [0, 0, 0, 0, 8]);
    b.jump(asleep);
  }

  #watch(hasInit: boolean): void {
    const { b, site } = this.#emitter;
    const { siginfo } = site.machine.structs;
    const [reap, ended, drained] = [b.label('reap'), b.label('ended'), b.label()];
    const [signal, info] = [b.words(0), b.reserve(siginfo.size, 8)];
    const end = b.reserve(siginfo.size, 8);
    const field = (place: Place, offset: number): Place => ({
      ...place,
      offset: place.offset + offset,
    });

    b.syscall('rt_sigprocmask', [SIG_SETMASK, this.#all, 0, SIGSET_SIZE]);
    this.#letGo('safeexec');
    // The target may have ended before its end could be told; and from then on SIGCHLD is.
    const wait: Label = b.label('wait');
    b.place(reap);
    b.copy(this.#target, b.argumentOf(b.position + 1, 1));
    b.syscall('waitid', [P_PID, 0, end, WEXITED | WNOHANG, 0]);
    b.branchIfEqual(field(end, siginfo.code), 0, wait);
    if (hasInit) {
      b.copy(this.#init, b.argumentOf(b.position + 1, 0));
      b.syscall('kill', [0, SIGKILL]);
      // The init ends when all in the namespace have, and were reaped: also those that the target
      // has made children of this process, by CLONE_PARENT.
      const empty = b.label();
      const again = b.here();
      b.syscall('waitid', [P_ALL, 0, 0, WEXITED | __WALL, 0], { onError: empty });
      b.jump(again);
      b.place(empty);
    }
    const status = field(end, siginfo.status);
    const exitStatus = b.words(0);
    b.copy(status, exitStatus);
    b.branchIfEqual(field(end, siginfo.code), CLD_EXITED, ended);
    // Signals that came too late must not be what ends this process.
    const draining = b.here();
    b.syscall('rt_sigtimedwait', [this.#all, 0, b.reserve(16, 8), SIGSET_SIZE], {
      onError: drained,
    });
    b.jump(draining);
    b.place(drained);
    b.copy(status, b.argumentOf(b.position + 1, 0));
    b.syscall('rt_sigaction', [0, this.#emitter.defaultAction(), 0, SIGSET_SIZE]);
    const getpid = b.syscall('getpid', []);
    b.resultTo(getpid, b.argumentOf(getpid + 2, 0));
    b.copy(status, b.argumentOf(getpid + 2, 1));
    b.syscall('kill', [0, 0]);
    b.syscall('rt_sigprocmask', [SIG_SETMASK, this.#none, 0, SIGSET_SIZE]);
    b.add(128, exitStatus);
    b.place(ended);
    b.copy(exitStatus, b.argumentOf(b.position + 1, 0));
    b.syscall('exit_group', [0]);

    b.place(wait);
    b.syscall('rt_sigtimedwait', [this.#all, info, 0, SIGSET_SIZE], {
      result: signal,
      onError: wait,
    });
    b.branchIfEqual(signal, SIGCHLD, reap);
    b.branchIfEqual(field(info, siginfo.code), SI_KERNEL, wait);
    b.copy(this.#target, b.argumentOf(b.position + 2, 0));
    b.copy(signal, b.argumentOf(b.position + 1, 1));
    b.syscall('kill', [0, 0]);
    b.jump(wait);
  }

  /** Keeps nothing of the launched process: no descriptor, no directory. */
  #letGo(name: string): void {
    const { b } = this.#emitter;
    b.syscall('chdir', [b.string('/')]);
    b.syscall('prctl', [PR_SET_NAME, b.string(name)]);
    if (this.#open !== null) closeCounted(b, 0, this.#open);
    else b.syscall('close_range', [0, LAST_DESCRIPTOR, 0]);
  }
}
