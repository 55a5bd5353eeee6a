import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Segment } from '../../src/elf/encode.js';
import { imageTemplate, writeImageHead } from '../../src/elf/image.js';
import { TABLE_NAMES } from '../../src/launch/binding-image.js';
import type { Code } from '../../src/machine/assembler.js';
import { Riscv64Assembler, riscv64 } from '../../src/machine/riscv64.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { HEADER, HEADER_WORDS, type Operand } from '../../src/program/instruction.js';
import { layoutOf, link } from '../../src/program/link.js';
import { emulatorFor, missingEmulator } from './foreign.js';

/*
 * A Node for riscv64 is hard to come by. So the binding's code is run in an image, by a host of a
 * few instructions that has the three functions of Node-API and one to call, and ends with the
 * number of the first thing that was not as it should be.
 */

const WORD_SIZE = 8;
const [ENV, INFO, BUFFER, KEPT] = [0x111, 0x333, 0x444, 0x555];
const TABLE_SIZE = TABLE_NAMES.length * WORD_SIZE;

const FUNCTIONS = [
  'napi_create_function',
  'napi_get_cb_info',
  'napi_get_arraybuffer_info',
  'host_function',
] as const;

/** The host: `_start`, the functions, and behind them the binding's code. */
function emitHost(codeAddress: number, dataAddress: number, status: number): Code {
  const sites = {
    codeAddress,
    tableAddress: dataAddress,
    table: (name: string) => dataAddress + TABLE_NAMES.indexOf(name) * WORD_SIZE,
  };
  // The host is as long wherever the binding is.
  const { offset } = emitAround(sites.codeAddress, dataAddress, status, new Map());
  const binding = riscv64.emitBinding({ ...sites, codeAddress: codeAddress + offset });
  const symbols = [...binding.symbols].map(([name, at]) => [name, offset + at] as const);
  const asm = emitAround(codeAddress, dataAddress, status, new Map(symbols));
  const host = asm.finish();
  const bytes = new Uint8Array([...host.bytes, ...binding.bytes]);
  return { bytes, lines: [], symbols: host.symbols };
}

function emitAround(
  codeAddress: number,
  dataAddress: number,
  status: number,
  binding: ReadonlyMap<string, number>,
): Riscv64Assembler {
  const asm = new Riscv64Assembler();
  const end = asm.label('end');
  let checks = 0;
  /** Ends with the next number, in t6, unless the register has the value. */
  const check = (register: Parameters<typeof asm.move>[0], value: number): void => {
    asm.loadImmediate('t5', value);
    asm.loadImmediate('t6', ++checks);
    asm.jumpIf('ne', register, 't5', end);
  };
  const callBinding = (name: string): void => {
    asm.address('t0', (binding.get(name) ?? 0) - asm.offset);
    asm.callRegister('t0');
  };
  const program = dataAddress + TABLE_SIZE;

  asm.symbol('_start');
  asm.loadImmediate('s1', KEPT);
  asm.loadImmediate('s2', KEPT + 1);
  asm.move('s3', 'sp');
  asm.loadImmediate('a0', ENV);
  callBinding('napi_register_module_v1');
  asm.move('t0', 'a0');
  asm.loadImmediate('a0', ENV);
  asm.loadImmediate('a1', INFO);
  asm.callRegister('t0');
  check('a0', 0);
  if (status === 0) {
    asm.address('a0', program + HEADER_WORDS * WORD_SIZE - (codeAddress + asm.offset));
    callBinding('run');
    check('a0', 0);
  }
  check('s1', KEPT);
  check('s2', KEPT + 1);
  asm.loadImmediate('t6', ++checks);
  asm.jumpIf('ne', 'sp', 's3', end);
  asm.loadImmediate('t6', 0);
  asm.place(end);
  asm.move('a0', 't6');
  asm.loadImmediate('a7', riscv64.syscallNumber('exit_group'));
  asm.syscall();

  // (env, name, length, callback, data, result)
  asm.symbol('napi_create_function');
  check('a0', ENV);
  check('a1', 0);
  check('a2', 0);
  check('a4', 0);
  asm.store('a5', 0, 'a3');
  asm.loadImmediate('a0', 0);
  asm.jumpRegister('ra');

  // (env, info, argc, argv, this, data)
  asm.symbol('napi_get_cb_info');
  check('a0', ENV);
  check('a1', INFO);
  asm.load('t0', 'a2', 0);
  check('t0', 1);
  check('a4', 0);
  check('a5', 0);
  asm.loadImmediate('t0', BUFFER);
  asm.store('a3', 0, 't0');
  asm.loadImmediate('a0', 0);
  asm.jumpRegister('ra');

  // (env, buffer, data, length)
  asm.symbol('napi_get_arraybuffer_info');
  check('a0', ENV);
  check('a1', BUFFER);
  check('a3', 0);
  asm.address('t0', program - (codeAddress + asm.offset));
  asm.store('a2', 0, 't0');
  asm.loadImmediate('a0', status);
  asm.jumpRegister('ra');

  // Doubles and adds, six times: each argument counts, and so does their order. It uses up what
  // the calling convention lets it.
  asm.symbol('host_function');
  for (const register of ['a1', 'a2', 'a3', 'a4', 'a5'] as const) {
    asm.add('a0', 'a0', 'a0');
    asm.add('a0', 'a0', register);
  }
  for (const register of ['t0', 't1', 't2', 't3', 't4', 'a6', 'a7'] as const) {
    asm.loadImmediate(register, -1);
  }
  asm.jumpRegister('ra');
  return asm;
}

