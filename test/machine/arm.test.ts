import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArmAssembler } from '../../src/machine/arm.js';
import { EncodingError } from '../../src/machine/assembler.js';
import { createAssembler, table } from './arm.table.js';
import { checkTable } from './encoding-table.js';

type Emit = (asm: ArmAssembler, value: number) => void;

const DISPLACEMENTS: readonly Emit[] = [
  (asm, disp) => asm.load('r6', 'r8', disp),
  (asm, disp) => asm.store('r8', disp, 'r0'),
];

const IMMEDIATES: readonly Emit[] = [
  (asm, value) => asm.moveImmediate('r0', value),
  (asm, value) => asm.addImmediate('r8', 'r8', value),
  (asm, value) => asm.subtractImmediate('sp', 'sp', value),
  (asm, value) => asm.compareImmediate('r0', value),
  (asm, value) => asm.compareNegative('r0', value),
];

const rotateRight = (value: number, by: number): number =>
  by === 0 ? value : ((value >>> by) | (value << (32 - by))) >>> 0;

const anyNumber = fc.oneof(
  fc.integer({ min: -5000, max: 5000 }),
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.double(),
  fc.constantFrom(4095, 4096, -4095, -4096, 2 ** 32, 2 ** 32 - 1, -(2 ** 31)),
  fc.tuple(fc.nat(255), fc.nat(15)).map(([value, by]) => rotateRight(value, 2 * by)),
);

/** The one instruction that is emitted. */
function wordOf(emit: (asm: ArmAssembler) => void): number {
  const asm = createAssembler();
  emit(asm);
  asm.finish();
  return asm.read32(0);
}

test('every row of the table emits its text and its bytes', () => {
  checkTable(table, createAssembler);
});

test('the table has every emitter in it', () => {
  const seen = new Set<string>();
  const recording = new Proxy(new ArmAssembler(), {
    get(asm, name) {
      seen.add(String(name));
      const value: unknown = Reflect.get(asm, name, asm);
      return typeof value === 'function' ? value.bind(asm) : value;
    },
  });
  for (const [emit] of table) emit(recording);
  const emitters = Object.getOwnPropertyNames(ArmAssembler.prototype);
  assert.deepEqual(
    emitters.filter((name) => name !== 'constructor' && !seen.has(name)),
    [],
  );
});

test('a displacement is encoded as it is, or refused', () => {
  for (const emit of DISPLACEMENTS) {
    fc.assert(
      fc.property(anyNumber, (disp) => {
        if (!Number.isInteger(disp) || Math.abs(disp) > 4095) {
          assert.throws(() => wordOf((asm) => emit(asm, disp)), EncodingError);
          return;
        }
        const word = wordOf((asm) => emit(asm, disp));
        const magnitude = word & 0xfff;
        assert.equal(word & (1 << 23) ? magnitude : 0 - magnitude, disp + 0);
      }),
    );
  }
});

test('an immediate is encoded as it is, or refused', () => {
  const encodable = (value: number): boolean =>
    Number.isInteger(value) &&
    value >= 0 &&
    value < 2 ** 32 &&
    // Rotated left by any even number, to undo what the processor does.
    Array.from({ length: 16 }, (_, i) => rotateRight(value, (32 - 2 * i) % 32)).some(
      (v) => v < 256,
    );
  for (const emit of IMMEDIATES) {
    fc.assert(
      fc.property(anyNumber, (value) => {
        if (!encodable(value)) {
          assert.throws(() => wordOf((asm) => emit(asm, value)), EncodingError);
          return;
        }
        const word = wordOf((asm) => emit(asm, value));
        assert.equal(rotateRight(word & 0xff, ((word >> 8) & 15) * 2), value + 0);
      }),
    );
  }
});

test('a word among the code is encoded as it is, or refused', () => {
  fc.assert(
    fc.property(anyNumber, (value) => {
      if (!Number.isInteger(value) || value !== (value | 0)) {
        assert.throws(() => wordOf((asm) => asm.word(value)), EncodingError);
      } else {
        assert.equal(
          wordOf((asm) => asm.word(value)),
          value >>> 0,
        );
      }
    }),
  );
});

test('a list of registers has at least two', () => {
  for (const list of [[], ['r4']] as const) {
    assert.throws(() => createAssembler().push(list), EncodingError);
    assert.throws(() => createAssembler().pop(list), EncodingError);
    assert.throws(() => createAssembler().loadMultiple('r6', list), EncodingError);
  }
});

test('a label out of reach is refused', () => {
  const reach = (words: number, emit: Emit): void => {
    const asm = createAssembler();
    emit(asm, words);
    asm.finish();
  };
  const load: Emit = (asm, words) => {
    const to = asm.label('to');
    asm.loadLabel('r8', to);
    for (let i = 0; i < words; i++) asm.syscall();
    asm.place(to);
  };
  // The distance counts from two instructions on: 4095 bytes are 1023 words.
  reach(1024, load);
  assert.throws(() => reach(1025, load), EncodingError);
  const address: Emit = (asm, words) => {
    const to = asm.label('to');
    asm.addressOf('r3', to);
    for (let i = 0; i < words; i++) asm.syscall();
    asm.place(to);
  };
  reach(1 + 255, address);
  assert.throws(() => reach(1 + 257, address), EncodingError);
  assert.throws(() => reach(0, address), EncodingError);
});
