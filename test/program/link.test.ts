import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { InternalError } from '../../src/errors.js';
import { offsetBy, ProgramBuilder } from '../../src/program/builder.js';
import {
  HEADER_WORDS,
  INSTRUCTION_WORDS,
  type Label,
  OP,
  type Operand,
  type Program,
  WORD,
} from '../../src/program/instruction.js';
import {
  instructionAt,
  type LinkTarget,
  layoutOf,
  link,
  offsetOf,
} from '../../src/program/link.js';
import { baseOf, TARGETS, wordsOf } from './targets.js';

function linked(
  program: Program,
  target: LinkTarget,
  functions: ReadonlyMap<string, number> | undefined = new Map(),
) {
  const { wordSize } = target;
  const memory = new Uint8Array(layoutOf(program, wordSize).size).fill(0xee);
  const layout = link(program, target, baseOf(wordSize), memory, functions);
  const words = wordsOf(memory, wordSize);
  /** A word of an instruction, as an offset from the base or as it is. */
  const word = (index: number, word: number): bigint =>
    words[HEADER_WORDS + index * INSTRUCTION_WORDS + word] as bigint;
  const offset = (index: number, w: number): number => Number(word(index, w)) - baseOf(wordSize);
  return { memory, layout, words, word, offset };
}

