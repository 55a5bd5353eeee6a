import { O_CLOEXEC, O_WRONLY } from '../constants.js';
import type { StepKinds } from './kind.js';

export type CgroupStep =
  /** Joins the control group whose directory `fd` is: its cgroup.procs; cgroups(7). */
  { readonly type: 'joinCgroup'; readonly fd: number; readonly path: string };

export const CGROUP_STEPS: StepKinds<CgroupStep> = {
  joinCgroup: {
    // In the parent's memory it would be the parent's threads' group that counts, not a process's.
    imageOnly: 'a control group is joined: direct shares memory with the child',
    names: ({ fd }) => [fd],
    emit({ fd, path }, emitter) {
      const { b } = emitter;
      const step = { step: 'cgroup', path };
      const procs = b.words(0);
      const open = emitter.call(
        'openat',
        [fd, b.string('cgroup.procs'), O_WRONLY | O_CLOEXEC],
        step,
      );
      b.resultTo(open, procs);
      b.copy(procs, b.argumentOf(b.position + 2, 0));
      b.copy(procs, b.argumentOf(b.position + 2, 0));
      // 0 is the process that writes.
      emitter.call('write', [0, b.string('0'), 1], step);
      b.syscall('close', [0], { step });
    },
  },
};
