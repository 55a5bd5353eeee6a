import { invalidArgType, invalidArgValue, outOfRange } from '../errors.js';

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

/** Bytes from a number, or from a text such as `512MiB`, `1.5GB`. */
export function sizeInBytes(value: unknown, name: string): number {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw outOfRange(name, 'an integer of bytes, not negative', value);
    }
    return value;
  }
  if (typeof value !== 'string') throw invalidArgType(name, 'of type number or string', value);
  const [, digits, unit = 'B'] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)?$/.exec(value) ?? [];
  const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  const bytes = Math.floor(Number(digits) * (factor ?? Number.NaN));
  if (Number.isSafeInteger(bytes)) return bytes;
  throw invalidArgValue(name, value, 'must be a size such as 512MiB, 1.5GB or a number of bytes');
}

/** The same for what has a size in any case: to the kernel, 0 is no limit of a tmpfs(5). */
export function sizeAboveZero(value: unknown, name: string): number {
  const bytes = sizeInBytes(value, name);
  if (bytes === 0) throw outOfRange(name, '>= 1 byte', value);
  return bytes;
}
