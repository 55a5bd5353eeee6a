import type { ProgramBuilder } from '../../program/builder.js';
import type { Place } from '../../program/instruction.js';
import { AT_FDCWD, O_CLOEXEC, SEEK_CUR } from '../constants.js';
import type { Emitter } from './emitter.js';

/** Where the kernel lists the descriptors of the process that looks. */
export const OPEN_DESCRIPTORS = '/proc/self/fd';

/** Directory entries that are read at a time, in bytes. */
const BUFFER = 1024;

/** Closes `first` to `last`, one by one, for kernels without close_range(2). */
export function closeEach(first: number, last: number, { b }: Emitter): void {
  closeCounted(b, first, b.words(last - first + 1));
}

/**
 * The same from `first` to the end of the descriptor table, which is where reading /proc/self/fd
 * ends: the position in this directory is the descriptor plus two, for `.` and `..`. No limit says
 * as much: a descriptor may stand above RLIMIT_NOFILE, and that may be a thousand million.
 */
export function closeEachFrom(first: number, emitter: Emitter): void {
  closeCounted(emitter.b, first, countFrom(first, emitter));
}

/** How many descriptors the table has from `first` on, in a word. */
export function countFrom(first: number, emitter: Emitter): Place {
  const { b, site } = emitter;
  const step = { step: 'close descriptors', path: OPEN_DESCRIPTORS };
  const [directory, size, buffer] = [b.words(0), b.words(0), b.reserve(BUFFER, 8)];
  const path = b.string(OPEN_DESCRIPTORS);
  b.resultTo(emitter.call('openat', [AT_FDCWD, path, O_CLOEXEC], step), directory);

  const atEnd = b.label();
  const again = b.here();
  b.copy(directory, b.argumentOf(b.position + 1, 0));
  b.resultTo(emitter.call('getdents64', [0, buffer, BUFFER], step), size);
  b.branchIfEqual(size, 0, atEnd);
  b.jump(again);
  b.place(atEnd);

  // How far it is from `first`; were it behind the end, the call would fail.
  const count = b.reserve(8, 8);
  const offset = -(first + 2);
  b.copy(directory, b.argumentOf(b.position + 1, 0));
  if (site.machine.wordSize === 8) {
    b.resultTo(emitter.call('lseek', [0, offset, SEEK_CUR], step), count);
  } else {
    // _llseek: both halves of the offset, and where the new position goes, low half first.
    emitter.call('lseek', [0, -1, offset, count, SEEK_CUR], step);
  }
  b.copy(directory, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0]);
  return count;
}

/** Closes as many descriptors as the word `count` says, and uses that word up. */
export function closeCounted(b: ProgramBuilder, first: number, count: Place): void {
  const done = b.label();
  const again = b.here();
  b.branchIfEqual(count, 0, done);
  const close = b.syscall('close', [first]);
  b.add(1, b.argumentOf(close, 0));
  b.add(-1, count);
  b.jump(again);
  b.place(done);
}
