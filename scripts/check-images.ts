// Emits the helper image with a sample plan, and the binding, for every machine, and reads them
// with readelf.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bindingImage, TABLE_NAMES } from '../src/launch/binding-image.js';
import { MACHINES } from '../src/machine/index.js';
import type { Machine } from '../src/machine/machine.js';
import { sampleImage } from '../test/elf/sample.js';
import { runCheck, tool } from './toolchain.js';

const EXPORTED = 'napi_register_module_v1';

/** -a without -u: of an ARM file without sections readelf says nothing there, and ends with 1. */
const ALL = '-hldrsnVAIW';

interface Listing {
  readonly text: string;
  readonly segments: readonly string[];
}

/** What `readelf` says of a file; any complaint of its own is passed on. */
function readelf(
  bytes: Uint8Array,
  where: string,
  folder: string,
  complain: (difference: string) => void,
): Listing {
  const file = join(folder, 'image');
  writeFileSync(file, bytes);
  // With -D also what stands in the dynamic segment, as there are no sections.
  const read = (options: string) => tool('readelf', [options, file], 'binutils');
  const dynamic = read(`${ALL}D`);
  for (const { status, stdout, stderr } of [read(ALL), dynamic]) {
    if (status !== 0 || stderr !== '') complain(`${where}: readelf (${status}): ${stderr}`);
    for (const line of stdout.split('\n')) {
      if (/warning|error|unknown|unrecognized|corrupt|<[^>]*>/i.test(line)) {
        complain(`${where}: readelf: ${line.trim()}`);
      }
    }
  }
  const text = dynamic.stdout;
  // Type, offset, virtual and physical address, size in the file and in memory, flags, alignment.
  const rows = text.matchAll(
    /^ {2}([A-Z_]+) +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) ([RWE ]+?) +0x(\w+)$/gm,
  );
  const segments: string[] = [];
  for (const [, type, offset, address, fileSize, memorySize, flags, alignment] of rows) {
    const mode = (flags as string).replaceAll(' ', '');
    segments.push(`${type} ${mode}`);
    const number = (digits: string | undefined): number => Number.parseInt(digits as string, 16);
    if (mode.includes('W') && mode.includes('E')) complain(`${where}: ${type} is W and X`);
    if ((number(address) - number(offset)) % number(alignment) !== 0) {
      complain(`${where}: ${type}: address and offset are not congruent`);
    }
    if (number(offset) + number(fileSize) > bytes.length) {
      complain(`${where}: ${type} ends behind the file`);
    }
    if (fileSize !== memorySize) complain(`${where}: ${type} has other sizes in file and memory`);
  }
  return { text, segments };
}

function checkHelper(machine: Machine, folder: string, complain: (text: string) => void): string {
  const where = `${machine.name}: helper`;
  const { bytes } = sampleImage(machine);
  const { text, segments } = readelf(bytes, where, folder, complain);
  expectEqual(where, segments, ['LOAD RE', 'LOAD RW', 'GNU_STACK RW'], complain);
  for (const line of [/Type: +EXEC \(/, /There is no dynamic section in this file/]) {
    if (!line.test(text)) complain(`${where}: readelf does not say ${line.source}`);
  }
  return `${where}: ${bytes.length} bytes`;
}

function checkBinding(machine: Machine, folder: string, complain: (text: string) => void): string {
  const where = `${machine.name}: binding`;
  const { bytes } = bindingImage(machine);
  const { text, segments } = readelf(bytes, where, folder, complain);
  const expected = ['LOAD RE', 'LOAD RW', 'DYNAMIC RW', 'GNU_STACK RW'];
  expectEqual(where, segments, expected, complain);
  if (!/Type: +DYN \(/.test(text)) complain(`${where}: it is not of type DYN`);
  if (/\((SONAME|TEXTREL|NEEDED)\)/.test(text)) complain(`${where}: SONAME, TEXTREL or NEEDED`);

  if (!/\(FLAGS_1\) +Flags: NODELETE/.test(text)) complain(`${where}: it can be unloaded`);

  // Number, value, size, type, binding, visibility, section, name.
  const symbols = [...text.matchAll(/^ +\d+: \w+ +\d+ (\w+) +(\w+) +DEFAULT +(\w+) (\w+)$/gm)].map(
    ([, type, binding, section, name]) => `${type} ${binding} ${section} ${name}`,
  );
  // The constant, the entry and what is for programs alone have no symbols.
  const names = TABLE_NAMES.filter((name) => !/^(build|run|waiter|lock.*)$/.test(name));
  const imports = names.map(
    (name) => `NOTYPE ${name.startsWith('napi_') ? 'GLOBAL' : 'WEAK'} UND ${name}`,
  );
  expectEqual(where, symbols, [`FUNC GLOBAL 1 ${EXPORTED}`, ...imports], complain);

  const relocations = [...text.matchAll(/^([0-9a-f]{8,16}) +[0-9a-f]+ (R_\w+) *(.*)$/gm)].map(
    ([, offset, type, rest]) => ({
      offset: Number.parseInt(offset as string, 16),
      type: type as string,
      name: TABLE_NAMES.find((name) => (rest as string).split(/[ @]/).includes(name)) ?? 'run',
    }),
  );
  const relocated = relocations.map(({ name }) => name);
  expectEqual(where, relocated, ['run', ...names], complain);
  const table = (relocations[0]?.offset ?? 0) - TABLE_NAMES.indexOf('run') * machine.wordSize;
  for (const { offset, type, name } of relocations) {
    if (offset !== table + TABLE_NAMES.indexOf(name) * machine.wordSize) {
      complain(`${where}: the relocation of ${name} is not of its word`);
    }
    if (type.endsWith('_RELATIVE') !== (name === 'run')) complain(`${where}: ${name} has ${type}`);
  }
  return `${where}: ${bytes.length} bytes, ${symbols.length} symbols, ${relocations.length} relocations`;
}

function expectEqual(
  where: string,
  found: readonly string[],
  expected: readonly string[],
  complain: (text: string) => void,
): void {
  if (found.join('\n') !== expected.join('\n')) {
    complain(`${where}: expected\n  ${expected.join('\n  ')}\nfound\n  ${found.join('\n  ')}`);
  }
}

runCheck((folder, complain) =>
  Object.values(MACHINES).flatMap((machine) => [
    checkHelper(machine, folder, complain),
    checkBinding(machine, folder, complain),
  ]),
);
