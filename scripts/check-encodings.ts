// Assembles the texts of all encoding tables, and the listings of the code of all machines, with
// binutils, and compares the bytes; compares the boundaries of the instructions with what objdump
// makes of the code.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { imageTemplate } from '../src/elf/image.js';
import { bindingImage } from '../src/launch/binding-image.js';
import type { Assembler, Code } from '../src/machine/assembler.js';
import { MACHINES } from '../src/machine/index.js';
import type { Architecture } from '../src/machine/syscalls.js';
import { table as arm } from '../test/machine/arm.table.js';
import { table as arm64 } from '../test/machine/arm64.table.js';
import type { EncodingTable } from '../test/machine/encoding-table.js';
import { table as ia32 } from '../test/machine/ia32.table.js';
import { table as riscv64 } from '../test/machine/riscv64.table.js';
import { table as x64 } from '../test/machine/x64.table.js';
import { mustTool, runCheck, TOOLCHAINS, tool } from './toolchain.js';

/** The tables that there are. */
const TABLES: Readonly<Partial<Record<Architecture, EncodingTable<never & Assembler>>>> = {
  x64,
  ia32,
  arm,
  arm64,
  riscv64,
};

type Complain = (difference: string) => void;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Gives the labels of a piece of text names that no other piece has. */
function withOwnLabels(lines: readonly string[], suffix: string): string[] {
  const labels = lines.filter((line) => line.endsWith(':')).map((line) => line.slice(0, -1));
  if (labels.length === 0) return [...lines];
  const pattern = new RegExp(`\\b(${labels.join('|')})\\b`, 'g');
  return lines.map((line) => {
    // Only an operand can be a label: mnemonics may have the same name.
    const [, mnemonic = '', rest = ''] = /^(\S+\s+)?(.*)$/.exec(line) ?? [];
    return mnemonic + rest.replace(pattern, `$1${suffix}`);
  });
}

/**
 * Assembles pieces of text, each for itself, and gives the bytes of each; null for a piece that
 * the assembler refused.
 */
function assemble(
  architecture: Architecture,
  pieces: readonly (readonly string[])[],
  folder: string,
  complain: Complain,
): (Uint8Array | null)[] {
  const { assemble: options, prologue, prefix, binutils } = TOOLCHAINS[architecture];
  const source: string[] = [...prologue, '.text'];
  const firstLines: number[] = [];
  pieces.forEach((piece, i) => {
    source.push(`piece.${i}:`);
    firstLines.push(source.length + 1);
    source.push(...withOwnLabels(piece, `.of.${i}`));
  });
  source.push(`piece.${pieces.length}:`);

  const path = (suffix: string): string => join(folder, `${architecture}.${suffix}`);
  writeFileSync(path('s'), `${source.join('\n')}\n`);
  const result = tool(`${prefix}as`, [...options, '-o', path('o'), path('s')], binutils);
  if (result.status !== 0) {
    const numbers = [...result.stderr.matchAll(/:(\d+): Error: (.*)/g)];
    if (numbers.length === 0) throw new Error(result.stderr);
    const refused = new Set<number>();
    for (const [, number, message] of numbers) {
      const at = firstLines.findLastIndex((first) => first <= Number(number));
      refused.add(at);
      complain(`${architecture}: as: ${message}: ${source[Number(number) - 1]}`);
    }
    if (refused.size === pieces.length) return pieces.map(() => null);
    const rest = pieces.map((piece, i) => (refused.has(i) ? [] : piece));
    const bytes = assemble(architecture, rest, folder, complain);
    return bytes.map((piece, i) => (refused.has(i) ? null : piece));
  }
  mustTool(`${prefix}objcopy`, ['-O', 'binary', '-j', '.text', path('o'), path('bin')], binutils);
  const text = readFileSync(path('bin'));
  // From the symbol table: a difference of labels in the data would be for a linker to work out.
  const symbols = mustTool(`${prefix}nm`, [path('o')], binutils);
  const offsets = new Map(
    [...symbols.matchAll(/^([0-9a-f]+) . piece\.(\d+)$/gm)].map(([, offset, i]) => [
      Number(i),
      Number.parseInt(offset as string, 16),
    ]),
  );
  return pieces.map((_, i) => text.subarray(offsets.get(i), offsets.get(i + 1)));
}

function checkTable(architecture: Architecture, folder: string, complain: Complain): string {
  const rows = TABLES[architecture] ?? [];
  const pieces = rows.map(([, text]) => text.split('; '));
  assemble(architecture, pieces, folder, complain).forEach((bytes, i) => {
    const [, text, expected] = rows[i] as (typeof rows)[number];
    if (bytes !== null && hex(bytes) !== expected) {
      complain(`${architecture}: ${text}: the table has ${expected}, binutils ${hex(bytes)}`);
    }
  });
  return `${architecture}: ${rows.length} rows of the table assembled`;
}

/** Compares a listing with the code that it is of, line by line. */
function checkListing(
  architecture: Architecture,
  name: string,
  code: Code,
  folder: string,
  complain: Complain,
): string {
  const { lines, bytes } = code;
  const where = `${architecture}: ${name}`;
  const [assembled] = assemble(architecture, [lines.map(({ text }) => text)], folder, complain) as [
    Uint8Array | null,
  ];
  if (assembled !== null && hex(assembled) !== hex(bytes)) {
    const line = lines.find(
      ({ offset, length }) =>
        hex(assembled.subarray(offset, offset + length)) !==
        hex(bytes.subarray(offset, offset + length)),
    );
    const at = line?.offset ?? bytes.length;
    const end = at + (line?.length ?? 0);
    complain(
      `${where}: at ${at}, ${line?.text ?? 'the end'}: emitted ${hex(bytes.subarray(at, end))}, ` +
        `binutils ${hex(assembled.subarray(at, end))}`,
    );
  }

  const { prefix, binutils, disassemble } = TOOLCHAINS[architecture];
  const file = join(folder, `${architecture}.bin`);
  writeFileSync(file, bytes);
  const args = ['-D', '-b', 'binary', '-z', '--no-show-raw-insn', ...disassemble, file];
  const dump = mustTool(`${prefix}objdump`, args, binutils);
  const boundaries = [...dump.matchAll(/^\s*([0-9a-f]+):\t(.*)/gm)].map(
    ([, offset, text]) => [Number.parseInt(offset as string, 16), text as string] as const,
  );
  const ours = lines.filter(({ length }) => length > 0);
  const [expected, found] = [
    ours.map(({ offset }) => offset),
    boundaries.map(([offset]) => offset),
  ];
  for (const offset of expected.filter((at) => !found.includes(at))) {
    complain(`${where}: objdump sees no instruction at ${offset}`);
  }
  for (const [offset, text] of boundaries.filter(([at]) => !expected.includes(at))) {
    complain(`${where}: objdump sees an instruction at ${offset}: ${text}`);
  }
  const end = ours.reduce((sum, { length }) => sum + length, 0);
  if (end !== bytes.length) complain(`${where}: the listing is of ${end} bytes, not all`);
  return `${where}: ${ours.length} instructions, ${bytes.length} bytes`;
}

runCheck((folder, complain) => {
  const summary: string[] = [];
  for (const machine of Object.values(MACHINES)) {
    const { name } = machine;
    if (TABLES[name] === undefined) complain(`${name}: there is no table of encodings`);
    else summary.push(checkTable(name, folder, complain));
    const helper = imageTemplate(machine).code;
    summary.push(checkListing(name, 'helper', helper, folder, complain));
    summary.push(checkListing(name, 'binding', bindingImage(machine).code, folder, complain));
  }
  return summary;
});
