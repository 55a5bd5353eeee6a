import { UsageError } from './usage.js';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** What setTimeout can wait for: 24 days. */
const LONGEST = 2 ** 31 - 1;

/** Milliseconds of `1.5s`, `500ms`, `2m`, `1h`, or of a number without a unit. */
export function parseDuration(text: string): number {
  const [, number, unit = 'ms'] = /^(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)?$/.exec(text) ?? [];
  if (number === undefined) {
    throw new UsageError(`'${text}' is not a duration: 1.5s, 500ms, 2m, 1h, or milliseconds`);
  }
  // What is not zero must not become never.
  const duration = Math.ceil(Number(number) * (UNITS[unit] as number));
  if (duration > LONGEST) throw new UsageError(`a duration of '${text}' is too long`);
  return duration;
}
