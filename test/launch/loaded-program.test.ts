import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { binding } from '../../src/launch/binding.js';
import { LoadedProgram } from '../../src/launch/loaded-program.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import {
  HEADER_WORDS,
  type Label,
  type Place,
  type Program,
} from '../../src/program/instruction.js';
import { layoutOf, link } from '../../src/program/link.js';
import { SimulatedMemory, simulate } from '../../src/program/simulate.js';

const host = binding();
const { machine } = host;
const { wordSize } = machine;

/** System calls that always give the same, and what that is. */
const SYSCALLS: readonly { name: string; args: readonly number[]; result: number }[] = [
  { name: 'getppid', args: [], result: process.ppid },
  { name: 'getpid', args: [], result: process.pid },
  { name: 'getuid', args: [], result: process.getuid?.() ?? 0 },
  { name: 'close', args: [-1], result: -9 },
  { name: 'fcntl', args: [-1, 1, 0], result: -9 },
  { name: 'dup3', args: [0, 0, 0], result: -22 },
];
const RESULTS = new Map(
  SYSCALLS.map(({ name, result }) => [machine.syscallNumber(name), BigInt(result)]),
);

/** Runs a program in this process, and the reference interpreter on a copy of it. */
function runBoth(program: Program): { ours: Uint8Array; reference: Uint8Array } {
  const loaded = new LoadedProgram(host, program);
  const { size } = layoutOf(program, wordSize);
  const reference = new Uint8Array(size);
  link(program, machine, loaded.memory.address, reference, host.functions);
  const memory = new SimulatedMemory(reference, loaded.memory.address, wordSize);
  simulate(memory, {
    syscall: (number) => RESULTS.get(number) ?? assert.fail(`system call ${number}`),
    call: (address, [to = 0n, from = 0n, length = 0n]) => {
      assert.equal(Number(address), host.functions.get('memcpy'));
      memory.slice(to, Number(length)).set(memory.slice(from, Number(length)));
      return to;
    },
  });
  loaded.run();
  // The header is the interpreters' own.
  const start = HEADER_WORDS * wordSize;
  const ours = Uint8Array.from(loaded.memory.bytes.subarray(start, size));
  return { ours, reference: reference.slice(start) };
}

/** One instruction to be made: numbers choose among what is possible at its place. */
type Draw = readonly [op: number, from: number, to: number, value: number, skip: number];

const CELLS = 6;
const value = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(process.ppid, -9, -22, 0x7fffffff, -0x80000000, 0xffffffff),
  fc.integer(),
);
const draws: fc.Arbitrary<readonly Draw[]> = fc.array(
  fc.tuple(fc.nat(9), fc.nat(), fc.nat(), value, fc.nat(6)),
  { maxLength: 40 },
);

/**
 * A program from draws. It reads and writes cells of its data, and words of later instructions
 * that may hold anything, or an address; it branches forward only, and so it ends.
 */
function programOf(recipe: readonly Draw[], initial: readonly number[]): Program {
  const b = new ProgramBuilder(wordSize);
  const cells = Array.from({ length: CELLS }, (_, i) => b.words(initial[i] as number));
  // Words with addresses of cells, with which instructions can be redirected.
  const pointers = cells.map((cell) => b.words(cell));
  const labels = recipe.map(() => b.label());
  labels.push(b.label());
  const pick = <T>(list: readonly T[], n: number): T => list[n % list.length] as T;
  /** Words that instructions behind `index` may be given: any value, or the address of a cell. */
  const later = (index: number, wanted: 'value' | 'address'): Place[] =>
    recipe.flatMap(([op], i) => {
      if (i <= index) return [];
      const arg = (n: number): Place => b.argumentOf(i, n);
      if (wanted === 'address') return op === 0 || op === 2 ? [arg(0)] : [];
      // Branch: what is compared; add: what is added; getppid: nothing that it looks at.
      return op === 2 || op === 3 ? [arg(1)] : op === 4 ? [arg(0)] : op === 5 ? [arg(3)] : [];
    });
  recipe.forEach(([op, from, to, number, skip], index) => {
    b.place(labels[index] as Label);
    const target = labels[Math.min(index + 1 + skip, recipe.length)] as Label;
    const sinks = [...cells, ...later(index, 'value')];
    switch (op) {
      case 0:
      case 1:
        b.copy(pick(cells, from), pick(sinks, to));
        break;
      case 2:
      case 3:
        b.branchIfEqual(pick(cells, from), number, target);
        break;
      case 4:
        b.add(number, pick(sinks, to));
        break;
      case 5:
        b.syscall('getppid', [], { result: pick(sinks, to), onError: target });
        break;
      case 6:
      case 7: {
        const { name, args } = pick(SYSCALLS, from);
        const handled = op === 6 ? { onError: target } : {};
        b.syscall(name, args, { result: pick(sinks, to), ...handled });
        break;
      }
      case 8: {
        const addresses = later(index, 'address');
        if (addresses.length > 0) b.copy(pick(pointers, from), pick(addresses, to));
        else b.add(0, pick(cells, to));
        break;
      }
      case 9:
        b.call('memcpy', [pick(cells, to), pick(cells, from), wordSize], {
          result: pick(sinks, skip),
        });
        break;
    }
  });
  b.place(labels[recipe.length] as Label);
  b.halt();
  return b.build();
}

