import type { Machine } from '../machine/machine.js';
import {
  CLD_STOPPED,
  ECHILD,
  FUTEX_WAIT,
  P_PID,
  SIGCONT,
  SIGSTOP,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
} from '../plan/constants.js';
import { offsetBy, ProgramBuilder } from '../program/builder.js';
import {
  type Label,
  type Operand,
  type Place,
  type Program,
  WORD,
} from '../program/instruction.js';

/**
 * The words in which it says whether a child shares the thread's memory: one that is not 0 as long
 * as it does, and behind it the pid of the latest that did.
 */
export const SHARING_WORDS = 2;

/** Nanoseconds after which it is looked at what a child does that has not left this memory. */
const PATIENCE = 10_000_000;

/** Nanoseconds between two looks at the first child that shares it. */
const PAUSE = 1_000_000;

/** Slots of a block: a spawn with three pipes has eight descriptors in flight at a time. */
export const SLOTS = 32;

/** A thread has memory in flight only while it joins the waiter. */
export const MEMORY_SLOTS = 2;

/** One routine of a program of several: where it begins, and the words that are set before a run. */
export interface Routine<Parameter extends string> {
  readonly entry: number;
  readonly parameters: Readonly<Record<Parameter, readonly Place[]>>;
}

export interface InFlightProgram {
  readonly program: Program;
  /** What the last system call gave, or the address of the last block. */
  readonly result: Place;
  /** The two descriptors of a pair: 32 bits each. */
  readonly pair: Place;
  /** One descriptor: its slot, if the call succeeds. */
  readonly open: Routine<'number' | 'a0' | 'a1' | 'a2' | 'a3' | 'slot'>;
  /** Two descriptors. */
  readonly openPair: Routine<'number' | 'a0' | 'a1' | 'a2' | 'a3' | 'slot' | 'slot2'>;
  readonly close: Routine<'fd' | 'slot'>;
  /** Out of its slot. */
  readonly forget: Routine<'slot'>;
  /** Out of its slot, and into the words of the doubt. */
  readonly doubt: Routine<'to' | 'from' | 'size' | 'slot'>;
  readonly allocate: Routine<'size' | 'slot'>;
  readonly free: Routine<'slot'>;
  /** Waits until no child shares this memory any more. */
  readonly settle: Routine<'sharing' | 'sharer'>;
  /** The same for one of which it is seen otherwise too: `result` is 0 if the word does not say so. */
  readonly watch: Routine<'sharing' | 'errorRead'>;
  /** Memory that is freed at the thread's end. */
  readonly block: Routine<'size' | 'free'>;
  /** A function of C that is called at the thread's end. */
  readonly atEnd: Routine<'function' | 'argument'>;
}

