import { type Code, unsigned } from '../machine/assembler.js';
import type { Machine } from '../machine/machine.js';
import { ET_EXEC, SEGMENT_ALIGNMENT } from './constants.js';
import {
  alignUp,
  codeSegment,
  dataSegment,
  ElfWriter,
  headerSize,
  type Segment,
  segmentSize,
  stackSegment,
} from './encode.js';

/** Where the helper is loaded. Above what vm.mmap_min_addr forbids on any distribution. */
const IMAGE_BASE = 0x400000;

/** What all helper images of a machine share: headers and code. A program goes behind it. */
export interface ImageTemplate {
  /** The file's bytes up to the program; the sizes in its data segment are still 0. */
  readonly head: Uint8Array;
  /** Address at which the program must be linked. */
  readonly programAddress: number;
  readonly codeOffset: number;
  readonly code: Code;
  readonly segments: (programSize: number) => readonly Segment[];
}

/** Lays out the image for a machine. The result does not depend on the program. */
export function imageTemplate(machine: Machine): ImageTemplate {
  const { wordSize } = machine;
  const codeOffset = alignUp(headerSize(wordSize) + 3 * segmentSize(wordSize), 16);
  const codeAddress = IMAGE_BASE + codeOffset;
  // The length of the code does not depend on the addresses in it.
  const size = machine.emitHelper(codeAddress, codeAddress).bytes.length;
  const programOffset = alignUp(codeOffset + size, 64);
  const programAddress = IMAGE_BASE + SEGMENT_ALIGNMENT + programOffset;
  const code = machine.emitHelper(codeAddress, programAddress);
  const segments = (programSize: number): readonly Segment[] => [
    codeSegment(IMAGE_BASE, codeOffset + size),
    dataSegment(programOffset, programAddress, programSize, programSize),
    stackSegment,
  ];

  const head = new Uint8Array(programOffset);
  const writer = new ElfWriter(head, { wordSize, ...machine.elf });
  const entry = codeAddress + (code.symbols.get('_start') as number);
  writer.header(ET_EXEC, entry, 3);
  for (const segment of segments(0)) writer.segment(segment);
  head.set(code.bytes, codeOffset);
  return { head, programAddress, codeOffset, code, segments };
}

/** Byte offsets of the two size words of the data segment, which depend on the program. */
export function dataSizeOffsets(wordSize: number): readonly [number, number] {
  const at = headerSize(wordSize) + segmentSize(wordSize) + (wordSize === 8 ? 32 : 16);
  return [at, at + wordSize];
}

/**
 * Completes the image in `memory`: copies the head and fills in the program's size. The program
 * itself is to be linked into `memory` behind the head, at `programAddress`.
 */
export function writeImageHead(
  template: ImageTemplate,
  wordSize: number,
  programSize: number,
  memory: Uint8Array,
): number {
  unsigned(programSize, 32);
  memory.set(template.head);
  for (const at of dataSizeOffsets(wordSize)) {
    for (let i = 0; i < 4; i++) memory[at + i] = (programSize >>> (8 * i)) & 255;
  }
  return template.head.length + programSize;
}
