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
import { offsetBy, type ProgramBuilder } from '../program/builder.js';
import { type Label, type Operand, type Place, WORD } from '../program/instruction.js';

/**
 * The words that say whether a child shares the thread's memory: one that is not 0 as long
 * as it does, and behind it the pid of the latest that did.
 */
export const SHARING_WORDS = 2;

/** Nanoseconds after which it is looked at what a child does that has not left this memory. */
const PATIENCE = 10_000_000;

/**
 * Goes on at `settled` when the word at `sharing` is 0: the kernel clears it, and wakes who waits.
 * `sharer` is the pid of the child. Where these two stand, for addresses known only later.
 */
export function emitSettle(
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
