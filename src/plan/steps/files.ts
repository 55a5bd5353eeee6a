import type { Place } from '../../program/instruction.js';
import {
  AT_FDCWD,
  F_DUPFD_CLOEXEC,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_CLOEXEC,
  TIOCSPGRP,
} from '../constants.js';
import { closeAllBut, LAST_DESCRIPTOR, type Move, shuffle } from '../descriptors.js';
import { closeEach, closeEachFrom } from './close-each.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

/** A change of one descriptor or directory; launch() takes any number, in any order. */
export type FileAction =
  /** open(2) as descriptor `fd`. `flags` default O_RDONLY; `mode` default 0o666, before umask. */
  | {
      readonly type: 'open';
      readonly fd: number;
      readonly path: string;
      readonly flags?: number | undefined;
      readonly mode?: number | undefined;
    }
  /** close(2). A descriptor that is not open is no error. */
  | { readonly type: 'close'; readonly fd: number }
  /** dup2(2); `to` is not close-on-exec afterwards, also when it equals `from`. */
  | { readonly type: 'dup2'; readonly from: number; readonly to: number }
  /** chdir(2). */
  | { readonly type: 'chdir'; readonly path: string }
  /** fchdir(2). */
  | { readonly type: 'fchdir'; readonly fd: number }
  /** Closes `fd` and all above it. */
  | { readonly type: 'closeFrom'; readonly fd: number }
  /** Closes all but `fds`. */
  | { readonly type: 'closeAllBut'; readonly fds: readonly number[] }
  /** Makes the child's process group the foreground group of the terminal `fd`: tcsetpgrp(3). */
  | { readonly type: 'tcsetpgrp'; readonly fd: number };

export type FileStep =
  | FileAction
  /** The whole descriptor table: for each descriptor of the child, which one of the parent's. */
  | { readonly type: 'descriptors'; readonly map: ReadonlyMap<number, number> }
  /** Status flags of an open descriptor: F_SETFL of fcntl(2). */
  | { readonly type: 'statusFlags'; readonly fd: number; readonly flags: number }
  /** What exec closes of the parent's descriptors, those being open: FD_CLOEXEC of fcntl(2). */
  | { readonly type: 'closeOnExec'; readonly fds: readonly number[] };

export const FILE_STEPS: StepKinds<FileStep> = {
  open: { names: ({ fd }) => [fd], emit: open },
  // These two name nothing: programs close numbers up to the limit, above which no pipe can be.
  close: {
    emit({ fd }, { b, site }) {
      if (fd !== site.errorPipe) b.syscall('close', [fd], { step: { step: 'close', fd } });
    },
  },
  dup2: {
    names: ({ from, to }) => [from, to],
    emit({ from, to }, emitter) {
      const step = { step: 'dup2', fd: from };
      // Equal descriptors: dup3 refuses them, and dup2 would leave the flag as it is.
      if (from === to) emitter.call('fcntl', [from, F_SETFD, 0], step);
      else emitter.call('dup3', [from, to, 0], step);
    },
  },
  chdir: {
    emit({ path }, emitter) {
      emitter.call('chdir', [emitter.b.string(path)], { step: 'chdir', path });
    },
  },
  fchdir: {
    names: ({ fd }) => [fd],
    emit: ({ fd }, emitter) => emitter.call('fchdir', [fd], { step: 'fchdir', fd }),
  },
  closeFrom: {
    emit: ({ fd }, emitter) => move(closeAllBut([], emitter.site.errorPipe, fd), emitter),
  },
  closeAllBut: {
    names: ({ fds }) => fds,
    emit: ({ fds }, emitter) => move(closeAllBut(fds, emitter.site.errorPipe), emitter),
  },
  tcsetpgrp: {
    names: ({ fd }) => [fd],
    emit({ fd }, emitter) {
      const step = { step: 'tcsetpgrp', fd };
      const group = emitter.b.words(0);
      emitter.b.resultTo(emitter.call('getpgid', [0], step), group);
      emitter.call('ioctl', [fd, TIOCSPGRP, group], step);
    },
  },
  descriptors: {
    names: ({ map }) => [...map.keys()],
    emit: ({ map }, emitter) => move(shuffle(map, emitter.site.errorPipe), emitter),
  },
  statusFlags: {
    emit({ fd, flags }, emitter) {
      emitter.call('fcntl', [fd, F_SETFL, flags], { step: 'status flags', fd });
    },
  },
  closeOnExec: {
    names: ({ fds }) => fds,
    emit({ fds }, { b }) {
      for (const fd of fds) {
        b.syscall('fcntl', [fd, F_SETFD, FD_CLOEXEC], { step: { step: 'close-on-exec', fd } });
      }
    },
  },
};

function open(
  { fd, path, flags = 0, mode = 0o666 }: FileAction & { type: 'open' },
  emitter: Emitter,
): void {
  const { b } = emitter;
  const step = { step: 'open', path };
  const done = b.label();
  const opened = b.words(0);
  const how = (flags & ~O_CLOEXEC) | (emitter.site.machine.largeFile ?? 0);
  b.resultTo(emitter.call('openat', [AT_FDCWD, b.string(path), how, mode], step), opened);
  // Opened as `fd` by chance: then it is in its place.
  b.branchIfEqual(opened, fd, done);
  b.copy(opened, b.argumentOf(b.position + 2, 0));
  b.copy(opened, b.argumentOf(b.position + 2, 0));
  emitter.call('dup3', [0, fd, 0], step);
  b.syscall('close', [0], { step });
  b.place(done);
}

function close({ first, last }: Move & { move: 'close' }, emitter: Emitter): void {
  if (first > last) return;
  if (emitter.site.closeRange !== false) {
    emitter.call('close_range', [first, last, 0], { step: 'close descriptors' });
  } else if (last === LAST_DESCRIPTOR) closeEachFrom(first, emitter);
  else closeEach(first, last, emitter);
}

function move(moves: readonly Move[], emitter: Emitter): void {
  const { b } = emitter;
  const duplicates: Place[] = [];
  for (const move of moves) {
    switch (move.move) {
      case 'duplicate': {
        const { from, floor } = move;
        const step = { step: 'descriptors', fd: from };
        const number = b.words(0);
        b.resultTo(emitter.call('fcntl', [from, F_DUPFD_CLOEXEC, floor], step), number);
        duplicates.push(number);
        break;
      }
      case 'place': {
        const { from, to } = move;
        const step = { step: 'descriptors', fd: to };
        if (typeof from !== 'number') {
          b.copy(duplicates[from.duplicate] as Place, b.argumentOf(b.position + 1, 0));
        }
        emitter.call('dup3', [typeof from === 'number' ? from : 0, to, 0], step);
        break;
      }
      case 'close':
        close(move, emitter);
        break;
    }
  }
}
