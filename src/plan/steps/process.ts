import {
  AT_FDCWD,
  O_CLOEXEC,
  O_WRONLY,
  PR_SET_PDEATHSIG,
  PR_SET_THP_DISABLE,
  PR_SET_TIMERSLACK,
  TIOCSCTTY,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

/** Attributes that a process has, and its program keeps. */
export type ProcessStep =
  /** A new session, of which the child is the leader: setsid(2). */
  | { readonly type: 'setsid' }
  /** The process group; 0 makes a new one: setpgid(2). */
  | { readonly type: 'setpgid'; readonly group: number }
  /** umask(2). */
  | { readonly type: 'umask'; readonly mask: number }
  /**
   * The signal that is sent when the thread that started the process ends: PR_SET_PDEATHSIG of
   * prctl(2). Goes no further if the process `parent` has ended already.
   */
  | { readonly type: 'parentDeathSignal'; readonly signal: number; readonly parent: number }
  /** The terminal `fd` becomes that of the session: TIOCSCTTY of ioctl_tty(2). */
  | { readonly type: 'controllingTerminal'; readonly fd: number }
  /** /proc/self/oom_score_adj, from -1000 to 1000: proc_pid_oom_score_adj(5). */
  | { readonly type: 'oomScoreAdjust'; readonly value: number }
  /** All of personality(2). */
  | { readonly type: 'personality'; readonly persona: number }
  /** Whether memory may be made of huge pages: PR_SET_THP_DISABLE of prctl(2). */
  | { readonly type: 'transparentHugePages'; readonly enabled: boolean }
  /** Nanoseconds by which timers may be late: PR_SET_TIMERSLACK of prctl(2). */
  | { readonly type: 'timerSlack'; readonly nanoseconds: number };

export const PROCESS_STEPS: StepKinds<ProcessStep> = {
  setsid: {
    emit: (_, emitter) => emitter.call('setsid', [], { step: 'setsid' }),
  },
  setpgid: {
    emit: ({ group }, emitter) => emitter.call('setpgid', [0, group], { step: 'setpgid' }),
  },
  umask: {
    emit: ({ mask }, emitter) => emitter.call('umask', [mask], { step: 'umask' }),
  },
  parentDeathSignal: {
    emit({ signal, parent }, emitter) {
      const { b } = emitter;
      const step = { step: 'parentDeathSignal' };
      const current = b.words(0);
      const isThere = b.label();
      emitter.call('prctl', [PR_SET_PDEATHSIG, signal, 0, 0, 0], step);
      b.syscall('getppid', [], { result: current, step });
      b.branchIfEqual(current, parent, isThere);
      // In a new pid namespace the parent, being outside, is 0, whether it lives or not.
      b.branchIfEqual(current, 0, isThere);
      // Nobody is there to be told.
      b.syscall('exit_group', [127], { step });
      b.place(isThere);
    },
  },
  controllingTerminal: {
    names: ({ fd }) => [fd],
    emit({ fd }, emitter) {
      // 0: a terminal that another session has is not taken from it.
      emitter.call('ioctl', [fd, TIOCSCTTY, 0], { step: 'controllingTerminal', fd });
    },
  },
  oomScoreAdjust: {
    emit({ value }, emitter) {
      writeFile('/proc/self/oom_score_adj', String(value), 'oomScoreAdjust', emitter);
    },
  },
  personality: {
    emit: ({ persona }, emitter) => emitter.call('personality', [persona], { step: 'personality' }),
  },
  transparentHugePages: {
    imageOnly: 'huge pages are turned off: direct shares memory with the child',
    emit({ enabled }, emitter) {
      const disable = enabled ? 0 : 1;
      // The kernel wants the unused arguments to be 0.
      emitter.call('prctl', [PR_SET_THP_DISABLE, disable, 0, 0, 0], {
        step: 'transparentHugePages',
      });
    },
  },
  timerSlack: {
    emit({ nanoseconds }, emitter) {
      emitter.call('prctl', [PR_SET_TIMERSLACK, nanoseconds], { step: 'timerSlack' });
    },
  },
};

/** Writes a text to a file that is there, by a descriptor that is closed again. */
function writeFile(path: string, text: string, step: string, emitter: Emitter): void {
  const { b } = emitter;
  const name = { step, path };
  const flags = O_WRONLY | O_CLOEXEC | (emitter.site.machine.largeFile ?? 0);
  const opened = b.words(0);
  b.resultTo(emitter.call('openat', [AT_FDCWD, b.string(path), flags, 0], name), opened);
  b.copy(opened, b.argumentOf(b.position + 2, 0));
  b.copy(opened, b.argumentOf(b.position + 2, 0));
  emitter.call('write', [0, b.string(text), text.length], name);
  b.syscall('close', [0], { step: name });
}
