import * as kernelConstants from '../plan/constants.js';

/** Values as listings write them: by the names of the kernel's constants, in the manner of strace(1). */

/** Names of the constants that begin with `prefix`, by value. */
export function named(prefix: string, but?: RegExp): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries<unknown>(kernelConstants)) {
    if (!name.startsWith(prefix) || but?.test(name)) continue;
    if (typeof value === 'number') names.set(value, name);
  }
  return names;
}

/** Any number of the names, and what is left as a number. */
export function flagsText(value: number, names: ReadonlyMap<number, string>, zero = '0'): string {
  const parts: string[] = [];
  let rest = value;
  for (const [bits, name] of names) {
    if (bits === 0 || (rest & bits) !== bits) continue;
    parts.push(name);
    rest &= ~bits;
  }
  if (rest !== 0) parts.push(`0x${(rest >>> 0).toString(16)}`);
  return parts.length === 0 ? zero : parts.join('|');
}

const ERRORS = named('E', /^EPOLL/);

/** `-ENOENT` for -2. -1 is as often no descriptor or no process, and not named. */
export function errorText(value: number): string | null {
  const name = value < -1 ? ERRORS.get(-value) : undefined;
  return name === undefined ? null : `-${name}`;
}

/** Signals 1 to 31, which have the same numbers on every machine here; signal(7). */
const SIGNALS = (
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT ' +
  'CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
).split(' ');

export function signalText(signal: number): string {
  return SIGNALS[signal - 1] ?? `RT_${signal}`;
}

/** `[INT TERM]`, or `~[KILL]` for all but one. */
export function signalSetText(data: DataView): string | null {
  if (data.byteLength < 8) return null;
  const bits = data.getBigUint64(0, true);
  const has = (signal: number): boolean => ((bits >> BigInt(signal - 1)) & 1n) === 1n;
  const all = Array.from({ length: kernelConstants.SIGNAL_LIMIT }, (_, i) => i + 1);
  const inside = all.filter(has);
  const outside = all.filter((signal) => !has(signal));
  return inside.length <= outside.length
    ? `[${inside.map(signalText).join(' ')}]`
    : `~[${outside.map(signalText).join(' ')}]`;
}

/** The handler, which is the first word of the kernel's struct sigaction. */
export function sigactionText(data: DataView, wordSize: 4 | 8): string | null {
  if (data.byteLength < wordSize) return null;
  const handler = wordSize === 8 ? data.getBigUint64(0, true) : BigInt(data.getUint32(0, true));
  if (handler === 0n) return '{SIG_DFL}';
  return handler === BigInt(kernelConstants.SIG_IGN) ? '{SIG_IGN}' : null;
}

/** A string that ends with NUL, in quotes; null if there is none. */
export function stringText(data: DataView): string | null {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const end = bytes.indexOf(0);
  if (end < 0) return null;
  try {
    return JSON.stringify(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end)));
  } catch {
    return null;
  }
}

/** 64-bit words, from byte `at` on. */
export function wordsText(data: DataView, at: number, count: number): string {
  const words = Array.from({ length: count }, (_, i) => data.getBigUint64(at + 8 * i, true));
  return `{${words.map((word) => (word === 0xffff_ffff_ffff_ffffn ? '~0' : word)).join(', ')}}`;
}
