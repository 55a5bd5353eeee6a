/** What programs/probe.pl prints; null is what it could not see. */
export interface Probe {
  readonly pid: number;
  readonly cwd: string | null;
  readonly fds: Readonly<Record<string, string>>;
  readonly ns: Readonly<Record<string, string>>;
  readonly root: readonly string[];
  readonly umask: number;
  readonly third: string | null;
  readonly securebits: number | null;
  readonly parentDeathSignal: number | null;
  readonly ioPriority: number | null;
  /** errno of attempts, 0 if they succeeded. */
  readonly made: number | null;
  readonly secret: number;
  readonly open: number;
  /** The root's entries after an attempt to leave it. */
  readonly escaped?: readonly string[];
  readonly chroot?: number;
  /** Files of /proc/self. */
  readonly status: string;
  readonly stat: string;
  readonly limits: string;
  readonly cgroup: string;
  readonly environ: string | null;
  readonly cmdline: string;
  readonly mountinfo: string;
  readonly personality: string;
  readonly timerslack_ns: string;
  readonly oom_score_adj: string;
}

/** What programs print of what the parent sees. */
export interface Report {
  readonly ended?: string | null;
  readonly collected?: number;
  readonly exceeded?: string | null;
  readonly maxRSS?: number;
  readonly answer?: unknown;
  readonly pid?: number;
  readonly pidOfDescriptor?: number;
  readonly refused?: string | null;
  readonly chdir?: string | null;
  readonly exec?: string | null;
  readonly setuid?: string | null;
}

/** All that is known of one run of a peer's program for a row. */
export interface Observation {
  readonly probe: Probe;
  readonly report: Report;
  /** strace's record of system calls, of rows that ask for it. */
  readonly trace: string;
  /** What the programs were told. */
  readonly scratch: string;
  readonly group: string;
  /** The namespaces and the process group of this process. */
  readonly here: { readonly ns: Readonly<Record<string, string>>; readonly group: number };
}

/** A line of /proc/self/status. */
export function statusLine({ status }: Pick<Probe, 'status'>, name: string): string {
  return new RegExp(`^${name}:\\s*(.*?)\\s*$`, 'm').exec(String(status))?.[1] ?? '';
}

/** A set of signals or capabilities there. */
export function statusSet(probe: Pick<Probe, 'status'>, name: string): bigint {
  return BigInt(`0x${statusLine(probe, name) || '0'}`);
}

/** A field of /proc/self/stat, by its number in proc_pid_stat(5). */
export function statField({ stat }: Pick<Probe, 'stat'>, number: number): number {
  // The name, in parentheses, may have spaces in it.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[number - 3]);
}
