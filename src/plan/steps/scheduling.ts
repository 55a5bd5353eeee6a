import {
  IOPRIO_CLASS_BE,
  IOPRIO_CLASS_IDLE,
  IOPRIO_CLASS_NONE,
  IOPRIO_CLASS_RT,
  IOPRIO_CLASS_SHIFT,
  IOPRIO_WHO_PROCESS,
  PRIO_PROCESS,
  SCHED_ATTR_SIZE_VER0,
  SCHED_BATCH,
  SCHED_DEADLINE,
  SCHED_FIFO,
  SCHED_FLAG_RESET_ON_FORK,
  SCHED_IDLE,
  SCHED_OTHER,
  SCHED_RESET_ON_FORK,
  SCHED_RR,
} from '../constants.js';
import type { StepKinds } from './kind.js';

/** Policies of sched(7) that have a priority, if only that of 0; by their names in chrt(1). */
export const POLICIES = {
  other: SCHED_OTHER,
  batch: SCHED_BATCH,
  idle: SCHED_IDLE,
  fifo: SCHED_FIFO,
  rr: SCHED_RR,
} as const;

/** Classes of ioprio_set(2), by their names in ionice(1). */
export const IO_CLASSES = {
  none: IOPRIO_CLASS_NONE,
  realtime: IOPRIO_CLASS_RT,
  'best-effort': IOPRIO_CLASS_BE,
  idle: IOPRIO_CLASS_IDLE,
} as const;

/** When, where and how soon the process runs. */
export type SchedulingStep =
  /** CPUs that it may run on, in ascending order: sched_setaffinity(2). */
  | { readonly type: 'affinity'; readonly cpus: readonly number[] }
  /** Policy and priority: sched_setscheduler(2). The nice value stays as it is. */
  | {
      readonly type: 'scheduler';
      readonly policy: keyof typeof POLICIES;
      readonly priority: number;
      readonly resetOnFork: boolean;
    }
  /** SCHED_DEADLINE, all in nanoseconds; a period of 0 is that of the deadline: sched_setattr(2). */
  | {
      readonly type: 'deadline';
      readonly runtime: number;
      readonly deadline: number;
      readonly period: number;
      readonly resetOnFork: boolean;
    }
  /** The nice value, from -20 to 19: setpriority(2). */
  | { readonly type: 'nice'; readonly value: number }
  /** ioprio_set(2). */
  | {
      readonly type: 'ioPriority';
      readonly class: keyof typeof IO_CLASSES;
      readonly level: number;
    };

export const SCHEDULING_STEPS: StepKinds<SchedulingStep> = {
  affinity: {
    emit({ cpus }, emitter) {
      const mask = cpuMask(cpus);
      emitter.call('sched_setaffinity', [0, mask.length, emitter.b.bytes(mask, 8)], {
        step: 'affinity',
      });
    },
  },
  scheduler: {
    emit({ policy, priority, resetOnFork }, emitter) {
      // Not sched_setattr(2), which would set the nice value too.
      const how = POLICIES[policy] | (resetOnFork ? SCHED_RESET_ON_FORK : 0);
      const param = emitter.b.bytes(new Uint8Array(Uint32Array.of(priority).buffer));
      emitter.call('sched_setscheduler', [0, how, param], { step: 'scheduling' });
    },
  },
  deadline: {
    emit({ runtime, deadline, period, resetOnFork }, emitter) {
      const attr = new DataView(new ArrayBuffer(SCHED_ATTR_SIZE_VER0));
      attr.setUint32(0, SCHED_ATTR_SIZE_VER0, true);
      attr.setUint32(4, SCHED_DEADLINE, true);
      attr.setBigUint64(8, BigInt(resetOnFork ? SCHED_FLAG_RESET_ON_FORK : 0), true);
      attr.setBigUint64(24, BigInt(runtime), true);
      attr.setBigUint64(32, BigInt(deadline), true);
      attr.setBigUint64(40, BigInt(period), true);
      const place = emitter.b.bytes(new Uint8Array(attr.buffer), 8);
      emitter.call('sched_setattr', [0, place, 0], { step: 'scheduling' });
    },
  },
  nice: {
    emit: ({ value }, emitter) =>
      emitter.call('setpriority', [PRIO_PROCESS, 0, value], { step: 'nice' }),
  },
  ioPriority: {
    emit(step, emitter) {
      const priority = (IO_CLASSES[step.class] << IOPRIO_CLASS_SHIFT) | step.level;
      emitter.call('ioprio_set', [IOPRIO_WHO_PROCESS, 0, priority], { step: 'ioPriority' });
    },
  },
};

/** A bit for each CPU; whole words of 64 bits, which are words of the kernel's on every machine. */
function cpuMask(cpus: readonly number[]): Uint8Array {
  const last = cpus.at(-1) ?? 0;
  const mask = new Uint8Array((Math.floor(last / 64) + 1) * 8);
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] as number) | (1 << (cpu & 7));
  return mask;
}
