import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sharedObject, type TableEntry } from '../../src/elf/shared-object.js';
import { TABLE_NAMES } from '../../src/launch/binding-image.js';
import { MACHINES } from '../../src/machine/index.js';
import type { Machine } from '../../src/machine/machine.js';
import { assertSegments, type ElfReader as Elf, ElfReader, PF, PT, systemVHash } from './reader.js';

const ET_DYN = 3;
const [STB_LOCAL, STB_GLOBAL, STB_WEAK] = [0, 1, 2];
const [STT_NOTYPE, STT_FUNC] = [0, 2];
const [DT_NEEDED, DT_STRSZ, DT_SYMENT, DT_SONAME, DT_TEXTREL] = [1, 10, 11, 14, 22];
const [DT_FLAGS_1, DF_1_NODELETE] = [0x6ffffffb, 8];

const EXPORTED = 'napi_register_module_v1';

/** A table of every kind of word; the code of a machine wants some of the names. */
const TABLE: readonly TableEntry[] = TABLE_NAMES.map((name): TableEntry => {
  if (name === 'build') return { kind: 'value', name, value: 0x89abcdef };
  if (name === 'run') return { kind: 'entry', name };
  if (name === 'waiter' || name.startsWith('lock')) return { kind: 'state', name };
  return { kind: 'import', name, weak: !name.startsWith('napi_') };
});

/** As if the machine kept addends in the relocated words, or as if it did not. */
const variants = (machine: Machine): readonly Machine[] =>
  [true, false].map((addends) => ({
    ...machine,
    relocations: { ...machine.relocations, addends },
  }));

/** Address of the table: its second word is the first one to be relocated. */
const tableAddress = (elf: Elf): number =>
  Math.min(...elf.relocations().map(({ address }) => address)) - elf.wordSize;

for (const machine of Object.values(MACHINES).flatMap(variants)) {
  const form = machine.relocations.addends ? 'RELA' : 'REL';
  describe(`the shared object for ${machine.name}, with ${form}`, () => {
    const { wordSize, relocations } = machine;
    const object = sharedObject(machine, EXPORTED, TABLE);
    const { bytes, code, codeOffset } = object;
    const elf = new ElfReader(bytes);
    const imports = TABLE.flatMap((entry) => (entry.kind === 'import' ? [entry] : []));

    test('is a shared object of this machine, without names and needs', () => {
      assert.equal(elf.type, ET_DYN);
      assert.equal(elf.wordSize, wordSize);
      assert.equal(elf.machine, machine.elf.machine);
      assert.equal(elf.flags, machine.elf.flags);
      for (const tag of [DT_NEEDED, DT_SONAME, DT_TEXTREL]) assert.ok(!elf.dynamic().has(tag));
      assert.equal(elf.dynamic().get(DT_FLAGS_1), DF_1_NODELETE);
      assert.equal(elf.dynamic().get(DT_SYMENT), wordSize === 8 ? 24 : 16);
    });

    test('has segments that are aligned, congruent, apart, and never writable and executable', () => {
      assertSegments(elf, bytes.length);
      assert.deepEqual(elf.segments, object.segments);
      const [text, data, dynamic] = elf.segments;
      assert.equal(text?.offset, 0);
      assert.equal(dynamic?.type, PT.DYNAMIC);
      assert.equal(elf.segmentAt(dynamic?.address as number), data);
      assert.equal((dynamic?.address as number) % wordSize, 0);
      assert.equal((data?.offset as number) + (data?.fileSize as number), bytes.length);
    });

    test('exports one symbol, which leads into the code, and imports the others', () => {
      const [none, exported, ...rest] = elf.symbols();
      assert.deepEqual(none, {
        ...{ name: '', value: 0, size: 0, section: 0 },
        ...{ binding: STB_LOCAL, type: STT_NOTYPE },
      });
      assert.equal(exported?.name, EXPORTED);
      assert.equal(exported.binding, STB_GLOBAL);
      assert.equal(exported.type, STT_FUNC);
      assert.notEqual(exported.section, 0);
      assert.equal(elf.segmentAt(exported.value).flags, PF.R | PF.X);
      assert.equal(exported.value, codeOffset + (code.symbols.get(EXPORTED) as number));
      assert.deepEqual(
        rest.map(({ name, binding, section, value }) => ({ name, binding, section, value })),
        imports.map(({ name, weak }) => ({
          ...{ name, binding: weak ? STB_WEAK : STB_GLOBAL },
          ...{ section: 0, value: 0 },
        })),
      );
    });

    test('has a hash table that finds every symbol, and no other', () => {
      for (const symbol of elf.symbols().slice(1)) {
        assert.deepEqual(elf.lookUp(symbol.name), symbol);
      }
      assert.equal(elf.lookUp('napi_register_module_v2'), undefined);
      assert.equal(elf.lookUp(''), undefined);
    });

    test('has strings that end with NUL', () => {
      const { address, fileSize } = elf.segments[0] as { address: number; fileSize: number };
      const strings = elf.dynamic().get(5) as number;
      const size = elf.dynamic().get(DT_STRSZ) as number;
      assert.ok(strings >= address && strings + size <= address + fileSize);
      assert.equal(bytes[elf.offsetOf(strings)], 0);
      assert.equal(bytes[elf.offsetOf(strings) + size - 1], 0);
    });

    test('relocates each import and entry of its table, once, in writable memory', () => {
      const table = tableAddress(elf);
      const runAddress = codeOffset + (code.symbols.get('run') as number);
      const expected = TABLE.flatMap((entry, i) => {
        const address = table + i * wordSize;
        if (entry.kind === 'import') {
          const symbol = elf.symbols().findIndex(({ name }) => name === entry.name);
          return { address, type: relocations.address, symbol, addend: 0 };
        }
        if (entry.kind !== 'entry') return [];
        return { address, type: relocations.relative, symbol: 0, addend: runAddress };
      });
      const found = elf.relocations().map(({ addend, ...relocation }) => ({
        ...relocation,
        addend: addend ?? elf.word(elf.offsetOf(relocation.address)),
      }));
      assert.deepEqual(found, expected);
      for (const { address } of found) assert.equal(elf.segmentAt(address).flags, PF.R | PF.W);
      assert.equal(elf.segmentAt(runAddress).flags, PF.R | PF.X);
    });

    test('has its constants in the table, and zero where programs write', () => {
      const table = elf.offsetOf(tableAddress(elf));
      assert.equal(table % wordSize, 0);
      TABLE.forEach((entry, i) => {
        const word = elf.word(table + i * wordSize);
        if (entry.kind === 'value') assert.equal(word, entry.value);
        else if (entry.kind === 'state') assert.equal(word, 0);
      });
      assert.equal(table + TABLE.length * wordSize, bytes.length);
    });

    test('holds its code', () => {
      assert.deepEqual(bytes.subarray(codeOffset, codeOffset + code.bytes.length), code.bytes);
      assert.equal(codeOffset % 16, 0);
    });
  });
}

test("the reader's hash is that of the System V ABI", () => {
  // Known values, of the tests of other linkers.
  assert.equal(systemVHash(''), 0);
  assert.equal(systemVHash('printf'), 0x077905a6);
  assert.equal(systemVHash('exit'), 0x0006cf04);
  assert.equal(systemVHash('syscall'), 0x0b09985c);
  assert.equal(systemVHash('flapenguin.me'), 0x03987915);
});
