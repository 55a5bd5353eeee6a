import assert from 'node:assert/strict';
import type { Assembler } from '../../src/machine/assembler.js';

/**
 * One row of an architecture's table: what to emit, the assembly text of it (several lines are
 * joined with '; '), and the bytes in hexadecimal. The bytes come from binutils, and
 * scripts/check-encodings.ts compares them with binutils again, so that tests need no toolchain.
 */
export type EncodingRow<A extends Assembler> = readonly [
  emit: (asm: A) => void,
  text: string,
  bytes: string,
];

export type EncodingTable<A extends Assembler> = readonly EncodingRow<A>[];

/** What a row emits. */
export function emitRow<A extends Assembler>(
  emit: (asm: A) => void,
  assembler: A,
): { text: string; bytes: string } {
  emit(assembler);
  const { bytes, lines } = assembler.finish();
  return {
    text: lines.map(({ text }) => text).join('; '),
    bytes: Buffer.from(bytes).toString('hex'),
  };
}

/** Asserts that every row of a table emits its text and its bytes. */
export function checkTable<A extends Assembler>(
  table: EncodingTable<A>,
  createAssembler: () => A,
): void {
  for (const [emit, text, bytes] of table) {
    assert.deepEqual(emitRow(emit, createAssembler()), { text, bytes }, text);
  }
}

/** Asserts that a table has a row for every emitter of an assembler. */
export function checkEmitters<A extends Assembler>(
  table: EncodingTable<A>,
  Assembler: new () => A,
): void {
  const seen = new Set<string>();
  const recording = new Proxy(new Assembler(), {
    get(asm, name) {
      seen.add(String(name));
      const value: unknown = Reflect.get(asm, name, asm);
      return typeof value === 'function' ? value.bind(asm) : value;
    },
  });
  for (const [emit] of table) emit(recording);
  const emitters = Object.getOwnPropertyNames(Assembler.prototype);
  assert.deepEqual(
    emitters.filter((name) => name !== 'constructor' && !seen.has(name)),
    [],
  );
}

/** What was emitted, as the 32-bit words of a machine whose instructions are such. */
export function wordsOf(asm: Assembler): number[] {
  const { bytes } = asm.finish();
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4, true));
}
