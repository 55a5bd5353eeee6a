import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arm64Assembler } from '../../src/machine/arm64.js';
import { EncodingError } from '../../src/machine/assembler.js';
import { createAssembler, table } from './arm64.table.js';
import { checkEmitters, checkTable, wordsOf } from './encoding-table.js';

type Emit = (asm: Arm64Assembler, value: number) => void;

/** Every emitter with a number, how far it reaches, and how a decoder would read it again. */
const NUMBERS: readonly (readonly [
  Emit,
  min: number,
  max: number,
  unit: number,
  decode: (word: number) => number,
])[] = [
  [(asm, n) => asm.load('x9', 'x19', n), 0, 32760, 8, (word) => ((word >>> 10) & 0xfff) * 8],
  [(asm, n) => asm.store('x9', n, 'x0'), 0, 32760, 8, (word) => ((word >>> 10) & 0xfff) * 8],
  [(asm, n) => asm.moveImmediate('x0', n), 0, 65535, 1, (word) => (word >>> 5) & 0xffff],
  [(asm, n) => asm.addImmediate('x0', 'sp', n), 0, 4095, 1, (word) => (word >>> 10) & 0xfff],
  [(asm, n) => asm.subtractImmediate('sp', 'x1', n), 0, 4095, 1, (word) => (word >>> 10) & 0xfff],
  [(asm, n) => asm.compareImmediate('x0', n), 0, 4095, 1, (word) => (word >>> 10) & 0xfff],
  [(asm, n) => asm.compareNegative('x0', n), 0, 4095, 1, (word) => (word >>> 10) & 0xfff],
  [
    (asm, n) => asm.address('x0', n),
    -(2 ** 20),
    2 ** 20 - 1,
    1,
    (word) => (((word << 8) >> 13) << 2) | ((word >>> 29) & 3),
  ],
];

const anyNumber = fc.oneof(
  fc.integer({ min: -40000, max: 80000 }),
  fc.integer({ min: -5000, max: 5000 }).map((n) => n * 8),
  fc.integer({ min: -(2 ** 21), max: 2 ** 21 }),
  fc.maxSafeInteger(),
  fc.double(),
);

test('every row of the table emits its text and its bytes', () => {
  checkTable(table, createAssembler);
});

test('the table has every emitter in it', () => {
  checkEmitters(table, Arm64Assembler);
});

test('a number is encoded as it is, or refused', () => {
  for (const [emit, min, max, unit, decode] of NUMBERS) {
    const check = (value: number): void => {
      const asm = createAssembler();
      if (value % unit !== 0 || value < min || value > max) {
        assert.throws(() => emit(asm, value), EncodingError);
        return;
      }
      emit(asm, value);
      assert.equal(decode(wordsOf(asm)[0] as number), value === 0 ? 0 : value);
    };
    for (const value of [min - unit, min, min + 1, max - 1, max, max + 1, max + unit]) check(value);
    fc.assert(fc.property(anyNumber, check));
  }
});

test('a jump that its label is too far for is refused', () => {
  // 19 bits of words for conditional jumps: the last one that fits, and the first one that does not.
  for (const [count, fits] of [
    [2 ** 18 - 2, true],
    [2 ** 18 - 1, false],
  ] as const) {
    const asm = createAssembler();
    const to = asm.label('to');
    asm.jumpIf('ne', to);
    for (let i = 0; i < count; i++) asm.emit32('nop', 0xd503201f);
    asm.place(to);
    if (fits) assert.equal(wordsOf(asm)[0], 0x54000001 | ((count + 1) << 5));
    else assert.throws(() => asm.finish(), EncodingError);
  }
});

test('a label that was not placed is refused', () => {
  for (const emit of ['jump', 'call'] as const) {
    const asm = createAssembler();
    asm[emit](asm.label('nowhere'));
    assert.throws(() => asm.finish(), new EncodingError('the label nowhere was not placed'));
  }
});
