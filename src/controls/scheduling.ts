import { invalidArgType, invalidArgValue, outOfRange } from '../errors.js';
import type { Step } from '../plan/plan.js';
import { IO_CLASSES, POLICIES, type SchedulingStep } from '../plan/steps/scheduling.js';
import {
  validateArray,
  validateBoolean,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import type { Contribution, Control } from './control.js';
import { hasMonitor, type NamespaceOptions } from './namespaces.js';

/** A scheduling policy; sched(7). */
export type Scheduling =
  | {
      /** Time sharing: `other` is the default of Linux, `batch` and `idle` yield to others. */
      readonly policy: 'other' | 'batch' | 'idle';
      /** Children of the process get policy `other`, and no nice value below 0. Default false. */
      readonly resetOnFork?: boolean | undefined;
    }
  | {
      /** Real time: needs CAP_SYS_NICE, or a limit `rtprio` that allows it. */
      readonly policy: 'fifo' | 'rr';
      /** 1 to 99, the highest. */
      readonly priority: number;
      readonly resetOnFork?: boolean | undefined;
    }
  | {
      /** Needs CAP_SYS_NICE, and all CPUs: it does not go with `cpus`. */
      readonly policy: 'deadline';
      /** Nanoseconds; 1024 <= runtime <= deadline <= period. Default of period: deadline. */
      readonly runtime: number;
      readonly deadline: number;
      readonly period?: number | undefined;
      /** Without it the process cannot make children. Default false. */
      readonly resetOnFork?: boolean | undefined;
    };

/** ioprio_set(2). */
export interface IoPriority {
  /** `realtime` needs CAP_SYS_ADMIN or CAP_SYS_NICE; `none` follows the nice value. */
  readonly class: keyof typeof IO_CLASSES;
  /** 0, the highest, to 7; of `realtime` and `best-effort` only. Default 4. */
  readonly level?: number | undefined;
}

/** When, where and how soon the process runs. */
export interface SchedulingOptions {
  /**
   * The nice value itself, not what is added to it: -20, the most favourable, to 19. Below this
   * process's own it needs CAP_SYS_NICE or a limit `nice` that allows it: setpriority(2).
   */
  readonly nice?: number | undefined;
  /** Scheduling policy: sched_setscheduler(2), and sched_setattr(2) for `deadline` (Linux 3.14). */
  readonly scheduling?: Scheduling | undefined;
  /**
   * CPUs that the process may run on, as numbers from 0, or in a text such as `0-3,5`:
   * sched_setaffinity(2). Those that are not there do not count; one must be.
   */
  readonly cpus?: readonly number[] | string | undefined;
  /** Priority of its input and output on disks, where their scheduler has any: ioprio_set(2). */
  readonly ioPriority?: IoPriority | undefined;
  /**
   * Nanoseconds, 1 to 4294967295, by which timers may be late so that they can be served
   * together: PR_SET_TIMERSLACK(2const). Default: this thread's, as a rule 50000. Real-time
   * policies have none.
   */
  readonly timerSlack?: number | undefined;
}

export const SCHEDULING: Control<SchedulingOptions> = {
  names: ['nice', 'scheduling', 'cpus', 'ioPriority', 'timerSlack'],
  prepare,
};

/** The kernel is built for 8192 CPUs at the most. */
const CPU_LIMIT = 8191;
const REAL_TIME = ['fifo', 'rr', 'deadline'];

function prepare(options: SchedulingOptions & NamespaceOptions): Contribution {
  const { nice, scheduling, cpus, ioPriority, timerSlack } = options;
  const steps: Step[] = [];
  const late: Step[] = [];
  if (cpus !== undefined) steps.push({ type: 'affinity', cpus: cpuNumbers(cpus) });
  if (scheduling !== undefined) {
    const step = schedulingStep(scheduling);
    if (!hasMonitor(options)) steps.push(step);
    // The target is a child of the process that is here now: it would not have the policy.
    else if (step.type === 'deadline') late.push(step);
    else {
      steps.push({ ...step, resetOnFork: false });
      if (step.resetOnFork) late.push(step);
    }
  }
  if (nice !== undefined) {
    validateInteger(nice, 'options.nice', -20, 19);
    steps.push({ type: 'nice', value: nice });
  }
  if (ioPriority !== undefined) steps.push(ioPriorityStep(ioPriority));
  if (timerSlack !== undefined) {
    validateInteger(timerSlack, 'options.timerSlack', 1, 0xffffffff);
    if (scheduling !== undefined && REAL_TIME.includes(scheduling.policy)) {
      const reason = `must not be given with policy ${scheduling.policy}, which has none`;
      throw invalidArgValue('options.timerSlack', timerSlack, reason);
    }
    steps.push({ type: 'timerSlack', nanoseconds: timerSlack });
  }
  return { steps: { scheduling: steps, limits: late } };
}

function schedulingStep(
  scheduling: Scheduling,
): SchedulingStep & { type: 'scheduler' | 'deadline' } {
  const name = 'options.scheduling';
  validateObject(scheduling, name);
  const { policy, resetOnFork = false } = scheduling;
  validateBoolean(resetOnFork, `${name}.resetOnFork`);
  if (policy === 'deadline') {
    const { runtime, deadline, period = deadline } = scheduling;
    validateOptionNames(
      scheduling,
      ['policy', 'runtime', 'deadline', 'period', 'resetOnFork'],
      name,
    );
    validateInteger(runtime, `${name}.runtime`, 1024);
    validateInteger(deadline, `${name}.deadline`, runtime);
    validateInteger(period, `${name}.period`, deadline);
    return { type: 'deadline', runtime, deadline, period, resetOnFork };
  }
  if (typeof policy !== 'string' || !Object.hasOwn(POLICIES, policy)) {
    const known = [...Object.keys(POLICIES), 'deadline'].join(', ');
    throw invalidArgValue(`${name}.policy`, policy, `must be one of: ${known}`);
  }
  if (policy === 'fifo' || policy === 'rr') {
    const { priority } = scheduling;
    validateOptionNames(scheduling, ['policy', 'priority', 'resetOnFork'], name);
    validateInteger(priority, `${name}.priority`, 1, 99);
    return { type: 'scheduler', policy, priority, resetOnFork };
  }
  validateOptionNames(scheduling, ['policy', 'resetOnFork'], name);
  return { type: 'scheduler', policy, priority: 0, resetOnFork };
}

function ioPriorityStep(ioPriority: IoPriority): Step {
  const name = 'options.ioPriority';
  validateObject(ioPriority, name);
  validateOptionNames(ioPriority, ['class', 'level'], name);
  const { class: ioClass, level } = ioPriority;
  if (typeof ioClass !== 'string' || !Object.hasOwn(IO_CLASSES, ioClass)) {
    const known = Object.keys(IO_CLASSES).join(', ');
    throw invalidArgValue(`${name}.class`, ioClass, `must be one of: ${known}`);
  }
  if (ioClass === 'none' || ioClass === 'idle') {
    if (level !== undefined) {
      throw invalidArgValue(`${name}.level`, level, `must not be given with class ${ioClass}`);
    }
    return { type: 'ioPriority', class: ioClass, level: 0 };
  }
  if (level !== undefined) validateInteger(level, `${name}.level`, 0, 7);
  return { type: 'ioPriority', class: ioClass, level: level ?? 4 };
}

/** In ascending order, each once. */
function cpuNumbers(cpus: readonly number[] | string): number[] {
  const name = 'options.cpus';
  const numbers = new Set<number>();
  if (typeof cpus === 'string') {
    for (const part of cpus.split(',')) {
      const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
      if (first === undefined || last === undefined || Number(last) < Number(first)) {
        throw invalidArgValue(name, cpus, 'must be a list of CPUs such as 0-3,5');
      }
      if (Number(last) > CPU_LIMIT) throw outOfRange(name, `CPUs from 0 to ${CPU_LIMIT}`, cpus);
      for (let cpu = Number(first); cpu <= Number(last); cpu++) numbers.add(cpu);
    }
  } else if (Array.isArray(cpus)) {
    validateArray(cpus, name);
    for (const [i, cpu] of cpus.entries()) {
      validateInteger(cpu, `${name}[${i}]`, 0, CPU_LIMIT);
      numbers.add(cpu);
    }
    if (numbers.size === 0) throw invalidArgValue(name, cpus, 'must have a CPU in it');
  } else throw invalidArgType(name, 'of type string or an instance of Array', cpus);
  return [...numbers].sort((a, b) => a - b);
}
