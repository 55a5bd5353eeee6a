import { release } from 'node:os';
import { UnsupportedError } from '../errors.js';

/** Throws UnsupportedError on a Linux older than `version`; elsewhere nothing is started anyway. */
export function needsLinux(version: `${number}.${number}`, what: string): void {
  if (process.platform !== 'linux' || isAtLeast(version)) return;
  throw new UnsupportedError(`${what} needs Linux ${version}, this is ${release()}`, what);
}

export function isAtLeast(version: `${number}.${number}`): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [first = 0, second = 0] = release().split('.').map(Number.parseFloat);
  return first > major || (first === major && second >= minor);
}
