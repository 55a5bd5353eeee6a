import { constants } from 'node:os';
import {
  invalidArgType,
  invalidArgValue,
  outOfRange,
  unknownOption,
  unknownSignal,
} from './errors.js';
import type { SignalSet } from './plan/plan.js';

/** Checks of what callers pass, with the errors that Node gives for the same. */

export function validateString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw invalidArgType(name, 'of type string', value);
}

/** Far more than the kernel takes in any place, and little enough to work with. */
export const LONGEST_STRING = 1 << 24;
const LONGEST_LIST = 1 << 20;

/** A string that becomes a C string; `kinds` is what else it might have been given as. */
export function validateNoNul(value: unknown, name: string, kinds = 'string'): void {
  if (typeof value !== 'string') return;
  if (value.length > LONGEST_STRING) {
    throw outOfRange(`${name}.length`, `<= ${LONGEST_STRING}`, value.length);
  }
  if (value.includes('\0')) {
    throw invalidArgValue(name, value, `must be a ${kinds} without null bytes`);
  }
}

/** What a value is as a C string. Asked once: an object may say something else the next time. */
export function cString(value: unknown, name: string): string {
  let text: string;
  if (typeof value === 'string') text = value;
  else {
    if (typeof value === 'symbol') throw invalidArgType(name, 'of type string', value);
    try {
      text = String(value);
    } catch (error) {
      // What the value itself throws is the caller's. That it has no string form, or one that is
      // longer than any string, is told by us.
      const isLanguage = error instanceof TypeError || error instanceof RangeError;
      if (!isLanguage || 'code' in error) throw error;
      throw Object.assign(invalidArgType(name, 'of type string', value), { cause: error });
    }
  }
  validateNoNul(text, name);
  return text;
}

/** A list as C strings. */
export function cStrings(value: unknown, name: string): string[] {
  return listOf(value, name).map((element, i) => cString(element, `${name}[${i}]`));
}

/** The elements of an array, each read once, whatever its methods do. */
export function listOf(value: unknown, name: string): unknown[] {
  validateArray(value, name);
  const { length } = value;
  validateInteger(length, `${name}.length`, 0, LONGEST_LIST);
  const list: unknown[] = [];
  for (let i = 0; i < length; i++) list.push(value[i]);
  return list;
}

/**
 * A copy of plain data, read once: what is checked is what is used, whatever getters and proxies
 * would say the next time. Other objects, as Buffers and URLs, stay what they are.
 */
export function snapshot(value: unknown, name: string, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > DEEPEST) throw invalidArgValue(name, value, 'is nested too deeply');
  if (Array.isArray(value)) {
    return listOf(value, name).map((each, i) => snapshot(each, `${name}[${i}]`, depth + 1));
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const copy: Record<string, unknown> = Object.create(null);
  for (const [key, each] of Object.entries(value)) {
    copy[key] = snapshot(each, `${name}.${key}`, depth + 1);
  }
  return copy;
}

/** No option is nested as deeply. */
const DEEPEST = 8;

export function validateCString(value: unknown, name: string): asserts value is string {
  validateString(value, name);
  validateNoNul(value, name);
}

export function validateBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value);
}

export function validateObject(value: unknown, name: string): asserts value is object {
  if (value === null || Array.isArray(value) || typeof value !== 'object') {
    throw invalidArgType(name, 'of type object', value);
  }
}

export function validateFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw invalidArgType(name, 'of type function', value);
}

/**
 * What a copy of options is made by. Literals with `__proto__: null` inherit nothing either, but V8
 * keeps them as hash tables, which takes longer than all that is done with them.
 */
class Bare {}
Reflect.deleteProperty(Bare.prototype, 'constructor');
Object.setPrototypeOf(Bare.prototype, null);

/** The own properties of an options object, whatever somebody did to Object.prototype. */
export function ownOptions<Options extends object>(options: Options | null | undefined): Options {
  // Their elements would become properties, one by one.
  if (ArrayBuffer.isView(options)) throw invalidArgType('options', 'of type object', options);
  const own = new Bare() as Options;
  return typeof options === 'string' ? own : Object.assign(own, options);
}

