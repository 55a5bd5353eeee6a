import { InternalError } from '../../src/errors.js';
import type { LinkTarget } from '../../src/program/link.js';

const NAMES = ['read', 'write', 'close', 'getpid', 'getppid', 'fcntl', 'execve', 'exit_group'];

function target(wordSize: 4 | 8): LinkTarget {
  const syscallNumber = (name: string): number => {
    const index = NAMES.indexOf(name);
    if (index < 0) throw new InternalError(`no syscall ${name}`);
    return 100 + index;
  };
  return { wordSize, syscallNumber };
}

/** Imaginary machines of both word sizes; their system calls count from 100. */
export const TARGETS: readonly LinkTarget[] = [target(4), target(8)];

/** An address that needs all bits of a word that programs can count on. */
export const baseOf = (wordSize: number): number =>
  wordSize === 8 ? 0x7ffe_1234_5000 : 0xf7fe_5000;

/** The words of linked memory, unsigned. */
export function wordsOf(memory: Uint8Array, wordSize: number): bigint[] {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
  return Array.from({ length: Math.floor(memory.length / wordSize) }, (_, i) =>
    wordSize === 8 ? view.getBigUint64(i * 8, true) : BigInt(view.getUint32(i * 4, true)),
  );
}
