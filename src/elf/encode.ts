import { EncodingError, unsigned } from '../machine/assembler.js';
import {
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  EV_CURRENT,
  PF_R,
  PF_W,
  PF_X,
  PT_DYNAMIC,
  PT_GNU_STACK,
  PT_LOAD,
  SEGMENT_ALIGNMENT,
} from './constants.js';

/** What an encoder must know of the file it encodes. */
export interface ElfFormat {
  readonly wordSize: 4 | 8;
  readonly machine: number;
  readonly flags: number;
}

export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly alignment: number;
}

export interface ElfSymbol {
  /** Offset into the string table. */
  readonly name: number;
  readonly address: number;
  readonly size: number;
  readonly binding: number;
  readonly type: number;
  /** 0 for an undefined symbol, else any other section index. */
  readonly section: number;
}

export const headerSize = (wordSize: number): number => (wordSize === 8 ? 64 : 52);
export const segmentSize = (wordSize: number): number => (wordSize === 8 ? 56 : 32);
export const symbolSize = (wordSize: number): number => (wordSize === 8 ? 24 : 16);

/** Writes numbers at a moving position; words are of the format's size. Stateless but for it. */
export class ElfWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #format: ElfFormat;
  #at = 0;

  constructor(bytes: Uint8Array, format: ElfFormat) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#format = format;
  }

  seek(offset: number): void {
    this.#at = offset;
  }

  u8(...values: number[]): void {
    for (const value of values) this.#view.setUint8(this.#take(1), unsigned(value, 8));
  }

  u16(...values: number[]): void {
    for (const value of values) this.#view.setUint16(this.#take(2), unsigned(value, 16), true);
  }

  u32(...values: number[]): void {
    for (const value of values) this.#view.setUint32(this.#take(4), unsigned(value, 32), true);
  }

  word(...values: number[]): void {
    for (const value of values) {
      if (this.#format.wordSize === 8) {
        unsigned(value, 53);
        this.u32(value % 0x100000000, Math.floor(value / 0x100000000));
      } else this.u32(value);
    }
  }

  /** The next `size` bytes, which must be there. */
  #take(size: number): number {
    const at = this.#at;
    if (!(Number.isInteger(at) && at >= 0 && at + size <= this.bytes.length)) {
      throw new EncodingError(`the file has no ${size} bytes at ${at}`);
    }
    this.#at = at + size;
    return at;
  }

  header(type: number, entry: number, segments: number): void {
    const { wordSize, machine, flags } = this.#format;
    this.seek(0);
    this.u8(0x7f, 0x45, 0x4c, 0x46, wordSize === 8 ? ELFCLASS64 : ELFCLASS32, ELFDATA2LSB);
    this.u8(EV_CURRENT);
    this.seek(16);
    this.u16(type, machine);
    this.u32(EV_CURRENT);
    this.word(entry, headerSize(wordSize), 0);
    this.u32(flags);
    this.u16(headerSize(wordSize), segmentSize(wordSize), segments, 0, 0, 0);
  }

  segment(segment: Segment): void {
    const { type, flags, offset, address, fileSize, memorySize, alignment } = segment;
    this.u32(type);
    if (this.#format.wordSize === 8) this.u32(flags);
    this.word(offset, address, address, fileSize, memorySize);
    if (this.#format.wordSize === 4) this.u32(flags);
    this.word(alignment);
  }

  symbol({ name, address, size, binding, type, section }: ElfSymbol): void {
    const info = (binding << 4) | type;
    this.u32(name);
    if (this.#format.wordSize === 8) {
      this.u8(info, 0);
      this.u16(section);
      this.word(address, size);
    } else {
      this.word(address, size);
      this.u8(info, 0);
      this.u16(section);
    }
  }

  /** A relocation; the addend is left out where the format keeps it in the relocated word. */
  relocation(address: number, symbol: number, type: number, addend: number | null): void {
    this.word(address);
    if (this.#format.wordSize === 8) this.u32(type, symbol);
    else this.u32(unsigned(symbol, 24) * 256 + unsigned(type, 8));
    if (addend !== null) this.word(addend);
  }
}

/** The segment that holds headers and code: readable and executable. */
export function codeSegment(address: number, size: number): Segment {
  return {
    type: PT_LOAD,
    flags: PF_R | PF_X,
    offset: 0,
    address,
    fileSize: size,
    memorySize: size,
    alignment: SEGMENT_ALIGNMENT,
  };
}

/** The segment that holds data: readable and writable. */
export function dataSegment(
  offset: number,
  address: number,
  fileSize: number,
  memorySize: number,
): Segment {
  return {
    type: PT_LOAD,
    flags: PF_R | PF_W,
    offset,
    address,
    fileSize,
    memorySize,
    alignment: SEGMENT_ALIGNMENT,
  };
}

export function dynamicSegment(offset: number, address: number, size: number): Segment {
  return {
    type: PT_DYNAMIC,
    flags: PF_R | PF_W,
    offset,
    address,
    fileSize: size,
    memorySize: size,
    alignment: 16,
  };
}

/** Says that the stack needs not be executable. */
export const stackSegment: Segment = {
  type: PT_GNU_STACK,
  flags: PF_R | PF_W,
  offset: 0,
  address: 0,
  fileSize: 0,
  memorySize: 0,
  alignment: 16,
};

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
