import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EncodingError } from '../../src/machine/assembler.js';
import { Ia32Assembler } from '../../src/machine/ia32.js';
import { checkTable } from './encoding-table.js';
import { createAssembler, table } from './ia32.table.js';

type Emit = (asm: Ia32Assembler, value: number) => void;

/** Every emitter that takes a displacement, with the bytes that follow it. */
const DISPLACEMENTS: readonly (readonly [Emit, tail: number])[] = [
  [(asm, disp) => asm.load('eax', 'ebp', disp), 0],
  [(asm, disp) => asm.load('eax', 'esp', disp), 0],
  [(asm, disp) => asm.store('ecx', disp, 'esp'), 0],
  [(asm, disp) => asm.storeImmediate('esp', disp, 0), 4],
  [(asm, disp) => asm.addStore('edx', disp, 'ecx'), 0],
  [(asm, disp) => asm.addLoad('ebp', 'ebp', disp), 0],
  [(asm, disp) => asm.compareLoad('ecx', 'esp', disp), 0],
  [(asm, disp) => asm.pushMemory('ebp', disp), 0],
  [(asm, disp) => asm.callMemory('ebp', disp), 0],
  [(asm, disp) => asm.callDistant('ebx', disp), 0],
  [(asm, disp) => asm.leaMemory('eax', 'esp', disp), 0],
  [(asm, disp) => asm.leaDistant('eax', 'ebx', disp), 0],
];

/** Every emitter that takes a number as the last thing in its encoding. */
const SIGNED: readonly Emit[] = [
  (asm, value) => asm.addImmediate('eax', value),
  (asm, value) => asm.addImmediate('esp', value),
  (asm, value) => asm.subtractImmediate('esp', value),
  (asm, value) => asm.compareImmediate('eax', value),
  (asm, value) => asm.storeImmediate('esp', 8, value),
];
const UNSIGNED: readonly Emit[] = [
  (asm, value) => asm.moveImmediate('esp', value),
  (asm, value) => asm.storeAbsolute(value, 'esp'),
];

const anyNumber = fc.oneof(
  fc.integer(),
  fc.integer({ min: -300, max: 300 }),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(2 ** 31, 2 ** 31 - 1, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32, 2 ** 32 - 1, -1),
  fc.constantFrom(127, 128, -128, -129),
);

const isSigned = (value: number): boolean =>
  Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31;
const isUnsigned = (value: number): boolean =>
  Number.isInteger(value) && value >= 0 && value < 2 ** 32;

function bytesOf(emit: (asm: Ia32Assembler) => void): Uint8Array {
  const asm = createAssembler();
  emit(asm);
  return asm.finish().bytes;
}

/** The last bytes as a signed number; `size` is 0, 1 or 4. */
function last(bytes: Uint8Array, size: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (size === 0) return 0;
  return size === 1 ? view.getInt8(bytes.length - 1) : view.getInt32(bytes.length - 4, true);
}

test('every row of the table emits its text and its bytes', () => {
  checkTable(table, createAssembler);
});

test('the table has every emitter in it', () => {
  const seen = new Set<string>();
  const recording = new Proxy(new Ia32Assembler(), {
    get(asm, name) {
      seen.add(String(name));
      const value: unknown = Reflect.get(asm, name, asm);
      return typeof value === 'function' ? value.bind(asm) : value;
    },
  });
  for (const [emit] of table) emit(recording);
  const emitters = Object.getOwnPropertyNames(Ia32Assembler.prototype);
  assert.deepEqual(
    emitters.filter((name) => name !== 'constructor' && !seen.has(name)),
    [],
  );
});

test('an immediate is encoded as it is, or refused', () => {
  for (const [emitters, fits] of [
    [SIGNED, isSigned],
    [UNSIGNED, isUnsigned],
  ] as const) {
    for (const emit of emitters) {
      fc.assert(
        fc.property(anyNumber, (value) => {
          if (!fits(value)) {
            assert.throws(() => bytesOf((asm) => emit(asm, value)), EncodingError);
            return;
          }
          const bytes = bytesOf((asm) => emit(asm, value));
          // Of an arithmetic instruction, opcode 83 says that one byte follows.
          const found = last(bytes, bytes[0] === 0x83 ? 1 : 4);
          assert.equal(found, value | 0);
        }),
      );
    }
  }
});

test('a displacement is encoded as it is, or refused', () => {
  for (const [emit, tail] of DISPLACEMENTS) {
    fc.assert(
      fc.property(anyNumber, (disp) => {
        if (!isSigned(disp)) {
          assert.throws(() => bytesOf((asm) => emit(asm, disp)), EncodingError);
          return;
        }
        const bytes = bytesOf((asm) => emit(asm, disp));
        // The size of the displacement is in the two high bits of the ModRM byte.
        const size = [0, 1, 4][(bytes[1] as number) >> 6] ?? assert.fail('no memory operand');
        assert.equal(last(bytes.subarray(0, bytes.length - tail), size), disp | 0);
      }),
    );
  }
});

test('what is of one length whatever the distance is so for short ones', () => {
  for (const distance of [0, 1, -128, 127, 65536]) {
    const call = bytesOf((asm) => asm.callDistant('ebx', distance));
    const lea = bytesOf((asm) => asm.leaDistant('eax', 'ebx', distance));
    assert.deepEqual([call.length, lea.length], [6, 6]);
  }
});

test('storeAbsolute refuses eax, which is encoded otherwise', () => {
  assert.throws(() => bytesOf((asm) => asm.storeAbsolute(4096, 'eax')), EncodingError);
});

test('a jump leads to its label, or is refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 300 }), fc.boolean(), (distance, forward) => {
      const asm = createAssembler();
      const to = asm.label('to');
      if (!forward) asm.place(to);
      else asm.jumpIf('ne', to);
      for (let i = 0; i < distance; i++) asm.ret();
      if (forward) asm.place(to);
      else asm.jumpIf('ne', to);
      const jump = forward ? distance : -(distance + 2);
      if (jump < -128 || jump > 127) {
        assert.throws(() => asm.finish(), EncodingError);
        return;
      }
      const { bytes } = asm.finish();
      assert.equal(forward ? ((bytes[1] as number) << 24) >> 24 : last(bytes, 1), jump);
    }),
  );
});
