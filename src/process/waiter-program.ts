import type { Machine } from '../machine/machine.js';
import { SIGSET_SIZE } from '../machine/structs.js';
import {
  EAGAIN,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLIN,
  EPOLLONESHOT,
  P_PIDFD,
  PR_SET_NAME,
  SIG_SETMASK,
  WEXITED,
  WNOHANG,
} from '../plan/constants.js';
import { offsetBy, ProgramBuilder } from '../program/builder.js';
import { type Place, type Program, WORD } from '../program/instruction.js';

/**
 * The waiter: one thread of the process, started by the first thread that launches something. Each
 * such thread has an epoll set of its own, with the pidfds of its children in it, and a pipe that
 * its event loop reads. The waiter sleeps on an epoll set of all these sets, and writes a byte to
 * the pipe of the one that has news; the thread itself does the reaping.
 *
 * A thread that ended (a Worker) is noticed by its pipe having no reader. From then on the waiter
 * reaps what it left, and when nothing is left frees its record and descriptors: it is the only
 * one that ever closes these, so no number of theirs can mean something else.
 *
 * The record of a thread, four words:
 */
export const RECORD = { pipe: 0, epoll: 1, live: 2 } as const;
export const RECORD_WORDS = 4;

const WAITER_NAME = 'safeexec-waiter';

/** Signals that libc keeps for itself: setuid(3) and pthread_cancel(3) rest on them. */
const LIBC_SIGNALS = [32, 33];

/** A struct epoll_event, with room for a whole word to be read from its data. */
function event(b: ProgramBuilder, machine: Machine, events: number, data = 0): Place {
  const { size, data: at } = machine.structs.epollEvent;
  const bytes = new Uint8Array(size + machine.wordSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, events, true);
  view.setBigUint64(at, BigInt(data), true);
  return b.bytes(bytes, 8);
}

/** What the waiter thread runs; `epoll` is its own epoll descriptor. */
export function waiterProgram(machine: Machine): { program: Program; epoll: readonly Place[] } {
  const { wordSize, structs } = machine;
  const b = new ProgramBuilder(wordSize);
  const orphans = b.label('orphans');
  const writeFailed = b.label();
  const news = event(b, machine, 0);
  const child = event(b, machine, 0);
  const rearmed = event(b, machine, EPOLLIN | EPOLLONESHOT);
  const data = (place: Place): Place => offsetBy(place, structs.epollEvent.data);
  const record = data(news);
  const set = b.words(0);
  const pipe = b.words(0);
  const live = b.words(0);
  const count = b.words(0);
  const written = b.words(0);
  const epoll: Place[] = [];
  const ctl = (op: number, fd: Place, at: Place | number): void => {
    b.copy(fd, b.argumentOf(b.position + 1, 2));
    epoll.push(b.argumentOf(b.syscall('epoll_ctl', [0, op, 0, at]), 0));
  };
  /** Reads a word of the record: its address is put together in the copy itself. */
  const readRecord = (word: number, to: Place): void => {
    b.copy(record, b.argumentOf(b.position + 2, 0));
    b.add(word * wordSize, b.argumentOf(b.position + 1, 0));
    b.copy(0, to);
  };
  const closeThrough = (fd: Place): void => {
    b.copy(fd, b.argumentOf(b.position + 1, 0));
    b.syscall('close', [0]);
  };

  b.syscall('prctl', [PR_SET_NAME, b.string(WAITER_NAME), 0, 0, 0]);
  const loop = b.here('loop');
  const wait = b.syscall('epoll_pwait', [0, news, 1, -1, 0, SIGSET_SIZE], { onError: loop });
  epoll.push(b.argumentOf(wait, 0));
  readRecord(RECORD.pipe, pipe);
  b.copy(pipe, b.argumentOf(b.position + 1, 0));
  b.syscall('write', [0, b.string('!'), 1], { result: written, onError: writeFailed });
  b.jump(loop);
  b.place(writeFailed);
  // A full pipe: the thread has been told often enough.
  b.branchIfEqual(written, -EAGAIN, loop);

  b.place(orphans);
  readRecord(RECORD.epoll, set);
  const drain = b.here('drain');
  const drained = b.label('drained');
  b.copy(set, b.argumentOf(b.position + 1, 0));
  b.syscall('epoll_pwait', [0, child, 1, 0, 0, SIGSET_SIZE], { result: count, onError: drained });
  b.branchIfEqual(count, 0, drained);
  b.copy(data(child), b.argumentOf(b.position + 1, 1));
  // What is no pidfd is refused; it is closed all the same.
  b.syscall('waitid', [P_PIDFD, 0, 0, WEXITED | WNOHANG, 0]);
  b.copy(set, b.argumentOf(b.position + 2, 0));
  b.copy(data(child), b.argumentOf(b.position + 1, 2));
  b.syscall('epoll_ctl', [0, EPOLL_CTL_DEL, 0, 0]);
  closeThrough(data(child));
  b.copy(record, b.wordOf(b.position + 2, WORD.result));
  b.add(RECORD.live * wordSize, b.wordOf(b.position + 1, WORD.result));
  b.add(-1, 0);
  b.jump(drain);

  b.place(drained);
  const finish = b.label('finish');
  readRecord(RECORD.live, live);
  b.branchIfEqual(live, 0, finish);
  b.copy(record, data(rearmed));
  ctl(EPOLL_CTL_MOD, set, rearmed);
  b.jump(loop);
  b.place(finish);
  ctl(EPOLL_CTL_DEL, set, 0);
  ctl(EPOLL_CTL_DEL, pipe, 0);
  closeThrough(set);
  closeThrough(pipe);
  b.copy(record, b.argumentOf(b.position + 1, 0));
  b.call('free', [0]);
  b.jump(loop);
  return { program: b.build(), epoll };
}