export function inFlightProgram(machine: Machine): InFlightProgram {
  const { wordSize } = machine;
  const b = new ProgramBuilder(wordSize);
  const result = b.words(0);
  const pair = b.reserve(16, 8);
  const none = b.words(-1);
  const zero = b.words(0);

  const begin = (): number => b.position;
  const argument = (index: number, n: number): readonly Place[] => [b.argumentOf(index, n)];
  const resultOf = (index: number): readonly Place[] => [b.wordOf(index, WORD.result)];
  const callParameters = (index: number) => ({
    number: [b.wordOf(index, WORD.number)],
    a0: argument(index, 0),
    a1: argument(index, 1),
    a2: argument(index, 2),
    a3: argument(index, 3),
  });
  const anyCall = (onError: Label): number =>
    b.syscall('getpid', [0, 0, 0, 0], { result, onError });

  const openFailed = b.label();
  const open = anyCall(openFailed);
  const toSlot = b.copy(result, 0);
  b.place(openFailed);
  b.halt();

  const pairFailed = b.label();
  const openPair = anyCall(pairFailed);
  const toFirst = b.call('memcpy', [0, pair, 4]);
  const toSecond = b.call('memcpy', [0, { ...pair, offset: pair.offset + 4 }, 4]);
  b.place(pairFailed);
  b.halt();

  const close = b.syscall('close', [0]);
  const closed = b.copy(none, 0);
  b.halt();

  const forget = b.copy(none, 0);
  b.halt();

  const doubt = b.call('memcpy', [0, 0, 0]);
  const doubted = b.copy(none, 0);
  b.halt();

  const allocate = b.call('calloc', [1, 0]);
  b.halt();

  const free = begin();
  b.copy(0, b.argumentOf(b.position + 1, 0));
  b.call('free', [0]);
  const freed = b.copy(zero, 0);
  b.halt();

  const settled = b.label();
  const settle = begin();
  const parameters = emitSettle(b, machine, 0, 0, settled);
  b.place(settled);
  b.halt();

  const [told, untold] = [b.label(), b.label()];
  // No event is asked for: that no writer is left is always told. Then the target runs, or there is
  // no child any more, and it left this memory before.
  const poll = b.words(-1, 0);
  const [now, pause] = [b.reserve(16, 8), b.words(0, PAUSE)];
  const watch = b.copy(zero, result);
  const looking = b.here();
  const isShared = b.branchIfEqual(0, 0, told);
  b.branchIfEqual(result, 1, untold);
  const pausing = b.syscall('futex', [0, FUTEX_WAIT, 1, pause, 0, 0]);
  b.syscall('ppoll', [poll, 1, now, 0, 0], { result });
  b.jump(looking);
  b.place(told);
  b.copy(b.words(1), result);
  b.halt();
  b.place(untold);
  const forgotten = b.copy(zero, 0);
  b.copy(zero, result);
  b.halt();

  const blockFailed = b.label();
  const block = b.call('calloc', [1, 0], { result });
  b.branchIfEqual(result, 0, blockFailed);
  b.copy(b.header(1), b.argumentOf(b.position + 2, 0));
  b.copy(result, b.argumentOf(b.position + 1, 2));
  const freeAtEnd = b.call('napi_add_env_cleanup_hook', [0, 0, 0]);
  b.place(blockFailed);
  b.halt();

  const atEnd = begin();
  b.copy(b.header(1), b.argumentOf(b.position + 1, 0));
  const hook = b.call('napi_add_env_cleanup_hook', [0, 0, 0]);
  b.halt();

  return {
    program: b.build(),
    result,
    pair,
    open: { entry: open, parameters: { ...callParameters(open), slot: resultOf(toSlot) } },
    openPair: {
      entry: openPair,
      parameters: {
        ...callParameters(openPair),
        slot: argument(toFirst, 0),
        slot2: argument(toSecond, 0),
      },
    },
    close: { entry: close, parameters: { fd: argument(close, 0), slot: resultOf(closed) } },
    forget: { entry: forget, parameters: { slot: resultOf(forget) } },
    doubt: {
      entry: doubt,
      parameters: {
        to: argument(doubt, 0),
        from: argument(doubt, 1),
        size: argument(doubt, 2),
        slot: resultOf(doubted),
      },
    },
    allocate: {
      entry: allocate,
      parameters: { size: argument(allocate, 1), slot: resultOf(allocate) },
    },
    free: { entry: free, parameters: { slot: [...argument(free, 0), ...resultOf(freed)] } },
    settle: { entry: settle, parameters },
    watch: {
      entry: watch,
      parameters: {
        sharing: [...argument(isShared, 0), ...argument(pausing, 0), ...resultOf(forgotten)],
        errorRead: [poll],
      },
    },
    block: {
      entry: block,
      parameters: { size: argument(block, 1), free: argument(freeAtEnd, 1) },
    },
    atEnd: {
      entry: atEnd,
      parameters: { function: argument(hook, 1), argument: argument(hook, 2) },
    },
  };
}

export interface EndProgram {
  readonly program: Program;
  /** The first of as many words as there are slots; -1: nothing in it. */
  readonly slots: Place;
  /** The same for memory; 0: nothing in it. */
  readonly memory: Place;
  /** SHARING_WORDS. */
  readonly sharing: Place;
  /**
   * A word with the read end of a pipe of which it is not known whether it was given away, and a
   * struct pollfd of its write end; -1 each: none.
   */
  readonly doubt: Place;
}

/**
 * Goes on at `settled` when the word at `sharing` is 0: the kernel clears it, and wakes who waits.
 * `sharer` is the pid of the child. Where these two stand, for addresses known only later.
 */
