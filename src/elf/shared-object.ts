import type { Code } from '../machine/assembler.js';
import type { BindingSites, Machine } from '../machine/machine.js';
import {
  DF_1_NODELETE,
  DT_FLAGS_1,
  DT_HASH,
  DT_NULL,
  DT_REL,
  DT_RELA,
  DT_RELAENT,
  DT_RELASZ,
  DT_RELENT,
  DT_RELSZ,
  DT_STRSZ,
  DT_STRTAB,
  DT_SYMENT,
  DT_SYMTAB,
  ET_DYN,
  SEGMENT_ALIGNMENT,
  STB_GLOBAL,
  STB_WEAK,
  STT_FUNC,
  STT_NOTYPE,
} from './constants.js';
import {
  alignUp,
  codeSegment,
  dataSegment,
  dynamicSegment,
  ElfWriter,
  headerSize,
  type Segment,
  segmentSize,
  stackSegment,
  symbolSize,
} from './encode.js';

/** A word of the binding's table. */
export type TableEntry =
  | { readonly kind: 'import'; readonly name: string; readonly weak: boolean }
  /** The address of a symbol of the binding's own code. */
  | { readonly kind: 'entry'; readonly name: string }
  /** A constant. */
  | { readonly kind: 'value'; readonly name: string; readonly value: number }
  /** Zero at the start, for the use of programs. */
  | { readonly kind: 'state'; readonly name: string };

export interface SharedObject {
  readonly bytes: Uint8Array;
  readonly code: Code;
  readonly codeOffset: number;
  readonly segments: readonly Segment[];
}

/**
 * Writes a shared object: the machine's binding code and a table of words in writable memory.
 * It exports the one symbol `exported`, imports what the table names, and needs no library: the
 * host has them all loaded. It has no DT_SONAME, by which a dynamic linker would take a second
 * copy for the first. It is never unloaded: Node closes the add-ons of a Worker that ends, and the
 * waiter thread runs in the code of this one.
 */
export function sharedObject(
  machine: Machine,
  exported: string,
  table: readonly TableEntry[],
): SharedObject {
  const { wordSize, relocations } = machine;
  const imports = table.filter((entry) => entry.kind === 'import');
  const strings = stringTable([exported, ...imports.map(({ name }) => name)]);
  const symbols = 2 + imports.length;
  const relocationSize = (relocations.addends ? 3 : 2) * wordSize;
  const relocated = table.filter(({ kind }) => kind === 'import' || kind === 'entry').length;

  // Layout: reserve, then write.
  let end = headerSize(wordSize) + 4 * segmentSize(wordSize);
  const reserve = (size: number, alignment: number): number => {
    const offset = alignUp(end, alignment);
    end = offset + size;
    return offset;
  };
  const hash = reserve((2 + 1 + symbols) * 4, 8);
  const symbolTable = reserve(symbols * symbolSize(wordSize), 8);
  const relocationTable = reserve(relocated * relocationSize, 8);
  const stringsAt = reserve(strings.bytes.length, 1);
  const codeLength = machine.emitBinding(sitesAt(0, 0, table, wordSize)).bytes.length;
  const codeOffset = reserve(codeLength, 16);
  const textSize = end;
  const dynamicSize = 10 * 2 * wordSize;
  const dynamic = reserve(dynamicSize, 16);
  const tableAt = reserve(table.length * wordSize, 64);
  const address = (offset: number): number =>
    offset < textSize ? offset : offset + SEGMENT_ALIGNMENT;

  const code = machine.emitBinding(sitesAt(codeOffset, address(tableAt), table, wordSize));
  const symbolAddress = (name: string): number => codeOffset + (code.symbols.get(name) as number);
  const segments = [
    codeSegment(0, textSize),
    dataSegment(dynamic, address(dynamic), end - dynamic, end - dynamic),
    dynamicSegment(dynamic, address(dynamic), dynamicSize),
    stackSegment,
  ];

  const bytes = new Uint8Array(end);
  const writer = new ElfWriter(bytes, { wordSize, ...machine.elf });
  writer.header(ET_DYN, 0, segments.length);
  for (const segment of segments) writer.segment(segment);

  // One bucket, whose chain goes through all symbols: there are few.
  writer.seek(hash);
  writer.u32(1, symbols, 1);
  for (let i = 0; i < symbols; i++) writer.u32(i > 0 && i + 1 < symbols ? i + 1 : 0);

  writer.seek(symbolTable);
  writer.symbol({ name: 0, address: 0, size: 0, binding: 0, type: STT_NOTYPE, section: 0 });
  writer.symbol({
    name: strings.offset(exported),
    address: symbolAddress(exported),
    size: 0,
    binding: STB_GLOBAL,
    type: STT_FUNC,
    section: 1,
  });
  for (const { name, weak } of imports) {
    writer.symbol({
      name: strings.offset(name),
      address: 0,
      size: 0,
      binding: weak ? STB_WEAK : STB_GLOBAL,
      type: STT_NOTYPE,
      section: 0,
    });
  }

  writer.seek(relocationTable);
  table.forEach((entry, i) => {
    const place = address(tableAt) + i * wordSize;
    if (entry.kind === 'import') {
      const symbol = 2 + imports.indexOf(entry);
      writer.relocation(place, symbol, relocations.address, relocations.addends ? 0 : null);
    } else if (entry.kind === 'entry') {
      const addend = relocations.addends ? symbolAddress(entry.name) : null;
      writer.relocation(place, 0, relocations.relative, addend);
    }
  });
  bytes.set(strings.bytes, stringsAt);
  bytes.set(code.bytes, codeOffset);

  writer.seek(dynamic);
  writer.word(DT_HASH, hash, DT_STRTAB, stringsAt, DT_SYMTAB, symbolTable);
  writer.word(DT_STRSZ, strings.bytes.length, DT_SYMENT, symbolSize(wordSize));
  const [tag, sizeTag, entryTag] = relocations.addends
    ? [DT_RELA, DT_RELASZ, DT_RELAENT]
    : [DT_REL, DT_RELSZ, DT_RELENT];
  writer.word(tag, relocationTable, sizeTag, relocated * relocationSize);
  writer.word(entryTag, relocationSize, DT_FLAGS_1, DF_1_NODELETE, DT_NULL, 0);

  writer.seek(tableAt);
  for (const entry of table) {
    if (entry.kind === 'value') writer.word(entry.value);
    else if (entry.kind === 'entry' && !relocations.addends) writer.word(symbolAddress(entry.name));
    else writer.word(0);
  }
  return { bytes, code, codeOffset, segments };
}

function sitesAt(
  codeAddress: number,
  tableAddress: number,
  entries: readonly TableEntry[],
  wordSize: number,
): BindingSites {
  const table = (name: string): number =>
    tableAddress + entries.findIndex((entry) => entry.name === name) * wordSize;
  return { codeAddress, tableAddress, table };
}

function stringTable(names: readonly string[]) {
  const offsets = new Map<string, number>();
  let text = '\0';
  for (const name of names) {
    offsets.set(name, text.length);
    text += `${name}\0`;
  }
  return {
    bytes: new TextEncoder().encode(text),
    offset: (name: string): number => offsets.get(name) as number,
  };
}