/** Addresses and descriptors that a thread brings when it joins the waiter. */
export interface JoinSite {
  /** The binding's lock, its word for the waiter, and its function `run`. */
  readonly lock: number;
  readonly waiter: number;
  readonly run: number;
  /** First instruction of a waiter program, should it have to be started, and words in it. */
  readonly waiterEntry: number;
  readonly waiterEpoll: readonly number[];
  /** The slot of its memory, among what is in flight in the thread. */
  readonly waiterSlot: number;
  /** The thread's record, epoll set, and the pipe's write end. */
  readonly record: number;
  readonly set: number;
  readonly pipe: number;
  /** The slots of these: what was in flight is the waiter's from then on. */
  readonly recordSlot: number;
  readonly slots: readonly number[];
}

export interface JoinProgram {
  readonly program: Program;
  /** The waiter's epoll descriptor; negative if it could not be started. */
  readonly epoll: Place;
  /** Whether the given waiter program is in use now: 1 or 0. */
  readonly started: Place;
  /** The record of a failed system call; 0 if there was none. */
  readonly failure: Place;
  /** What pthread_create(3) gave: 0, or an error number. */
  readonly created: Place;
}

/**
 * Adds a thread's set and pipe to the waiter, and starts that if there is none: under the
 * binding's lock, and in one program, because a Worker may be stopped between two.
 */
export function joinProgram(machine: Machine, site: JoinSite): JoinProgram {
  const b = new ProgramBuilder(machine.wordSize);
  const [start, created, join, out] = [b.label('start'), b.label(), b.label('join'), b.label()];
  const epoll = b.words(-1);
  const started = b.words(0);
  const zero = b.words(0);
  const result = b.words(0);
  const thread = b.words(0);
  const old = b.reserve(SIGSET_SIZE, 8);
  const blocked = b.bytes(allSignalsBut(LIBC_SIGNALS), 8);

  b.call('pthread_mutex_lock', [site.lock]);
  b.copy(site.waiter, epoll);
  b.add(-1, epoll);
  b.branchIfEqual(epoll, -1, start);
  b.jump(join);

  b.place(start);
  b.syscall('epoll_create1', [EPOLL_CLOEXEC], {
    result: epoll,
    onError: out,
    step: { step: 'start waiter' },
  });
  for (const place of site.waiterEpoll) b.copy(epoll, place);
  // The new thread inherits the mask: no signal is delivered to it, not even at its start.
  b.syscall('rt_sigprocmask', [SIG_SETMASK, blocked, old, SIGSET_SIZE]);
  b.call('pthread_create', [thread, 0, site.run, site.waiterEntry], { result });
  b.syscall('rt_sigprocmask', [SIG_SETMASK, old, 0, SIGSET_SIZE]);
  b.branchIfEqual(result, 0, created);
  b.copy(epoll, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0]);
  b.copy(b.words(-1), epoll);
  b.jump(out);
  b.place(created);
  b.copy(b.words(1), started);
  b.copy(zero, site.waiterSlot);
  b.copy(epoll, site.waiter);
  b.add(1, site.waiter);

  b.place(join);
  for (const [fd, events] of [
    [site.set, EPOLLIN | EPOLLONESHOT],
    // No event is asked for: an error, which is that the reader is gone, is always told.
    [site.pipe, EPOLLONESHOT],
  ] as const) {
    b.copy(epoll, b.argumentOf(b.position + 1, 0));
    b.syscall('epoll_ctl', [0, EPOLL_CTL_ADD, fd, event(b, machine, events, site.record)], {
      onError: out,
      step: { step: 'join waiter' },
    });
  }
  for (const slot of site.slots) b.copy(b.words(-1), slot);
  b.copy(zero, site.recordSlot);
  b.place(out);
  b.call('pthread_mutex_unlock', [site.lock]);
  b.halt();
  const failure = b.wordOf(out.index, WORD.failedAt);
  return { program: b.build(), epoll, started, failure, created: result };
}

function allSignalsBut(signals: readonly number[]): Uint8Array {
  const set = new Uint8Array(SIGSET_SIZE).fill(255);
  for (const signal of signals) {
    const at = (signal - 1) >> 3;
    set[at] = (set[at] as number) & ~(1 << ((signal - 1) & 7));
  }
  return set;
}
