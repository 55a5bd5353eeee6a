import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EncodingError } from '../../src/machine/assembler.js';
import { X64Assembler } from '../../src/machine/x64.js';
import { checkTable, emitRow } from './encoding-table.js';
import { createAssembler, table } from './x64.table.js';

type Emit = (asm: X64Assembler, value: number) => void;

/** Every emitter that takes a displacement, with the bytes that follow it. */
const DISPLACEMENTS: readonly (readonly [Emit, tail: number])[] = [
  [(asm, disp) => asm.load('rax', 'rbx', disp), 0],
  [(asm, disp) => asm.load('r9', 'rsp', disp), 0],
  [(asm, disp) => asm.store('rbp', disp, 'rax'), 0],
  [(asm, disp) => asm.storeImmediate('r12', disp, 0), 4],
  [(asm, disp) => asm.addStore('r13', disp, 'rdi'), 0],
  [(asm, disp) => asm.addLoad('rbx', 'rax', disp), 0],
  [(asm, disp) => asm.compareLoad('rsi', 'rdi', disp), 0],
  [(asm, disp) => asm.compareImmediate('rbx', disp, 0), 1],
  [(asm, disp) => asm.callMemory('rbx', disp), 0],
  [(asm, disp) => asm.leaMemory('rdx', 'rsp', disp), 0],
];

/** Every emitter that takes a number as the last thing in its encoding. */
const IMMEDIATES: readonly (readonly [Emit, bits: 8 | 32])[] = [
  [(asm, value) => asm.addImmediate('rax', value), 32],
  [(asm, value) => asm.addImmediate('rbx', value), 32],
  [(asm, value) => asm.subtractImmediate('rsp', value), 32],
  [(asm, value) => asm.compareRegisterImmediate('r15', value), 32],
  [(asm, value) => asm.storeImmediate('rsp', 8, value), 32],
  [(asm, value) => asm.compareImmediate('rbx', 0, value), 8],
  [(asm, value) => asm.leaRelative('rbx', value), 32],
  [(asm, value) => asm.callRelative(value), 32],
];

const anyNumber = fc.oneof(
  fc.integer(),
  fc.integer({ min: -300, max: 300 }),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(2 ** 31, 2 ** 31 - 1, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32, 127, 128, -128, -129),
);

const fits = (value: number, bits: number): boolean =>
  Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1);

function bytesOf(emit: (asm: X64Assembler) => void): Uint8Array {
  const asm = createAssembler();
  emit(asm);
  return asm.finish().bytes;
}

/** The signed number in the last bytes, of which there are one or four. */
function last(bytes: Uint8Array, size: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return size === 1 ? view.getInt8(bytes.length - 1) : view.getInt32(bytes.length - 4, true);
}

/** Size of the displacement in an instruction: it is in the two high bits of the ModRM byte. */
function displacementSize(bytes: Uint8Array): 0 | 1 | 4 {
  const [first = 0] = bytes;
  const modrm = bytes[(first & 0xf0) === 0x40 ? 2 : 1] as number;
  return ([0, 1, 4] as const)[modrm >> 6] ?? assert.fail('not a memory operand');
}

test('every row of the table emits its text and its bytes', () => {
  checkTable(table, createAssembler);
});

test('the table has every emitter in it', () => {
  const seen = new Set<string>();
  const recording = new Proxy(new X64Assembler(), {
    get(asm, name) {
      seen.add(String(name));
      const value: unknown = Reflect.get(asm, name, asm);
      return typeof value === 'function' ? value.bind(asm) : value;
    },
  });
  for (const [emit] of table) emit(recording);
  const emitters = Object.getOwnPropertyNames(X64Assembler.prototype);
  assert.deepEqual(
    emitters.filter((name) => name !== 'constructor' && !seen.has(name)),
    [],
  );
});

test('an immediate is encoded as it is, or refused', () => {
  for (const [emit, bits] of IMMEDIATES) {
    fc.assert(
      fc.property(anyNumber, (value) => {
        if (!fits(value, bits)) {
          assert.throws(() => bytesOf((asm) => emit(asm, value)), EncodingError);
          return;
        }
        const bytes = bytesOf((asm) => emit(asm, value));
        // Of an arithmetic instruction, opcode 83 says that one byte follows.
        const size = bits === 8 || bytes[1] === 0x83 ? 1 : 4;
        assert.equal(last(bytes, size), value === 0 ? 0 : value);
      }),
    );
  }
});

test('a displacement is encoded as it is, or refused', () => {
  for (const [emit, tail] of DISPLACEMENTS) {
    fc.assert(
      fc.property(anyNumber, (disp) => {
        if (!fits(disp, 32)) {
          assert.throws(() => bytesOf((asm) => emit(asm, disp)), EncodingError);
          return;
        }
        const bytes = bytesOf((asm) => emit(asm, disp));
        const size = displacementSize(bytes);
        const found = size === 0 ? 0 : last(bytes.subarray(0, bytes.length - tail), size);
        assert.equal(found, disp === 0 ? 0 : disp);
      }),
    );
  }
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
      if (!fits(jump, 8)) {
        assert.throws(() => asm.finish(), EncodingError);
        return;
      }
      const { bytes } = asm.finish();
      assert.equal(forward ? ((bytes[1] as number) << 24) >> 24 : last(bytes, 1), jump);
    }),
  );
});

test('a label that was not placed is refused', () => {
  for (const emit of ['jump', 'call'] as const) {
    const asm = createAssembler();
    asm[emit](asm.label('nowhere'));
    assert.throws(() => asm.finish(), new EncodingError('the label nowhere was not placed'));
  }
});

test('text and bytes of a listing go together', () => {
  const { bytes } = emitRow((asm) => {
    asm.symbol('entry');
    asm.ret();
    asm.syscall();
  }, createAssembler());
  assert.equal(bytes, 'c30f05');
  const asm = createAssembler();
  asm.ret();
  asm.symbol('second');
  asm.syscall();
  const { lines, symbols } = asm.finish();
  assert.deepEqual(lines, [
    { offset: 0, length: 1, text: 'ret' },
    { offset: 1, length: 0, text: 'second:' },
    { offset: 1, length: 2, text: 'syscall' },
  ]);
  assert.deepEqual([...symbols], [['second', 1]]);
});
