import type { Machine } from '../machine/machine.js';
import { FUTEX_WAIT } from '../plan/constants.js';
import { ProgramBuilder } from '../program/builder.js';
import { type Label, type Place, type Program, WORD } from '../program/instruction.js';
import { emitSettle } from './settle.js';

/** Nanoseconds between two looks at the first child that shares it. */
const PAUSE = 1_000_000;

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
