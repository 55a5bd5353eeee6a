import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InternalError } from '../../src/errors.js';
import { offsetBy, ProgramBuilder } from '../../src/program/builder.js';
import { WORD } from '../../src/program/instruction.js';

const WORD_SIZES = [4, 8] as const;

test('a label is placed once, and knows its instruction', () => {
  const b = new ProgramBuilder(8);
  const label = b.label('there');
  assert.equal(label.index, -1);
  b.halt();
  b.place(label);
  assert.equal(label.index, 1);
  assert.throws(() => b.place(label), InternalError);
  assert.equal(b.here('here').index, 1);
  assert.deepEqual([...b.build().names.values()], ['there', 'here']);
});

test('instructions are as they were written', () => {
  const b = new ProgramBuilder(8);
  const onError = b.label();
  const place = b.words(0);
  const step = { step: 'close', fd: 3 };
  assert.equal(b.syscall('close', [3], { result: place, onError, step }), 0);
  assert.equal(b.copy(place, 12), 1);
  assert.equal(b.position, 2);
  assert.deepEqual(b.build().instructions, [
    { op: 'syscall', name: 'close', args: [3], result: place, target: onError, child: null, step },
    { op: 'copy', name: '', args: [place], result: 12, target: null, child: null, step: null },
  ]);
});

test('a result can be given its place afterwards', () => {
  const b = new ProgramBuilder(8);
  const index = b.syscall('getpid', []);
  const later = b.argumentOf(7, 2);
  b.resultTo(index, later);
  assert.equal(b.build().instructions[0]?.result, later);
  assert.deepEqual(later, { section: 'code', offset: 7 * 12 + WORD.argument + 2 });
  assert.throws(() => b.resultTo(1, later), InternalError);
});

for (const wordSize of WORD_SIZES) {
  test(`data does not overlap and is aligned, with words of ${wordSize} bytes`, () => {
    const piece = fc.record({
      bytes: fc.uint8Array({ maxLength: 600 }),
      alignment: fc.constantFrom(undefined, 1, 2, 4, 8, 16),
    });
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const b = new ProgramBuilder(wordSize);
        const places = pieces.map(({ bytes, alignment }) => b.bytes(bytes, alignment));
        const { data } = b.build();
        let end = 0;
        pieces.forEach(({ bytes, alignment = wordSize }, i) => {
          const { offset } = places[i] as { offset: number };
          assert.ok(offset >= end);
          assert.equal(offset % alignment, 0);
          end = offset + bytes.length;
          assert.deepEqual(data.subarray(offset, end), bytes);
        });
        assert.equal(data.length, end);
      }),
    );
  });

  test(`strings are UTF-8 with a NUL, with words of ${wordSize} bytes`, () => {
    const strings = fc.array(fc.string({ unit: 'binary', maxLength: 300 }), { maxLength: 20 });
    fc.assert(
      fc.property(strings, (texts) => {
        const b = new ProgramBuilder(wordSize);
        const places = texts.map((text) => b.string(text));
        const after = b.reserve(1, 1);
        const { data } = b.build();
        const expected = texts.map((text) => Buffer.from(`${text}\0`));
        assert.deepEqual(Buffer.from(data), Buffer.concat([...expected, Buffer.alloc(1)]));
        let at = 0;
        expected.forEach((bytes, i) => {
          assert.equal(places[i]?.offset, at);
          at += bytes.length;
        });
        assert.equal(after.offset, at);
      }),
    );
  });

  test(`words that hold no integer of ${wordSize} bytes are refused`, () => {
    const b = new ProgramBuilder(wordSize);
    assert.throws(() => b.words(0.5));
    assert.throws(() => b.words(Number.NaN));
    if (wordSize === 4) {
      for (const value of [2 ** 32, -(2 ** 31) - 1]) assert.throws(() => b.words(value));
    }
  });

  test(`words hold numbers and note addresses, with words of ${wordSize} bytes`, () => {
    const b = new ProgramBuilder(wordSize);
    b.string('x');
    const header = b.header(2);
    const place = b.words(1, header, -1, 0xffffffff);
    assert.equal(place.offset, wordSize);
    const { data, pointers } = b.build();
    assert.deepEqual(pointers, [{ at: 2 * wordSize, place: header }]);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const word = (i: number): bigint =>
      wordSize === 8
        ? view.getBigInt64((i + 1) * 8, true)
        : BigInt(view.getInt32((i + 1) * 4, true));
    const ones = wordSize === 8 ? 0xffffffffn : -1n;
    assert.deepEqual([0, 1, 2, 3].map(word), [1n, 0n, -1n, ones]);
  });
}

test('reserved room is zero, also after the data has grown', () => {
  const b = new ProgramBuilder(8);
  b.bytes(new Uint8Array(200).fill(255));
  // A string takes more room while it is written than it keeps.
  b.string('é'.repeat(100));
  const place = b.reserve(5000);
  assert.ok(
    b
      .build()
      .data.subarray(place.offset)
      .every((byte) => byte === 0),
  );
});

test('a place in the data can be moved by bytes, others cannot', () => {
  const b = new ProgramBuilder(8);
  const place = b.reserve(16);
  assert.deepEqual(offsetBy(place, 12), { section: 'data', offset: place.offset + 12 });
  assert.throws(() => offsetBy(b.header(0), 8), InternalError);
  assert.throws(() => offsetBy(b.wordOf(0, 0), 8), InternalError);
});
