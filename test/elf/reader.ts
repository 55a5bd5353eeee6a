import assert from 'node:assert/strict';

/**
 * A reader of ELF files as elf(5) describes them: little-endian, 32 and 64 bits. It shares no code
 * and no constants with the writers, and reads only what the program headers lead to, as the
 * kernel and the dynamic linker do.
 */

export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly alignment: number;
}

export interface ElfSymbol {
  readonly name: string;
  readonly value: number;
  readonly size: number;
  readonly binding: number;
  readonly type: number;
  readonly section: number;
}

export interface ElfRelocation {
  readonly address: number;
  readonly type: number;
  readonly symbol: number;
  /** null where the relocated word has it (REL). */
  readonly addend: number | null;
}

export const PT = { LOAD: 1, DYNAMIC: 2, GNU_STACK: 0x6474e551 } as const;
export const PF = { X: 1, W: 2, R: 4 } as const;
const DT = { HASH: 4, STRTAB: 5, SYMTAB: 6, RELA: 7, RELASZ: 8, REL: 17, RELSZ: 18 } as const;

export class ElfReader {
  readonly wordSize: 4 | 8;
  readonly type: number;
  readonly machine: number;
  readonly flags: number;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    assert.deepEqual([...bytes.subarray(0, 4)], [0x7f, 0x45, 0x4c, 0x46], 'the magic number');
    this.wordSize = bytes[4] === 2 ? 8 : 4;
    assert.ok(bytes[4] === 1 || bytes[4] === 2, 'the class');
    assert.equal(bytes[5], 1, 'little-endian');
    assert.equal(bytes[6], 1, 'the version');
    const wide = this.wordSize === 8;
    this.type = this.half(16);
    this.machine = this.half(18);
    assert.equal(this.int(20), 1, 'the version again');
    this.entry = this.word(24);
    const headers = this.word(wide ? 32 : 28);
    const tail = wide ? 48 : 36;
    this.flags = this.int(tail);
    assert.equal(this.half(tail + 4), wide ? 64 : 52, 'the size of the header');
    assert.equal(this.half(tail + 6), wide ? 56 : 32, 'the size of a program header');
    assert.equal(this.half(tail + 10 + 2), 0, 'no sections');
    this.segments = Array.from({ length: this.half(tail + 8) }, (_, i) =>
      this.#segment(headers + i * (wide ? 56 : 32)),
    );
  }

  half(at: number): number {
    return this.#view.getUint16(at, true);
  }

  int(at: number): number {
    return this.#view.getUint32(at, true);
  }

  word(at: number): number {
    return this.wordSize === 4 ? this.int(at) : Number(this.#view.getBigUint64(at, true));
  }

  /** Offset in the file of what will be at an address. Asserts that there is something. */
  offsetOf(address: number): number {
    const segment = this.segments.find(
      ({ type, address: start, fileSize }) =>
        type === PT.LOAD && address >= start && address < start + fileSize,
    );
    assert.ok(segment, `something is loaded at ${address.toString(16)}`);
    return segment.offset + address - segment.address;
  }

  /** The segment that an address is in. */
  segmentAt(address: number): ElfSegment {
    this.offsetOf(address);
    return this.segments.find(
      ({ type, address: start, memorySize }) =>
        type === PT.LOAD && address >= start && address < start + memorySize,
    ) as ElfSegment;
  }

  /** The dynamic section: values by tag. Asserts that no tag is there twice and that it ends. */
  dynamic(): ReadonlyMap<number, number> {
    const segment = this.segments.find(({ type }) => type === PT.DYNAMIC);
    assert.ok(segment, 'there is a dynamic segment');
    const values = new Map<number, number>();
    const end = segment.offset + segment.fileSize;
    for (let at = segment.offset; at < end; at += 2 * this.wordSize) {
      const tag = this.word(at);
      if (tag === 0) return values;
      assert.ok(!values.has(tag), `tag ${tag} is there once`);
      values.set(tag, this.word(at + this.wordSize));
    }
    return assert.fail('the dynamic section ends with DT_NULL');
  }

  #tag(tag: number): number {
    const value = this.dynamic().get(tag);
    assert.ok(value !== undefined, `there is a tag ${tag}`);
    return value;
  }

  #string(offset: number): string {
    const start = this.offsetOf(this.#tag(DT.STRTAB)) + offset;
    return Buffer.from(this.#bytes.subarray(start, this.#bytes.indexOf(0, start))).toString();
  }

  /** How many symbols there are: the hash table knows. */
  symbolCount(): number {
    return this.int(this.offsetOf(this.#tag(DT.HASH)) + 4);
  }

  symbol(index: number): ElfSymbol {
    const wide = this.wordSize === 8;
    const at = this.offsetOf(this.#tag(DT.SYMTAB)) + index * (wide ? 24 : 16);
    const info = this.#bytes[at + (wide ? 4 : 12)] as number;
    return {
      name: this.#string(this.int(at)),
      value: this.word(at + (wide ? 8 : 4)),
      size: this.word(at + (wide ? 16 : 8)),
      binding: info >> 4,
      type: info & 15,
      section: this.half(at + (wide ? 6 : 14)),
    };
  }

  symbols(): readonly ElfSymbol[] {
    return Array.from({ length: this.symbolCount() }, (_, i) => this.symbol(i));
  }

  /** Looks a symbol up as the dynamic linker does, by the System V hash table. */
  lookUp(name: string): ElfSymbol | undefined {
    const table = this.offsetOf(this.#tag(DT.HASH));
    const [buckets, chains] = [this.int(table), this.int(table + 4)];
    const chainsAt = table + 8 + 4 * buckets;
    let index = this.int(table + 8 + 4 * (systemVHash(name) % buckets));
    for (let steps = 0; index !== 0; steps++) {
      assert.ok(index < chains && steps < chains, 'the chain ends');
      const symbol = this.symbol(index);
      if (symbol.name === name) return symbol;
      index = this.int(chainsAt + 4 * index);
    }
    return undefined;
  }

  relocations(): readonly ElfRelocation[] {
    const dynamic = this.dynamic();
    const addends = dynamic.has(DT.RELA);
    const start = this.offsetOf(this.#tag(addends ? DT.RELA : DT.REL));
    const total = this.#tag(addends ? DT.RELASZ : DT.RELSZ);
    const size = (addends ? 3 : 2) * this.wordSize;
    assert.equal(total % size, 0, 'whole relocations');
    const wide = this.wordSize === 8;
    return Array.from({ length: total / size }, (_, i) => {
      const at = start + i * size;
      const info = at + this.wordSize;
      return {
        address: this.word(at),
        type: wide ? this.int(info) : this.int(info) & 255,
        symbol: wide ? this.int(info + 4) : this.int(info) >>> 8,
        addend: addends ? this.word(info + this.wordSize) : null,
      };
    });
  }

  #segment(at: number): ElfSegment {
    const wide = this.wordSize === 8;
    const fields = Array.from({ length: 5 }, (_, i) =>
      this.word(at + (wide ? 8 : 4) + i * this.wordSize),
    );
    const [offset, address, physical, fileSize, memorySize] = fields as [
      number,
      number,
      number,
      number,
      number,
    ];
    assert.equal(physical, address, 'the physical address');
    const flags = this.int(at + (wide ? 4 : 24));
    const alignment = this.word(at + (wide ? 48 : 28));
    return { type: this.int(at), flags, offset, address, fileSize, memorySize, alignment };
  }
}

/** The hash function of the System V ABI. */
export function systemVHash(name: string): number {
  let hash = 0;
  for (const byte of Buffer.from(name)) {
    hash = (hash * 16 + byte) >>> 0;
    const top = hash & 0xf0000000;
    hash = (hash ^ (top >>> 24)) & ~top & 0xfffffff;
  }
  return hash >>> 0;
}

/** What has to hold of the segments of every image. */
export function assertSegments(elf: ElfReader, fileSize: number): void {
  const loads = elf.segments.filter(({ type }) => type === PT.LOAD);
  let end = 0;
  for (const {
    type,
    flags,
    offset,
    address,
    fileSize: size,
    memorySize,
    alignment,
  } of elf.segments) {
    assert.equal(alignment & (alignment - 1), 0, 'the alignment is a power of two');
    assert.equal(address % alignment, offset % alignment, 'address and offset are congruent');
    assert.ok(offset + size <= fileSize, 'a segment is inside the file');
    assert.ok(memorySize >= size, 'a segment is not smaller in memory');
    assert.notEqual(flags & (PF.W | PF.X), PF.W | PF.X, 'nothing is writable and executable');
    if (type !== PT.LOAD) continue;
    assert.equal(alignment % 0x10000, 0, 'fit for pages of 64 KiB');
    // Rounded to the largest page, no two segments share one.
    assert.ok(Math.floor(address / 0x10000) * 0x10000 >= end, 'segments are apart, in order');
    end = Math.ceil((address + memorySize) / 0x10000) * 0x10000;
  }
  assert.deepEqual(
    loads.map(({ flags }) => flags),
    [PF.R | PF.X, PF.R | PF.W],
  );
  const stacks = elf.segments.filter(({ type }) => type === PT.GNU_STACK);
  assert.deepEqual(
    stacks.map(({ flags }) => flags & PF.X),
    [0],
  );
}
