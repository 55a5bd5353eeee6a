import type { Machine } from '../machine/machine.js';
import { FUTEX_WAIT } from '../plan/constants.js';
import { ProgramBuilder } from '../program/builder.js';
import {
  type Label,
  type Operand,
  type Place,
  type Program,
  WORD,
} from '../program/instruction.js';

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
  readonly settle: Routine<'sharing'>;
  /** Memory that is freed at the thread's end. */
  readonly block: Routine<'size' | 'free'>;
  /** A function of C that is called at the thread's end. */
  readonly atEnd: Routine<'function' | 'argument'>;
}

export function inFlightProgram({ wordSize }: Machine): InFlightProgram {
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
  const settle = emitSettle(b, 0, settled);
  b.place(settled);
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
    settle: {
      entry: settle,
      parameters: { sharing: [...argument(settle, 0), ...argument(settle + 1, 0)] },
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
  /** A word that is not 0 as long as a child shares the thread's memory. */
  readonly sharing: Place;
  /**
   * A word with the read end of a pipe of which it is not known whether it was given away, and a
   * struct pollfd of its write end; -1 each: none.
   */
  readonly doubt: Place;
}

/**
 * Goes on at `settled` when the word at `sharing` is 0: the kernel clears it, and wakes who waits.
 * Index of the first of its instructions, of which the first two are given the address.
 */
function emitSettle(b: ProgramBuilder, sharing: Operand, settled: Label): number {
  const again = b.here();
  b.branchIfEqual(sharing, 0, settled);
  b.syscall('futex', [sharing, FUTEX_WAIT, 1, 0, 0, 0]);
  b.jump(again);
  return again.index;
}

/** What runs at a thread's end: closes and frees what is still in flight. */
export function endProgram({ wordSize }: Machine): EndProgram {
  const b = new ProgramBuilder(wordSize);
  const [settled, taken] = [b.label('settled'), b.label('taken')];
  const slots = b.words(...Array.from({ length: SLOTS }, () => -1));
  const memory = b.words(...Array.from({ length: MEMORY_SLOTS }, () => 0));
  const sharing = b.words(0);
  const doubt = b.words(-1);
  // No event is asked for: that there is no reader is always told.
  const poll = b.bytes(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0), 4);
  const time = b.reserve(16, 8);
  const count = b.words(0);
  const slot = b.words(slots);

  // A thread's memory goes with it, also from under a child.
  emitSettle(b, sharing, settled);
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
