import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** Bytes that can be used without pushing something else out, also in a container with a limit. */
export function availableMemory(): number {
  const limits = [freemem()];
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  if (available !== null) limits[0] = Number(available[1]) * 1024;
  // 0 is no limit; so is what is larger than the machine.
  const limit = process.constrainedMemory();
  if (limit > 0) limits.push(limit - process.memoryUsage().rss);
  return Math.min(...limits);
}