export function validateArray(value: unknown, name: string): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw invalidArgType(name, 'an instance of Array', value);
}

export function validateInteger(
  value: unknown,
  name: string,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
}

/** A number that can be a descriptor. */
export function validateDescriptor(value: unknown, name: string): asserts value is number {
  validateInteger(value, name, 0, 0x7fffffff);
}

/** From release 25 on, Node tells what is no number from numbers that are out of range. */
const TELLS_TYPES = Number.parseInt(process.versions.node, 10) >= 25;

/** A user or group id as Node takes it. */
export function validateId(value: unknown, name: string): asserts value is number {
  if (TELLS_TYPES) validateInteger(value, name, -0x80000000, 0x7fffffff);
  else if (typeof value !== 'number' || value !== (value | 0)) {
    throw invalidArgType(name, 'int32', value);
  }
}

/** Milliseconds, or nothing. */
export function validateTimeout(
  value: unknown,
  name = 'timeout',
): asserts value is number | null | undefined {
  if (value === undefined || value === null) return;
  if (TELLS_TYPES) validateInteger(value, name, 0);
  else if (!(Number.isInteger(value) && Number(value) >= 0)) {
    throw outOfRange(name, 'an unsigned integer', value);
  }
}

export function validateMaxBuffer(value: unknown): void {
  if (value === undefined || value === null) return;
  const isNumber = typeof value === 'number';
  if (isNumber && value >= 0) return;
  const name = 'options.maxBuffer';
  if (!TELLS_TYPES) throw outOfRange(name, 'a positive number', value);
  throw isNumber ? outOfRange(name, '>= 0', value) : invalidArgType(name, 'of type number', value);
}

export function validateAbortSignal(value: unknown, name: string): void {
  if (value === undefined) return;
  if (
    value === null ||
    typeof value !== 'object' ||
    !('aborted' in value) ||
    typeof (value as { addEventListener?: unknown }).addEventListener !== 'function'
  ) {
    throw invalidArgType(name, 'an instance of AbortSignal', value);
  }
}

/** Refuses options that do not exist. */
export function validateOptionNames(
  options: object,
  known: readonly string[],
  where = 'options',
): void {
  // Its elements would be names, and there may be millions of them.
  if (ArrayBuffer.isView(options)) throw invalidArgType(where, 'of type object', options);
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw unknownOption(name, known, where);
  }
}

const SIGNALS: Readonly<Record<string, number>> = constants.signals;
const SIGNAL_NUMBERS = new Set(Object.values(SIGNALS));

/** Number of a signal given by name or number; only those that Node knows. */
export function signalNumber(signal: unknown): number {
  if (typeof signal === 'number' && SIGNAL_NUMBERS.has(signal)) return signal;
  if (typeof signal === 'string') {
    const number = Object.hasOwn(SIGNALS, signal) ? SIGNALS[signal] : SIGNALS[signal.toUpperCase()];
    if (number !== undefined) return number;
  }
  throw unknownSignal(signal);
}

/** Number of an optional `killSignal`. */
export function killSignalNumber(signal: unknown): number | undefined {
  if (typeof signal === 'string' || typeof signal === 'number') return signalNumber(signal);
  if (signal === undefined || signal === null) return undefined;
  throw invalidArgType('options.killSignal', 'one of type string or number', signal);
}

/** A set from signals given by name, or by number from 1 to 64. */
export function signalSet(signals: unknown, name: string): SignalSet {
  const set: [number, number] = [0, 0];
  for (const signal of listOf(signals, name)) {
    const valid = Number.isInteger(signal) && Number(signal) >= 1 && Number(signal) <= 64;
    const number = valid ? Number(signal) : signalNumber(signal);
    const half = number <= 32 ? 0 : 1;
    set[half] = (set[half] | (1 << ((number - 1) % 32))) >>> 0;
  }
  return set;
}

/** Name of a signal number, as Node writes it. */
export function signalName(number: number): NodeJS.Signals {
  for (const name in SIGNALS) {
    if (SIGNALS[name] === number) return name as NodeJS.Signals;
  }
  // A real-time signal; Node's type knows no name for those.
  return `SIGRT${number}` as NodeJS.Signals;
}
