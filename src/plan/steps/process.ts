import { PR_SET_PDEATHSIG } from '../constants.js';
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
  | { readonly type: 'parentDeathSignal'; readonly signal: number; readonly parent: number };

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
};