for (const target of TARGETS) {
  const { wordSize } = target;
  const base = baseOf(wordSize);
  const bits = wordSize * 8;
  const stride = INSTRUCTION_WORDS * wordSize;
  const instructionOffset = (index: number): number => HEADER_WORDS * wordSize + index * stride;
  const fails = (build: (b: ProgramBuilder) => void, message: RegExp): void => {
    const b = new ProgramBuilder(wordSize);
    assert.throws(
      () => {
        build(b);
        b.halt();
        linked(b.build(), target);
      },
      (error) => error instanceof InternalError && message.test(error.message),
    );
  };

  describe(`linking for words of ${wordSize} bytes`, () => {
    test('lays out header, instructions, scratch and data', () => {
      const b = new ProgramBuilder(wordSize);
      b.bytes(Uint8Array.of(1, 2, 3));
      b.halt();
      b.halt();
      const program = b.build();
      const layout = layoutOf(program, wordSize);
      assert.equal(layout.code, 4 * wordSize);
      assert.equal(layout.scratch, 28 * wordSize);
      assert.equal(layout.data % 16, 0);
      assert.ok(layout.data >= 29 * wordSize && layout.data < 29 * wordSize + 16);
      assert.equal(layout.size % wordSize, 0);
      assert.ok(layout.size >= layout.data + 3 && layout.size < layout.data + 3 + wordSize);
      assert.equal(offsetOf(b.header(3), layout, wordSize), 3 * wordSize);
      assert.equal(offsetOf(b.wordOf(1, 5), layout, wordSize), 21 * wordSize);
      const { memory } = linked(program, target);
      assert.deepEqual([...memory.subarray(layout.data, layout.data + 3)], [1, 2, 3]);
    });

    test('writes each operation in its words', () => {
      const b = new ProgramBuilder(wordSize);
      const [place, other] = [b.words(7), b.words(8)];
      const end = b.label('end');
      b.syscall('close', [1, 2, 3, 4, 5, 6], { result: place, onError: end });
      b.branchIfEqual(place, 9, end);
      b.copy(place, other);
      b.add(-3, other);
      b.call('free', [place], { result: other });
      b.place(end);
      b.halt();
      const child = b.label('child');
      b.clone('close', [1, place, 3, 4, 5], child, { result: other, onError: end });
      b.place(child);
      b.halt();
      const { word, offset, layout } = linked(b.build(), target, new Map([['free', 4242]]));
      const ops = ['syscall', 'branch', 'copy', 'add', 'call', 'halt', 'clone'] as const;
      assert.deepEqual(
        ops.map((_, i) => word(i, WORD.op)),
        ops.map((op) => BigInt(OP[op])),
      );
      assert.equal(word(0, WORD.number), 102n);
      for (let a = 0; a < 6; a++) assert.equal(word(0, WORD.argument + a), BigInt(a + 1));
      assert.equal(offset(0, WORD.result), layout.data);
      assert.equal(offset(0, WORD.target), instructionOffset(5));
      assert.equal(offset(1, WORD.argument), layout.data);
      assert.equal(word(1, WORD.argument + 1), 9n);
      assert.equal(offset(1, WORD.target), instructionOffset(5));
      assert.equal(offset(2, WORD.argument), layout.data);
      assert.equal(offset(2, WORD.result), layout.data + wordSize);
      assert.equal(word(3, WORD.argument), BigInt.asUintN(bits, -3n));
      assert.equal(offset(3, WORD.result), layout.data + wordSize);
      assert.equal(word(4, WORD.number), 4242n);
      assert.equal(word(6, WORD.number), 102n);
      assert.equal(word(6, WORD.argument + 4), 5n);
      assert.equal(offset(6, WORD.argument + 5), instructionOffset(7));
      assert.equal(offset(6, WORD.target), instructionOffset(5));
      for (let i = 0; i < 7; i++) {
        assert.deepEqual([word(i, WORD.failedAt), word(i, WORD.failedWith)], [0n, 0n]);
      }
    });

    test('gives a result that nobody asked for to the scratch word, an ignored error to the next', () => {
      const b = new ProgramBuilder(wordSize);
      b.syscall('getpid', []);
      b.halt();
      const { offset, layout } = linked(b.build(), target);
      assert.equal(offset(0, WORD.result), layout.scratch);
      assert.equal(offset(0, WORD.target), instructionOffset(1));
    });

    test('lets a jump compare its own word', () => {
      const b = new ProgramBuilder(wordSize);
      const end = b.label();
      b.jump(end);
      b.place(end);
      b.halt();
      const { word, offset } = linked(b.build(), target);
      assert.equal(offset(0, WORD.argument), instructionOffset(0) + (WORD.argument + 1) * wordSize);
      assert.equal(word(0, WORD.argument + 1), 0n);
    });

    test('writes every integer that fits a word, and refuses the others', () => {
      const [lowest, highest] =
        wordSize === 8
          ? [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
          : [-(2 ** 31), 2 ** 32 - 1];
      const edges = [0, 1, -1, -4095, 2 ** 31, -(2 ** 31), 2 ** 32 - 1, 2 ** 32, -(2 ** 32)];
      const more = [-(2 ** 31) - 1, -(2 ** 32) - 1, 2 ** 32 + 5, 2 ** 53, -(2 ** 53)];
      const value = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(...edges, ...more), fc.double());
      fc.assert(
        fc.property(value, (number) => {
          const build = (): Program => {
            const b = new ProgramBuilder(wordSize);
            b.syscall('close', [number]);
            b.halt();
            return b.build();
          };
          if (!Number.isInteger(number) || number < lowest || number > highest) {
            assert.throws(() => linked(build(), target), InternalError);
            return;
          }
          const { word } = linked(build(), target);
          assert.equal(word(0, WORD.argument), BigInt.asUintN(bits, BigInt(number)));
        }),
      );
    });

    test('writes addresses into the data', () => {
      const b = new ProgramBuilder(wordSize);
      const text = b.string('text');
      const vector = b.words(text, b.wordOf(0, WORD.failedAt), b.header(0), -2, 0);
      b.halt();
      const { words, layout } = linked(b.build(), target);
      const at = (layout.data + vector.offset) / wordSize;
      assert.deepEqual(words.slice(at, at + 5), [
        BigInt(base + layout.data + text.offset),
        BigInt(base + instructionOffset(0) + WORD.failedAt * wordSize),
        BigInt(base),
        BigInt.asUintN(bits, -2n),
        0n,
      ]);
    });

    test('works anywhere in a buffer, and leaves the rest of it alone', () => {
      const b = new ProgramBuilder(wordSize);
      b.copy(b.words(1), b.words(2));
      b.halt();
      const program = b.build();
      const { size } = layoutOf(program, wordSize);
      const buffer = new Uint8Array(size + 48).fill(0xee);
      link(program, target, base, buffer.subarray(16), new Map());
      assert.deepEqual(buffer.subarray(16, 16 + size), linked(program, target).memory);
      for (const i of [...Array(16).keys()]) {
        assert.deepEqual([buffer[i], buffer[16 + size + i]], [0xee, 0xee]);
      }
    });

    test('finds the instruction at an address', () => {
      const b = new ProgramBuilder(wordSize);
      b.syscall('getpid', []);
      b.halt();
      const program = b.build();
      const at = (offset: number) => instructionAt(program, wordSize, base, base + offset);
      assert.equal(at(instructionOffset(0)), program.instructions[0]);
      assert.equal(at(instructionOffset(1)), program.instructions[1]);
      for (const offset of [0, instructionOffset(0) + wordSize, instructionOffset(2), -stride]) {
        assert.equal(at(offset), undefined);
      }
    });

    test('refuses what is no program', () => {
      const outside = /points outside the program/;
      fails((b) => void b.copy(b.header(HEADER_WORDS), b.words(0)), outside);
      fails((b) => void b.copy(b.header(-1), b.words(0)), outside);
      fails((b) => void b.copy({ section: 'data', offset: 8 }, b.reserve(8)), outside);
      fails((b) => void b.copy({ section: 'data', offset: -8 }, b.reserve(8)), outside);
      fails((b) => void b.copy(b.words(0), b.argumentOf(2, 0)), outside);
      fails((b) => void b.syscall('close', [b.wordOf(-1, 0)]), outside);
      fails((b) => void b.words(b.header(9)), outside);
      // A word of which the first byte only is inside.
      fails((b) => void b.copy(offsetBy(b.reserve(wordSize), 1), 0), outside);
      fails((b) => void b.copy(b.words(0), offsetBy(b.words(0), wordSize - 1)), outside);
      fails((b) => void b.add(1, b.reserve(wordSize - 1)), outside);
      fails((b) => void b.branchIfEqual(b.reserve(wordSize - 1), 0, b.here()), outside);
      for (const offset of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        fails((b) => void b.syscall('close', [{ section: 'header', offset }]), /^/);
      }
      fails((b) => void b.syscall('close', [1, 2, 3, 4, 5, 6, 7]), /at most six arguments/);
      const six = [1, 2, 3, 4, 5, 6];
      fails((b) => void b.clone('close', six, b.here()), /at most five arguments/);
      fails((b) => void b.clone('close', [], b.label()), /leads outside the program/);
      fails((b) => {
        const clone = b.clone('close', [], b.here());
        b.copy(b.words(0), b.argumentOf(clone, 5));
      }, /a result would change the program/);
      fails((b) => void b.jump(b.label()), /leads outside the program/);
      fails((b) => void b.jump({ index: 9 }), /leads outside/);
      fails((b) => void b.syscall('close', [], { onError: b.label() }), /leads outside/);
      fails((b) => void b.jump({ index: 0.5 }), /leads outside/);
      fails((b) => void b.jump({ index: Number.NaN }), /leads outside/);
      for (const word of [WORD.op, WORD.number, WORD.target]) {
        const changes = /a result would change the program/;
        fails((b) => void b.copy(b.words(0), b.wordOf(0, word)), changes);
        fails((b) => void b.syscall('getpid', [], { result: b.wordOf(1, word) }), changes);
      }
      fails((b) => void b.call('free', []), /free is not exported by the host/);
      fails((b) => void b.syscall('reboot', []), /no syscall reboot/);
    });

    test('refuses memory that is too small, and pointers outside the data', () => {
      const b = new ProgramBuilder(wordSize);
      b.halt();
      const program = b.build();
      const { size } = layoutOf(program, wordSize);
      const none = new Map<string, number>();
      const put = (at: number, bytes: Uint8Array) => () => link(program, target, at, bytes, none);
      assert.throws(put(base, new Uint8Array(size - wordSize)), /does not fit its memory/);
      assert.throws(put(base, new Uint8Array(size + 1).subarray(1)), /is not aligned/);
      for (const at of [base + 1, -wordSize, Number.NaN, 0.5, 2 ** (wordSize * 8)]) {
        assert.throws(put(at, new Uint8Array(size)), /cannot be at address/);
      }
      const pointers = [{ at: 0, place: b.header(0) }];
      assert.throws(() => linked({ ...program, pointers }, target), /lies outside the data/);
      const data = new Uint8Array(2 * wordSize);
      for (const at of [1, 0.5]) {
        const askew = { ...program, data, pointers: [{ at, place: b.header(0) }] };
        assert.throws(() => linked(askew, target), /is not aligned/);
      }
    });

    test('refuses a program that could run off its end', () => {
      const off = /could run off its end/;
      const ends = (build: (b: ProgramBuilder) => void): (() => unknown) => {
        const b = new ProgramBuilder(wordSize);
        const place = b.words(0);
        b.copy(place, place);
        build(b);
        return () => linked(b.build(), target);
      };
      assert.throws(() => linked(new ProgramBuilder(wordSize).build(), target), off);
      assert.throws(
        ends(() => {}),
        off,
      );
      // It may come back with an error, from a filter of system calls say.
      assert.throws(
        ends((b) => void b.syscall('exit_group', [0])),
        off,
      );
      assert.throws(
        ends((b) => void b.branchIfEqual(b.words(0), 0, b.here())),
        off,
      );
      // Not its own word, or one that does not say what it is compared with.
      assert.throws(
        ends((b) => void b.branchIfEqual(b.wordOf(0, WORD.argument + 1), 0, b.here())),
        off,
      );
      assert.throws(
        ends((b) => void b.branchIfEqual(b.wordOf(1, WORD.argument + 1), 1, b.here())),
        off,
      );
      assert.doesNotThrow(ends((b) => void b.jump(b.here())));
      assert.doesNotThrow(ends((b) => void b.halt()));
    });

    test('refuses calls and halts in a program of a new process', () => {
      const b = new ProgramBuilder(wordSize);
      b.halt();
      const memory = new Uint8Array(layoutOf(b.build(), wordSize).size);
      assert.throws(() => link(b.build(), target, base, memory), /nowhere to halt/);
    });

    test('never writes an address outside of the memory that was not given as a number', () => {
      fc.assert(
        fc.property(anyProgram, (recipe) => {
          const { program, numbers } = cook(recipe, wordSize);
          const size = layoutOf(program, wordSize).size;
          let result: ReturnType<typeof linked>;
          try {
            result = linked(program, target, new Map([['free', 5]]));
          } catch (error) {
            // What cannot be linked must be refused, not linked wrongly.
            assert.ok(error instanceof InternalError);
            return;
          }
          for (const value of result.words) {
            const inside = value >= BigInt(base) && value < BigInt(base + size);
            const given = numbers.has(value);
            assert.ok(inside || given, `0x${value.toString(16)} is no address of the program`);
          }
        }),
        { numRuns: 500 },
      );
    });
  });
}

