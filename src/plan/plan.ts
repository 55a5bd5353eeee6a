/**
 * A plan: what has to happen in the new process before it is the target, as data, in the order in
 * which it happens. `compile.ts` turns it into a program.
 */

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

/** 64 signals, signal n in bit n-1; the low 32 bits first. */
export type SignalSet = readonly [number, number];

export type Step =
  /** A new session, of which the child is the leader: setsid(2). */
  | { readonly type: 'setsid' }
  /** The process group; 0 makes a new one: setpgid(2). */
  | { readonly type: 'setpgid'; readonly group: number }
  /** umask(2). */
  | { readonly type: 'umask'; readonly mask: number }
  /** The whole descriptor table: for each descriptor of the child, which one of the parent's. */
  | { readonly type: 'descriptors'; readonly map: ReadonlyMap<number, number> }
  | FileAction
  /** Status flags of an open descriptor: F_SETFL of fcntl(2). */
  | { readonly type: 'statusFlags'; readonly fd: number; readonly flags: number }
  /** What exec closes of the parent's descriptors, those being open: FD_CLOEXEC of fcntl(2). */
  | { readonly type: 'closeOnExec'; readonly fds: readonly number[] }
  /** No supplementary groups, where that is allowed: setgroups(2). */
  | { readonly type: 'dropGroups' }
  /** All three group ids, or user ids: setgid(2), setuid(2). */
  | { readonly type: 'setgid'; readonly gid: number }
  | { readonly type: 'setuid'; readonly uid: number }
  /** Signals that get their default action: sigaction(2). */
  | { readonly type: 'signalDefaults'; readonly signals: SignalSet }
  /** The blocked signals: sigprocmask(2). */
  | { readonly type: 'signalMask'; readonly signals: SignalSet };

/** All signals, and none. */
export const ALL_SIGNALS: SignalSet = [0xffffffff, 0xffffffff];
export const NO_SIGNALS: SignalSet = [0, 0];

export interface Exec {
  /** Paths to try, in this order. */
  readonly candidates: readonly string[];
  /** What was asked for, for errors. */
  readonly file: string;
  /** Run a file that the kernel cannot execute (ENOEXEC) with /bin/sh, as execvp(3) does. */
  readonly shellFallback: boolean;
}

export interface Plan {
  readonly steps: readonly Step[];
  readonly exec: Exec;
  /** Equal for plans that are equal: what was compiled for one of them serves all. */
  readonly key?: string;
}

/** Whether a plan changes credentials, which must not happen in memory shared with the parent. */
export function changesCredentials(plan: Plan): boolean {
  return plan.steps.some(({ type }) => CREDENTIAL_STEPS.has(type));
}

const CREDENTIAL_STEPS: ReadonlySet<Step['type']> = new Set(['dropGroups', 'setgid', 'setuid']);

/** Highest descriptor that a plan's steps name as one of the child's, or -1. */
export function highestTarget(plan: Plan): number {
  let highest = -1;
  for (const step of plan.steps) {
    switch (step.type) {
      case 'descriptors':
        highest = Math.max(highest, ...step.map.keys());
        break;
      case 'open':
      case 'close':
      case 'fchdir':
      case 'closeFrom':
      case 'tcsetpgrp':
        highest = Math.max(highest, step.fd);
        break;
      case 'dup2':
        highest = Math.max(highest, step.from, step.to);
        break;
      case 'closeAllBut':
      case 'closeOnExec':
        highest = Math.max(highest, ...step.fds);
        break;
    }
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
      case 'fchdir':
      case 'tcsetpgrp':
        use(step.fd);
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
    }
  }
  for (const fd of open) use(fd);
  return { sources, open };
}
