/**
 * A plan: what has to happen in the new process before it is the target, as data, in the order in
 * which it happens. `compile.ts` turns it into a program.
 */

import { kindOf, type Step } from './steps/index.js';

export type { FileAction } from './steps/files.js';
export type { Step } from './steps/index.js';

/** 64 signals, signal n in bit n-1; the low 32 bits first. */
export type SignalSet = readonly [number, number];

/** All signals, and none. */
export const ALL_SIGNALS: SignalSet = [0xffffffff, 0xffffffff];
export const NO_SIGNALS: SignalSet = [0, 0];

export interface Exec {
  /** Paths to try, in this order. */
  readonly candidates: readonly string[];
  /** What was asked for, for errors. */
  readonly file: string;
  /** The child's descriptor of the program, in place of paths: execveat(2). */
  readonly fd?: number | undefined;
  /** Run a file that the kernel cannot execute (ENOEXEC) with /bin/sh, as execvp(3) does. */
  readonly shellFallback: boolean;
}

export interface Plan {
  readonly steps: readonly Step[];
  readonly exec: Exec;
  /** Flags of the clone(2) that makes the process: new namespaces. Default 0. */
  readonly cloneFlags?: number;
  /** Equal for plans that are equal: what was compiled for one of them serves all. */
  readonly key?: string;
}

/** Why only the image executor can run a plan; undefined if `direct` can too. */
export function imageOnly({
  steps,
  cloneFlags = 0,
}: Pick<Plan, 'steps' | 'cloneFlags'>): string | undefined {
  if (cloneFlags !== 0) return 'namespaces are made: direct shares memory with the child';
  return steps.map((step) => kindOf(step).imageOnly).find((reason) => reason !== undefined);
}

/** Highest descriptor that a plan's steps use, or -1: the error pipe has to be above it. */
export function highestTarget({ steps }: Plan): number {
  let highest = -1;
  for (const step of steps) {
    for (const fd of kindOf(step).names?.(step) ?? []) highest = Math.max(highest, fd);
  }
  return highest;
}

/**
 * What becomes of descriptors when a plan's steps run: which of the parent's must reach the new
 * process (`sources`), and which numbers are open at the end (`open`) if the parent's `initial`
 * ones were to begin with.
 */
export function followDescriptors(
  steps: readonly Step[],
  initial: Iterable<number>,
): { readonly sources: ReadonlySet<number>; readonly open: ReadonlySet<number> } {
  const sources = new Set<number>();
  let open = new Set<number>(initial);
  const opened = new Set<number>();
  const use = (fd: number): void => {
    if (!opened.has(fd)) sources.add(fd);
  };
  for (const step of steps) {
    switch (step.type) {
      case 'descriptors':
        for (const from of step.map.values()) use(from);
        open = new Set(step.map.keys());
        for (const to of open) opened.add(to);
        break;
      case 'open':
        opened.add(step.fd);
        open.add(step.fd);
        break;
      case 'close':
        open.delete(step.fd);
        break;
      case 'dup2':
        use(step.from);
        opened.add(step.to);
        open.add(step.to);
        break;
      case 'closeFrom':
        for (const fd of open) if (fd >= step.fd) open.delete(fd);
        break;
      case 'closeAllBut': {
        const kept = new Set(step.fds);
        for (const fd of step.fds) use(fd);
        open = kept;
        break;
      }
      case 'closeOnExec':
        break;
      default:
        for (const fd of kindOf(step).names?.(step) ?? []) use(fd);
    }
  }
  for (const fd of open) use(fd);
  return { sources, open };
}