/** Prints a line if all is well, and ends with a status from 101 on if not. */
function testProgram(tableAddress: number) {
  const b = new ProgramBuilder(WORD_SIZE);
  const result = b.words(0);
  let checks = 100;
  const check = (at: Operand, value: Operand): void => {
    const good = b.label();
    b.branchIfEqual(at, value, good);
    b.syscall('exit_group', [++checks]);
    b.place(good);
  };
  check(b.header(HEADER.self), b.header(HEADER.self));
  check(b.header(HEADER.env), ENV);
  check(b.header(HEADER.table), tableAddress);
  b.call('host_function', [1, 2, 3, 4, 5, 6], { result });
  check(result, 120);
  b.syscall('write', [1, b.string('run\n'), 4], { result });
  check(result, 4);
  b.halt();
  return b.build();
}

const emulator = emulatorFor('riscv64');
const skip = emulator === null && missingEmulator('riscv64');

for (const [title, status, output] of [
  ["the binding's code for riscv64 runs programs", 0, 'run\nrun\n'],
  ["the binding's code for riscv64 runs nothing but an ArrayBuffer", 1, ''],
] as const) {
  test(title, { skip }, (t) => {
    const machine = {
      ...riscv64,
      emitHelper: (code: number, data: number): Code => emitHost(code, data, status),
    };
    const template = imageTemplate(machine);
    const { programAddress, codeOffset, code, head } = template;
    const program = testProgram(programAddress);
    const size = TABLE_SIZE + layoutOf(program, WORD_SIZE).size;
    const bytes = new Uint8Array(head.length + size);
    writeImageHead(template, WORD_SIZE, size, bytes);

    const codeAddress = (template.segments(0)[0] as Segment).address + codeOffset;
    const functions = new Map(
      FUNCTIONS.map((name) => [name as string, codeAddress + (code.symbols.get(name) as number)]),
    );
    const memory = bytes.subarray(head.length + TABLE_SIZE);
    link(program, machine, programAddress + TABLE_SIZE, memory, functions);
    const view = new DataView(bytes.buffer);
    const setWord = (at: number, value: number): void =>
      view.setBigUint64(head.length + at, BigInt(value), true);
    TABLE_NAMES.forEach((name, i) => {
      setWord(i * WORD_SIZE, functions.get(name) ?? 0);
    });
    setWord(TABLE_SIZE + HEADER.entry * WORD_SIZE, HEADER_WORDS * WORD_SIZE);

    const folder = mkdtempSync(join(tmpdir(), 'safeexec-binding-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const image = join(folder, 'image');
    writeFileSync(image, bytes);
    chmodSync(image, 0o755);
    const [file = '', ...args] = emulator ? [emulator, image] : [image];
    const result = spawnSync(file, args, { encoding: 'utf8' });
    assert.deepEqual(
      { status: result.status, signal: result.signal, output: result.stdout },
      { status: 0, signal: null, output },
    );
  });
}
