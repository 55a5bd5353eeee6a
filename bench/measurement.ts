/** One line of the table. */
export interface Row {
  readonly what: string;
  /** What the two sides are: `safeexec` and `node` in most rows. */
  readonly sides?: readonly [string, string];
  readonly unit: 'us' | 'ms' | 'launches/s' | 'MB/s';
  readonly ours: number;
  readonly theirs?: number | undefined;
  /** What the issue asks for, and whether this run had it. Absent: for information. */
  readonly target?: Target | undefined;
  /** Figures behind the medians. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export interface Target {
  readonly text: string;
  readonly met: boolean;
}

/** A row that could not be measured here, and why. */
export interface Skipped {
  readonly what: string;
  readonly skipped: string;
}

export interface Context {
  /** Milliseconds that the measurement should take, warm-up included; it may take somewhat more. */
  readonly budget: number;
  /** With --quick. */
  readonly quick: boolean;
  /** Where --peers installed its packages, or null. */
  readonly peers: string | null;
}

/**
 * One measurement: one file in `measurements/`, listed in `measurements.ts`. Each is run in a
 * process of its own, so that neither heaps nor compiled code mix.
 */
export interface Measurement {
  /** The name for --only. */
  readonly name: string;
  /** Its part of the whole run's time. */
  readonly share: number;
  run(context: Context): Promise<(Row | Skipped)[]>;
}

/** A ratio that must not be above `limit`. */
export function atMost(ratio: number, limit: number, text: string): Target {
  return { text, met: ratio <= limit };
}

/** A ratio that must not be below `limit`. */
export function atLeast(ratio: number, limit: number, text: string): Target {
  return { text, met: ratio >= limit };
}
