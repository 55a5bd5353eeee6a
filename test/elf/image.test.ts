import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imageTemplate, writeImageHead } from '../../src/elf/image.js';
import { MACHINES } from '../../src/machine/index.js';
import { HEADER_WORDS, OP } from '../../src/program/instruction.js';
import { assertSegments, ElfReader, PF, PT } from './reader.js';
import { sampleImage } from './sample.js';

const ET_EXEC = 2;

for (const machine of Object.values(MACHINES)) {
  describe(`the helper image for ${machine.name}`, () => {
    const { wordSize } = machine;
    const { bytes, template, program, programSize } = sampleImage(machine);
    const elf = new ElfReader(bytes);

    test('is a static executable of this machine', () => {
      assert.equal(elf.wordSize, wordSize);
      assert.equal(elf.type, ET_EXEC);
      assert.equal(elf.machine, machine.elf.machine);
      assert.equal(elf.flags, machine.elf.flags);
      assert.ok(!elf.segments.some(({ type }) => type === PT.DYNAMIC));
    });

    test('has segments that are aligned, congruent, apart, and never writable and executable', () => {
      assert.equal(elf.segments.length, 3);
      assertSegments(elf, bytes.length);
    });

    test('starts in its code', () => {
      const segment = elf.segmentAt(elf.entry);
      assert.equal(segment.flags, PF.R | PF.X);
      const start = template.code.symbols.get('_start') as number;
      assert.equal(elf.offsetOf(elf.entry), template.codeOffset + start);
      const { code } = template;
      const codeAt = elf.offsetOf(elf.entry) - start;
      assert.deepEqual(bytes.subarray(codeAt, codeAt + code.bytes.length), code.bytes);
      assert.equal(segment.offset + segment.fileSize, codeAt + code.bytes.length);
    });

    test('has the program where it was linked to, and all of it', () => {
      const { programAddress } = template;
      const segment = elf.segmentAt(programAddress);
      assert.equal(segment.flags, PF.R | PF.W);
      assert.equal(segment.address, programAddress);
      assert.equal(segment.offset, template.head.length);
      assert.equal(segment.fileSize, programSize);
      assert.equal(segment.memorySize, programSize);
      assert.equal(bytes.length, segment.offset + programSize);
      assert.equal(programAddress % 64, 0);
      // The first instruction of a plan in an image is a system call.
      const first = elf.offsetOf(programAddress + HEADER_WORDS * wordSize);
      assert.equal(elf.word(first), OP.syscall);
      assert.equal(elf.word(first + wordSize), machine.syscallNumber('fcntl'));
      assert.equal(program.instructions[0]?.name, 'fcntl');
    });

    test('has the size of the program in its two words, whatever was there', () => {
      for (const size of [0, 1, 0xff, 0x100, 0x12345678]) {
        const memory = new Uint8Array(template.head.length).fill(0xaa);
        assert.equal(writeImageHead(template, wordSize, size, memory), memory.length + size);
        const data = new ElfReader(memory).segments[1];
        assert.deepEqual([data?.fileSize, data?.memorySize], [size, size]);
        // Nothing else differs.
        const other = memory.slice();
        writeImageHead(template, wordSize, 0, other);
        const differing = [...other.keys()].filter((at) => other[at] !== memory[at]);
        assert.ok(differing.length <= 8, `${differing.length} bytes differ`);
      }
    });

    test('is laid out as its list of segments says', () => {
      const listed = template.segments(programSize);
      assert.deepEqual(elf.segments, listed);
    });

    test('is the same each time', () => {
      assert.deepEqual(imageTemplate(machine).head, imageTemplate(machine).head);
      assert.deepEqual(sampleImage(machine).bytes, bytes);
    });
  });
}
