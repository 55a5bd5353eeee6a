import type { StepKinds } from './kind.js';

/** Who the process is. */
export type CredentialStep =
  /** No supplementary groups, where that is allowed: setgroups(2). */
  | { readonly type: 'dropGroups' }
  /** All three group ids, or user ids: setgid(2), setuid(2). */
  | { readonly type: 'setgid'; readonly gid: number }
  | { readonly type: 'setuid'; readonly uid: number };

/** A task with other credentials must not share the parent's memory. */
const imageOnly = 'credentials change: direct shares memory with the child';

export const CREDENTIAL_STEPS: StepKinds<CredentialStep> = {
  dropGroups: {
    imageOnly,
    // As libuv does: who may not drop them keeps them.
    emit: (_, { b }) => b.syscall('setgroups', [0, 0], { step: { step: 'setgroups' } }),
  },
  setgid: {
    imageOnly,
    emit: ({ gid }, emitter) => emitter.call('setgid', [gid], { step: 'setgid' }),
  },
  setuid: {
    imageOnly,
    emit: ({ uid }, emitter) => emitter.call('setuid', [uid], { step: 'setuid' }),
  },
};
