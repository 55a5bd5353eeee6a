import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { alignUp, ElfWriter } from '../../src/elf/encode.js';
import { dataSizeOffsets, imageTemplate, writeImageHead } from '../../src/elf/image.js';
import { EncodingError } from '../../src/machine/assembler.js';
import { MACHINES } from '../../src/machine/index.js';
import { runs } from '../soak.js';
import { assertSegments, ElfReader } from './reader.js';

const SIZES = { u8: 8, u16: 16, u32: 32 } as const;

for (const wordSize of [4, 8] as const) {
  const writer = (room: number): ElfWriter =>
    new ElfWriter(new Uint8Array(room), { wordSize, machine: 62, flags: 0 });

  describe(`the ELF writer with words of ${wordSize} bytes`, () => {
    test('numbers out of range are refused, and not cut', () => {
      const value = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.nat(70_000), fc.double());
      fc.assert(
        fc.property(value, (number) => {
          for (const [name, bits] of [...Object.entries(SIZES), ['word', wordSize * 8]] as const) {
            const w = writer(8);
            const fits = Number.isSafeInteger(number) && number >= 0 && number < 2 ** bits;
            const write = (): void => w[name as 'word'](number);
            if (!fits) {
              assert.throws(write, EncodingError, `${name} ${number}`);
              continue;
            }
            write();
            const read = new DataView(w.bytes.buffer).getBigUint64(0, true);
            assert.equal(read, BigInt(number), `${name} ${number}`);
          }
        }),
        { numRuns: runs(300) },
      );
    });

    test('nothing is written behind the end', () => {
      for (const at of [-1, 6, 8, 2 ** 40, Number.NaN, 0.5]) {
        const w = writer(8);
        w.seek(at);
        assert.throws(() => w.u32(1), EncodingError, `${at}`);
      }
    });
  });
}

for (const machine of Object.values(MACHINES)) {
  test(`images for ${machine.name} of any size hold their program, in segments apart`, () => {
    const template = imageTemplate(machine);
    const { wordSize } = machine;
    const head = template.head.length;
    fc.assert(
      fc.property(fc.nat(300_000), (words) => {
        const size = words * wordSize;
        const bytes = new Uint8Array(head + Math.min(size, 4096));
        assert.equal(writeImageHead(template, wordSize, size, bytes), head + size);
        const elf = new ElfReader(bytes);
        assertSegments(elf, head + size);
        const data = elf.segments[1] as { fileSize: number; offset: number; address: number };
        assert.deepEqual([data.fileSize, data.offset], [size, head]);
        assert.equal(data.address, template.programAddress);
      }),
      { numRuns: runs(60) },
    );
    for (const size of [-1, 0.5, Number.NaN, 2 ** 32]) {
      const memory = new Uint8Array(head);
      assert.throws(() => writeImageHead(template, wordSize, size, memory), EncodingError);
    }
    assert.equal(dataSizeOffsets(wordSize)[0] % 4, 0);
    assert.equal(alignUp(head, 64), head);
  });
}
