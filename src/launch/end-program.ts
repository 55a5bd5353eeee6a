import type { Machine } from '../machine/machine.js';
import { offsetBy, ProgramBuilder } from '../program/builder.js';
import type { Place, Program } from '../program/instruction.js';
import { emitSettle, SHARING_WORDS } from './settle.js';

/** Slots of a block: a spawn with three pipes has eight descriptors in flight at a time. */
export const SLOTS = 32;

/** A thread has memory in flight only while it joins the waiter. */
export const MEMORY_SLOTS = 2;

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
