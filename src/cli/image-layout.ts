import { PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_LOAD } from '../elf/constants.js';
import { headerSize, type Segment, segmentSize } from '../elf/encode.js';
import type { ImageTemplate } from '../elf/image.js';
import type { Code } from '../machine/assembler.js';
import type { Machine } from '../machine/machine.js';
import { HEADER_WORDS, type Program } from '../program/instruction.js';
import { layoutOf } from '../program/link.js';

/** Where the parts of an image are; offsets and sizes in bytes. */
export interface ImageLayout {
  readonly elfClass: 32 | 64;
  /** e_machine of elf(5). */
  readonly machine: number;
  readonly entry: number;
  readonly size: number;
  readonly segments: readonly SegmentLayout[];
  readonly parts: readonly PartLayout[];
}

export interface SegmentLayout extends Omit<Segment, 'type' | 'flags'> {
  readonly type: string;
  readonly flags: string;
}

export interface PartLayout {
  readonly name: string;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

const TYPES = new Map([
  [PT_LOAD, 'LOAD'],
  [PT_DYNAMIC, 'DYNAMIC'],
  [PT_GNU_STACK, 'GNU_STACK'],
]);

/** The layout of the image that holds `program`. */
export function imageLayout(
  { elf, wordSize }: Machine,
  template: ImageTemplate,
  program: Program,
): ImageLayout {
  const { head, code, codeOffset, programAddress } = template;
  const layout = layoutOf(program, wordSize);
  const segments = template.segments(layout.size);
  const base = segments[0]?.address ?? 0;
  const headers = headerSize(wordSize) + segments.length * segmentSize(wordSize);
  const inProgram = (name: string, from: number, to: number): PartLayout => ({
    name,
    offset: head.length + from,
    address: programAddress + from,
    size: to - from,
  });
  return {
    elfClass: wordSize === 8 ? 64 : 32,
    machine: elf.machine,
    entry: base + codeOffset + (code.symbols.get('_start') ?? 0),
    size: head.length + layout.size,
    segments: segments.map((segment) => ({
      ...segment,
      type: TYPES.get(segment.type) ?? String(segment.type),
      flags: flagsText(segment.flags),
    })),
    parts: [
      { name: 'headers', offset: 0, address: base, size: headers },
      { name: 'code', offset: codeOffset, address: base + codeOffset, size: code.bytes.length },
      inProgram('program header', 0, HEADER_WORDS * wordSize),
      inProgram('instructions', layout.code, layout.scratch),
      inProgram('data', layout.data, layout.size),
    ],
  };
}

function flagsText(flags: number): string {
  const letters = [flags & PF_R ? 'R' : '-', flags & PF_W ? 'W' : '-', flags & PF_X ? 'X' : '-'];
  return letters.join('');
}

export function formatImage(image: ImageLayout): string {
  const { elfClass, machine, entry, size, segments, parts } = image;
  const rows = [['segment', 'offset', 'address', 'in file', 'in memory', 'flags']];
  for (const { type, offset, address, fileSize, memorySize, flags } of segments) {
    rows.push([type, hex(offset), hex(address), String(fileSize), String(memorySize), flags]);
  }
  const partRows = [['part', 'offset', 'address', 'size']];
  for (const { name, offset, address, size } of parts) {
    partRows.push([name, hex(offset), hex(address), String(size)]);
  }
  const title = `ELF${elfClass} executable, machine ${machine}, entry ${hex(entry)}, ${size} bytes\n`;
  return `${title}${table(rows)}${table(partRows)}`;
}

/** The assembly beside the bytes, `address` being that of the first. */
export function formatListing({ bytes, lines }: Code, address: number): string {
  const rows = lines.map(({ offset, length, text }) => {
    if (length === 0) return `${text}\n`;
    const hexBytes = Array.from(bytes.subarray(offset, offset + length), (byte) =>
      byte.toString(16).padStart(2, '0'),
    ).join(' ');
    const at = (address + offset).toString(16).padStart(8);
    return `${at}:  ${hexBytes.padEnd(33)}  ${text}\n`;
  });
  return rows.join('');
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** Columns as wide as they need to be. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map((row) => `${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd())
    .map((line) => `  ${line}\n`)
    .join('');
}
