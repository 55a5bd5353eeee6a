import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { imageTemplate } from '../../src/elf/image.js';
import { bindingImage } from '../../src/launch/binding-image.js';
import { riscv64 } from '../../src/machine/riscv64.js';
import { table } from './riscv64.table.js';

const read = (path: string): string =>
  readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const linesOf = (path: string): string[] => read(path).trimEnd().split('\n');

test('docs/porting.md has the figures of today', () => {
  const source = linesOf('src/machine/riscv64.ts');
  /** Lines from one that begins so to the brace, or whatever it is, that closes it. */
  const part = (start: string, end = '}'): number => {
    const from = source.findIndex((line) => line.startsWith(start));
    return source.slice(from).findIndex((line) => line.startsWith(end)) + 1;
  };
  const binding = bindingImage(riscv64);
  const assembler = part('/** The instructions of RV64I', 'const at = ') - 2;
  const figures = [
    `${source.length} lines in \`src/machine/riscv64.ts\``,
    `assembler and operands ${assembler}, interpreter ${part('function emitInterpreter')}, helper ${part('function emitHelper')}, binding ${part('function emitBinding')})`,
    `Its test is ${linesOf('test/machine/riscv64.test.ts').length} lines and a table of ${table.length} rows`,
    `helper's code is ${imageTemplate(riscv64).code.bytes.length} bytes, the binding's ${binding.code.bytes.length}`,
    `the file that the package ships has ${binding.bytes.length}`,
  ];
  const text = read('docs/porting.md').replaceAll(/\s+/g, ' ');
  for (const figure of figures) assert.ok(text.includes(figure), figure);
});