describe('the interpreter in machine code', () => {
  test('agrees with the reference interpreter in every word', () => {
    const initial = fc.array(value, { minLength: CELLS, maxLength: CELLS });
    fc.assert(
      fc.property(draws, initial, (recipe, cells) => {
        const clamp = (n: number): number => (wordSize === 4 ? n | 0 : n);
        const { ours, reference } = runBoth(programOf(recipe, cells.map(clamp)));
        assert.deepEqual(ours, reference);
      }),
      { numRuns: 1000 },
    );
  });

  test('adds and compares whole words', () => {
    const b = new ProgramBuilder(wordSize);
    const high = wordSize === 8 ? 2 ** 40 : 2 ** 30;
    const [sum, carried, mark] = [b.words(high - 1), b.words(-1), b.words(0)];
    const [different, end] = [b.label(), b.label()];
    b.add(1, sum);
    b.add(high, carried);
    b.branchIfEqual(sum, high, different);
    b.add(1, mark);
    b.place(different);
    // Equal in the low half only, where a word has one.
    b.branchIfEqual(carried, wordSize === 8 ? 0xffffffff : 1, end);
    b.add(16, mark);
    b.place(end);
    b.halt();
    const loaded = new LoadedProgram(host, b.build());
    loaded.run();
    assert.equal(loaded.memory.word(loaded.at(sum)), high);
    assert.equal(loaded.memory.word(loaded.at(carried)), high - 1);
    assert.equal(loaded.memory.word(loaded.at(mark)), 16);
  });

  test('passes six arguments to a system call, and to a function', () => {
    const b = new ProgramBuilder(wordSize);
    const source = b.bytes(Buffer.from('six arguments'));
    const copy = b.reserve(13);
    const result = b.words(0);
    b.call('memcpy', [copy, source, 13], { result });
    // mmap(2) fails with EINVAL for its length alone; with one page and MAP_ANONYMOUS it does not.
    const [nothing, mapped, removed] = [b.words(0), b.words(0), b.words(-1)];
    b.syscall('mmap', [0, 0, 3, 0x22, -1, 0], { result: nothing });
    b.syscall('mmap', [0, 4096, 3, 0x22, -1, 0], { result: mapped });
    b.copy(mapped, b.argumentOf(b.position + 1, 0));
    b.syscall('munmap', [0, 4096], { result: removed });
    b.halt();
    const loaded = new LoadedProgram(host, b.build());
    loaded.run();
    const { memory } = loaded;
    const at = loaded.at(copy);
    assert.equal(Buffer.from(memory.bytes.subarray(at, at + 13)).toString(), 'six arguments');
    assert.equal(memory.word(loaded.at(result)), loaded.address(copy));
    assert.equal(memory.signedWord(loaded.at(nothing)), -22);
    assert.equal(memory.word(loaded.at(mapped)) % 4096, 0);
    assert.equal(memory.signedWord(loaded.at(removed)), 0);
  });

  test('can be run again, from what the last run left', () => {
    const b = new ProgramBuilder(wordSize);
    const count = b.words(0);
    b.add(3, count);
    b.halt();
    const loaded = new LoadedProgram(host, b.build());
    for (let i = 0; i < 5; i++) loaded.run();
    assert.equal(loaded.memory.word(loaded.at(count)), 15);
  });
});