function emitSettle(
  b: ProgramBuilder,
  { structs }: Machine,
  sharing: Operand,
  sharer: Operand,
  settled: Label,
): Record<'sharing' | 'sharer', readonly Place[]> {
  const [overdue, gone, stopped, left] = [b.label(), b.label(), b.label(), b.label()];
  const info = b.reserve(structs.siginfo.size, 8);
  const code = offsetBy(info, structs.siginfo.code);
  const patience = b.words(0, PATIENCE);
  const zero = b.words(0);
  const continued = b.words(0);
  const sharingAt: Place[] = [];
  const sharerAt: Place[] = [];
  const pidTo = (place: Place): void => {
    sharerAt.push(b.argumentOf(b.copy(sharer, place), 0));
  };

  const again = b.here();
  sharingAt.push(b.argumentOf(b.branchIfEqual(sharing, 0, left), 0));
  const wait = b.syscall('futex', [sharing, FUTEX_WAIT, 1, patience, 0, 0], { onError: overdue });
  sharingAt.push(b.argumentOf(wait, 0));
  b.jump(again);

  // A child that was stopped, by this thread perhaps, would have to be continued by it. And where
  // one is killed while another thread forks, the kernel may fail to clear the word.
  b.place(overdue);
  pidTo(b.argumentOf(b.position + 1, 1));
  const refused = b.label();
  const options = WEXITED | WSTOPPED | WNOHANG | WNOWAIT;
  b.syscall('waitid', [P_PID, 0, info, options, 0], { onError: refused });
  b.branchIfEqual(code, 0, again);
  b.branchIfEqual(code, CLD_STOPPED, stopped);
  b.jump(gone);
  b.place(refused);
  b.branchIfEqual(b.wordOf(refused.index, WORD.failedWith), -ECHILD, gone);
  b.jump(again);
  b.place(gone);
  sharingAt.push(b.wordOf(b.copy(zero, sharing), WORD.result));
  b.jump(again);

  // It goes on up to its exec, or a little further, and is then stopped as before.
  b.place(stopped);
  pidTo(continued);
  pidTo(b.argumentOf(b.position + 1, 0));
  b.syscall('kill', [0, SIGCONT]);
  b.jump(again);
  b.place(left);
  b.branchIfEqual(continued, 0, settled);
  b.copy(continued, b.argumentOf(b.position + 1, 0));
  b.syscall('kill', [0, SIGSTOP]);
  b.copy(zero, continued);
  b.jump(settled);
  return { sharing: sharingAt, sharer: sharerAt };
}

/** What runs at a thread's end: closes and frees what is still in flight. */
export function endProgram(machine: Machine): EndProgram {
  const { wordSize } = machine;
  const b = new ProgramBuilder(wordSize);
  const [settled, taken] = [b.label('settled'), b.label('taken')];
  const slots = b.words(...Array.from({ length: SLOTS }, () => -1));
  const memory = b.words(...Array.from({ length: MEMORY_SLOTS }, () => 0));
  const sharing = b.reserve(SHARING_WORDS * wordSize);
  const doubt = b.words(-1);
  // No event is asked for: that there is no reader is always told.
  const poll = b.bytes(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0), 4);
  const time = b.reserve(16, 8);
  const count = b.words(0);
  const slot = b.words(slots);

  // A thread's memory goes with it, also from under a child.
  emitSettle(b, machine, sharing, offsetBy(sharing, wordSize), settled);
  b.place(settled);
  b.syscall('ppoll', [poll, 1, time, 0, 0], { result: count });
  b.branchIfEqual(count, 1, taken);
  b.copy(doubt, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0]);
  b.place(taken);

  const again = b.here('slots');
  const done = b.label('memory');
  b.copy(slot, b.argumentOf(b.position + 1, 0));
  b.copy(0, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0]);
  b.add(wordSize, slot);
  b.branchIfEqual(slot, memory, done);
  b.jump(again);
  b.place(done);
  for (let i = 0; i < MEMORY_SLOTS; i++) {
    b.copy({ ...memory, offset: memory.offset + i * wordSize }, b.argumentOf(b.position + 1, 0));
    b.call('free', [0]);
  }
  b.halt();
  return { program: b.build(), slots, memory, sharing, doubt };
}
