import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../root.js';
import type { Answer } from './row.js';

/** A cell of the table. */
export interface Cell {
  readonly answer: Answer;
  /** What is to be said of it: always with `partial`. */
  readonly note?: string;
}

export interface ColumnResult {
  /** What was run, or whose documentation was read. */
  readonly version: string;
  /** The day, YYYY-MM-DD. */
  readonly date: string;
  readonly cells: Readonly<Record<string, Cell>>;
}

/** By column. It is kept, for a column whose peer is missing stays as it was. */
export type Results = Readonly<Record<string, ColumnResult>>;

const FILE = join(ROOT, 'bench/options/results.json');

export function readResults(): Results {
  try {
    return JSON.parse(readFileSync(FILE, 'utf8')) as Results;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

export function writeResults(results: Results): void {
  writeFileSync(FILE, `${JSON.stringify(results, null, 2)}\n`);
}
