import type { SpawnOptions } from '../../../src/index.js';
import type { Sample, Surroundings } from './options.js';

/** Options of several samples as those of one launch; null if one of them is none here. */
export function combine(samples: readonly Sample[], here: Surroundings): SpawnOptions | null {
  let all: Record<string, unknown> = here.inUserNamespace ? { namespaces: { user: true } } : {};
  for (const { options } of samples) {
    const each = options(here);
    if (each === null) return null;
    all = merge(all, each as Record<string, unknown>);
  }
  return all as SpawnOptions;
}

/** Lists behind each other, but for `stdio`; records with the fields of both. */
function merge(a: Record<string, unknown>, b: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...a };
  for (const [name, value] of Object.entries(b)) {
    const there = merged[name];
    if (isRecord(there) && isRecord(value)) merged[name] = merge(there, value);
    else if (Array.isArray(there) && Array.isArray(value)) merged[name] = [...there, ...value];
    else merged[name] = value;
  }
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Options that would take each other's place, or are of one name. */
export function areAlternatives(a: Sample, b: Sample): boolean {
  const [kind] = a.name.split(': ');
  return a.name.includes(': ') && b.name.startsWith(`${kind}: `);
}
