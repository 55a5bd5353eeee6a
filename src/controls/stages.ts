import type { Step } from '../plan/plan.js';

/**
 * When the steps of a plan run. Options may be combined at will, so each step has a place in this
 * order in which all can work together; docs/steps.md gives the reason for each.
 */
export const STAGES = [
  /** Dispositions: nothing may be handled as the parent would. */
  'signals',
  /** Session, process group, umask. */
  'session',
  /** Control group: by a descriptor of the parent's, and before its file system is out of sight. */
  'cgroup',
  /** Priority, affinity, memory: what the parent's privileges or /proc are needed for. */
  'scheduling',
  /** Namespaces that are joined, or made here, with their id maps, host name, loopback, clocks. */
  'namespaces',
  /**
   * A pid namespace: this process and the first of the namespace stay behind, and a child goes on.
   * Its descriptors, its terminal and the proc file system of its namespace are still to come.
   */
  'init',
  /** The descriptor table and file actions: paths of the parent's root. */
  'descriptors',
  /** Controlling terminal and foreground group, of a descriptor that the child has. */
  'terminal',
  /** Mounts, and the root among them: their sources are of the old one. */
  'mounts',
  /** The working directory, in the new root. */
  'directory',
  /**
   * Resource limits: behind what they would hinder, before the right to raise them is gone. And
   * what a scheduling policy keeps from the children of a process: behind `init`.
   */
  'limits',
  /** Groups, ids, capabilities. */
  'credentials',
  /** no_new_privs, dumpable, and the parent-death signal, which a change of ids clears. */
  'restrictions',
  'landlock',
  /** How many descriptors there may be: Landlock opens some, and lowering it takes no right. */
  'nofile',
  /** Blocked signals. */
  'mask',
  /** Last, for it may forbid all but exec. */
  'seccomp',
] as const;

export type Stage = (typeof STAGES)[number];

/** Steps by the stage at which they run. */
export type StagedSteps = { readonly [S in Stage]?: readonly Step[] };

/** All steps in their order; of one stage, those of earlier parts first. */
export function inOrder(...parts: readonly StagedSteps[]): Step[] {
  return STAGES.flatMap((stage) => parts.flatMap((part) => part[stage] ?? []));
}