/** What to call on a builder; operands are small numbers, or places right or wrong. */
type Recipe = readonly (readonly [op: number, a: Ingredient, b: Ingredient, label: number])[];
type Ingredient = {
  readonly section: 'number' | 'header' | 'data' | 'code';
  readonly offset: number;
};

const ingredient: fc.Arbitrary<Ingredient> = fc.record({
  section: fc.constantFrom('number', 'header', 'data', 'code'),
  // Mostly inside of a small program.
  offset: fc.oneof({ weight: 9, arbitrary: fc.nat(24) }, fc.integer({ min: -40, max: 4000 })),
});
const anyProgram: fc.Arbitrary<Recipe> = fc.array(
  fc.tuple(fc.nat(5), ingredient, ingredient, fc.nat(3)),
  { minLength: 1, maxLength: 12 },
);

function cook(recipe: Recipe, wordSize: 4 | 8): { program: Program; numbers: Set<bigint> } {
  const b = new ProgramBuilder(wordSize);
  // Operations and system call numbers, and what stands in the data.
  const numbers = new Set([0n, 1n, 2n, 3n, 4n, 5n, 100n]);
  const operand = ({ section, offset }: Ingredient): Operand => {
    if (section !== 'number') return { section, offset };
    numbers.add(BigInt.asUintN(wordSize * 8, BigInt(offset)));
    return offset;
  };
  const labels = [b.label(), b.label(), b.label(), b.label()];
  b.reserve(4 * wordSize);
  b.words({ section: 'data', offset: 0 }, 0);
  recipe.forEach(([op, first, second, label], i) => {
    if (i < 4) b.place(labels[i] as Label);
    const target = labels[label] as Label;
    const [x, y] = [operand(first), operand(second)];
    const write = [
      () => b.syscall('read', [x, y], { result: y, onError: target }),
      () => b.branchIfEqual(x, y, target),
      () => b.copy(x, y),
      () => b.add(x, y),
      () => b.call('free', [x], { result: y }),
      () => b.words(x, y),
    ];
    write[op]?.();
  });
  b.halt();
  return { program: b.build(), numbers };
}
