import { UsageError } from '../usage.js';
import type { FlagValues } from './flag-group.js';

/** The items of a flag's list, which commas separate; `none` is the empty list. */
export function listOf(values: FlagValues, name: string): string[] | undefined {
  const text = values[name];
  if (typeof text !== 'string') return undefined;
  if (text === 'none') return [];
  const items = text.split(',').map((item) => item.trim());
  if (items.includes('')) throw new UsageError(`--${name} wants a list, or none`);
  return items;
}

/** A decimal number from 0 to `max`. */
export function numberOf(text: string, flag: string, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= max)) throw new UsageError(`${flag} wants a number up to ${max}, not '${text}'`);
  return value;
}

/** The name of a signal, which may lack its SIG. */
export function signalOf(text: string): string {
  const upper = text.toUpperCase();
  return upper.startsWith('SIG') ? upper : `SIG${upper}`;
}
