import type { StepKinds } from './kind.js';

/** Attributes that a process has, and its program keeps. */
export type ProcessStep =
  /** A new session, of which the child is the leader: setsid(2). */
  | { readonly type: 'setsid' }
  /** The process group; 0 makes a new one: setpgid(2). */
  | { readonly type: 'setpgid'; readonly group: number }
  /** umask(2). */
  | { readonly type: 'umask'; readonly mask: number };

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
};
