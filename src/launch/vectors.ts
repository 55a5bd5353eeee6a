import type { Memory } from './memory.js';

/** The environment of a new process: `NAME=value` strings, or this process's own as it stands. */
export type Environment = readonly string[] | 'inherit';

/** Bytes that `writeVectors` takes at the most. */
export function vectorsSize(
  argv: readonly string[],
  env: readonly string[],
  wordSize: number,
): number {
  let characters = 0;
  for (const text of argv) characters += text.length + 1;
  for (const text of env) characters += text.length + 1;
  return (argv.length + env.length + 3) * wordSize + characters * 3;
}

/** Where the vectors stand. `end` is the offset behind them. */
export interface Vectors {
  readonly argv: number;
  readonly envp: number;
  readonly end: number;
}

/**
 * Writes argv and envp as execve(2) wants them into `memory` from byte `at` on: a free word, the
 * two vectors, each ended by 0, and the strings.
 */
export function writeVectors(
  memory: Memory,
  at: number,
  argv: readonly string[],
  env: readonly string[],
): Vectors {
  const { wordSize, address } = memory;
  const argvAt = at + wordSize;
  const envpAt = argvAt + (argv.length + 1) * wordSize;
  const stringsAt = envpAt + (env.length + 1) * wordSize;
  let end = writeStrings(memory, argvAt, stringsAt, argv);
  end = writeStrings(memory, envpAt, end, env);
  return { argv: address + argvAt, envp: address + envpAt, end };
}

function writeStrings(
  memory: Memory,
  vectorAt: number,
  stringsAt: number,
  strings: readonly string[],
): number {
  const { wordSize, address } = memory;
  const text = `${strings.join('\0')}\0`;
  let end = stringsAt;
  let at = vectorAt;
  if (strings.length > 0) {
    const length = memory.bytes.write(text, stringsAt, 'utf8');
    // One encoding for all; only if that was not plain ASCII must each be measured.
    const ascii = length === text.length;
    for (const string of strings) {
      memory.setWord(at, address + end);
      at += wordSize;
      end += (ascii ? string.length : Buffer.byteLength(string)) + 1;
    }
  }
  memory.setWord(at, 0);
  return end;
}
