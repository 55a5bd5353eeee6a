import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CodeLabel, EncodingError } from '../../src/machine/assembler.js';
import { Riscv64Assembler } from '../../src/machine/riscv64.js';
import { checkEmitters, checkTable, wordsOf } from './encoding-table.js';
import { createAssembler, table } from './riscv64.table.js';

type Emit = (asm: Riscv64Assembler, value: number) => void;
type EmitJump = (asm: Riscv64Assembler, to: CodeLabel) => void;

const typeI = (word: number): number => word >> 20;
const typeS = (word: number): number => ((word >> 25) << 5) | ((word >>> 7) & 31);

/** Every emitter with a signed number, its bits, and how a decoder would read it again. */
const NUMBERS: readonly (readonly [Emit, bits: number, decode: (words: number[]) => number])[] = [
  [(asm, n) => asm.load('t0', 's1', n), 12, ([word = 0]) => typeI(word)],
  [(asm, n) => asm.store('t0', n, 'a0'), 12, ([word = 0]) => typeS(word)],
  [(asm, n) => asm.addImmediate('sp', 'sp', n), 12, ([word = 0]) => typeI(word)],
  [(asm, n) => asm.loadImmediate('a0', n), 12, ([word = 0]) => typeI(word)],
  [(asm, n) => asm.loadPages('a0', n), 20, ([word = 0]) => word >> 12],
  [(asm, n) => asm.addPagesToHere('a0', n), 20, ([word = 0]) => word >> 12],
];

const anyNumber = fc.oneof(
  fc.integer({ min: -5000, max: 5000 }),
  fc.integer({ min: -(2 ** 20), max: 2 ** 20 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
);

const fits = (value: number, bits: number): boolean =>
  Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1);

test('every row of the table emits its text and its bytes', () => {
  checkTable(table, createAssembler);
});

test('the table has every emitter in it', () => {
  checkEmitters(table, Riscv64Assembler);
});

test('a number is encoded as it is, or refused', () => {
  for (const [emit, bits, decode] of NUMBERS) {
    const check = (value: number): void => {
      const asm = createAssembler();
      if (!fits(value, bits)) {
        assert.throws(() => emit(asm, value), EncodingError);
        return;
      }
      emit(asm, value);
      assert.equal(decode(wordsOf(asm)), value === 0 ? 0 : value);
    };
    const limit = 2 ** (bits - 1);
    for (const value of [-limit - 1, -limit, limit - 1, limit]) check(value);
    fc.assert(fc.property(anyNumber, check));
  }
});

test('an address is put together from two parts, or refused', () => {
  const check = (distance: number): void => {
    const asm = createAssembler();
    // The low part reaches 2 KiB below the high one.
    if (!Number.isInteger(distance) || !fits(distance + 2048, 32)) {
      assert.throws(() => asm.address('s1', distance), EncodingError);
      return;
    }
    asm.address('s1', distance);
    const [high = 0, low = 0] = wordsOf(asm);
    assert.equal((high >> 12) * 4096 + typeI(low), distance === 0 ? 0 : distance);
  };
  for (const at of [0, 2047, 2048, 2 ** 31 - 2049, 2 ** 31 - 2048, -(2 ** 31) - 2048]) {
    for (const distance of [at - 1, at, at + 1, -at]) check(distance);
  }
  fc.assert(fc.property(anyNumber, check));
});

test('a jump that its label is too far for is refused', () => {
  const jump = (count: number, emit: EmitJump, back: boolean) => {
    const asm = createAssembler();
    const to = asm.label('to');
    if (back) asm.place(to);
    else emit(asm, to);
    for (let i = 0; i < count; i++) asm.syscall();
    if (back) emit(asm, to);
    else asm.place(to);
    return () => asm.finish();
  };
  // 13 bits of bytes for conditional jumps, 21 for others.
  for (const [bits, emit] of [
    [13, (asm, to) => asm.jumpIf('ne', 'a0', 'a1', to)],
    [21, (asm, to) => asm.jump(to)],
    [21, (asm, to) => asm.call('s2', to)],
  ] as readonly (readonly [number, EmitJump])[]) {
    const limit = 2 ** (bits - 1) / 4;
    assert.doesNotThrow(jump(limit - 2, emit, false));
    assert.throws(jump(limit - 1, emit, false), EncodingError);
    assert.doesNotThrow(jump(limit, emit, true));
    assert.throws(jump(limit + 1, emit, true), EncodingError);
  }
});

test('a label that was not placed is refused', () => {
  const asm = createAssembler();
  asm.jump(asm.label('nowhere'));
  assert.throws(() => asm.finish(), new EncodingError('the label nowhere was not placed'));
});
