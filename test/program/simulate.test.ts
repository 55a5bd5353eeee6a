import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InternalError } from '../../src/errors.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { type Place, WORD } from '../../src/program/instruction.js';
import { type LinkTarget, layoutOf, link, offsetOf } from '../../src/program/link.js';
import { type SimulatedKernel, SimulatedMemory, simulate } from '../../src/program/simulate.js';
import { baseOf, TARGETS } from './targets.js';

const never = (): never => assert.fail('no system call was expected');
/** The binding's kernel, without anything in it. */
const NOTHING: SimulatedKernel = { syscall: never, call: never };

interface Loaded {
  readonly memory: SimulatedMemory;
  address(place: Place): bigint;
  word(place: Place): bigint;
}

function load(
  { wordSize, ...target }: LinkTarget,
  b: ProgramBuilder,
  functions: ReadonlyMap<string, number> = new Map(),
): Loaded {
  const program = b.build();
  const bytes = new Uint8Array(layoutOf(program, wordSize).size);
  const base = baseOf(wordSize);
  const layout = link(program, { wordSize, ...target }, base, bytes, functions);
  const memory = new SimulatedMemory(bytes, base, wordSize);
  const address = (place: Place): bigint => BigInt(base + offsetOf(place, layout, wordSize));
  return { memory, address, word: (place) => memory.load(address(place)) };
}

for (const target of TARGETS) {
  const { wordSize } = target;
  const unsigned = (value: number | bigint): bigint => BigInt.asUintN(wordSize * 8, BigInt(value));

  describe(`the reference interpreter with words of ${wordSize} bytes`, () => {
    test('copies and adds whole words, which wrap around', () => {
      const b = new ProgramBuilder(wordSize);
      const [from, to, sum] = [b.words(-2), b.words(5), b.words(-2)];
      b.copy(from, to);
      b.add(5, sum);
      b.add(-1, from);
      b.halt();
      const { memory, word } = load(target, b);
      assert.deepEqual(simulate(memory, NOTHING), { by: 'halt', index: 3, steps: 4 });
      assert.deepEqual([word(from), word(to), word(sum)], [unsigned(-3), unsigned(-2), 3n]);
    });

    test('branches if the word is equal, in all its bits', () => {
      for (const [value, other, taken] of [
        [7, 7, true],
        [-1, -1, true],
        [7, 8, false],
        [-1, 0x7fffffff, false],
        [-1, 0xffffffff, wordSize === 4],
      ] as const) {
        const b = new ProgramBuilder(wordSize);
        const [place, mark] = [b.words(value), b.words(0)];
        const end = b.label();
        b.branchIfEqual(place, other, end);
        b.add(1, mark);
        b.place(end);
        b.halt();
        const { memory, word } = load(target, b);
        simulate(memory, NOTHING);
        assert.equal(word(mark), taken ? 0n : 1n);
      }
    });

    test('gives a system call its number and arguments, and stores its result', () => {
      const b = new ProgramBuilder(wordSize);
      const text = b.string('text');
      const next = b.position + 1;
      b.syscall('write', [1, text, 4, -1, 5, 6], { result: b.argumentOf(next, 0) });
      b.syscall('close', [0]);
      b.halt();
      const { memory, address } = load(target, b);
      const calls: unknown[] = [];
      simulate(memory, {
        ...NOTHING,
        syscall(number, args) {
          calls.push([number, ...args.slice(0, number === 101 ? 6 : 1)]);
          if (number === 101) assert.equal(memory.string(args[1] as bigint), 'text');
          return number === 101 ? 42n : 0n;
        },
      });
      assert.deepEqual(calls, [
        [101, 1n, address(text), 4n, unsigned(-1), 5n, 6n],
        [102, 42n],
      ]);
    });

    test('takes results from -4095 to -1 for errors, and leaves the record in the handler', () => {
      for (const [result, failed] of [
        [-1n, true],
        [-4095n, true],
        [-4096n, false],
        [0n, false],
        [1n, false],
        [unsigned(-22), true],
      ] as const) {
        const b = new ProgramBuilder(wordSize);
        const [stored, mark] = [b.words(0), b.words(0)];
        const handler = b.label();
        const call = b.syscall('close', [], { result: stored, onError: handler });
        b.add(1, mark);
        b.place(handler);
        b.halt();
        const { memory, word, address } = load(target, b);
        simulate(memory, { ...NOTHING, syscall: () => result });
        assert.equal(word(stored), unsigned(result));
        assert.equal(word(mark), failed ? 0n : 1n);
        const record = [WORD.failedAt, WORD.failedWith].map((w) =>
          word(b.wordOf(handler.index, w)),
        );
        const expected = failed ? [address(b.wordOf(call, 0)), unsigned(result)] : [0n, 0n];
        assert.deepEqual(record, expected);
      }
    });

    test('goes on after an error that is ignored', () => {
      const b = new ProgramBuilder(wordSize);
      const mark = b.words(0);
      b.syscall('close', []);
      b.add(1, mark);
      b.halt();
      const { memory, word } = load(target, b);
      simulate(memory, { ...NOTHING, syscall: () => -9n });
      assert.equal(word(mark), 1n);
    });

    test('goes on elsewhere in the process that a clone makes, and stores nothing there', () => {
      for (const [result, expected] of [
        [0n, [7n, 0n, 1n]],
        [42n, [42n, 1n, 0n]],
        [-11n, [unsigned(-11), 0n, 0n]],
      ] as const) {
        const b = new ProgramBuilder(wordSize);
        const [stored, parent, child] = [b.words(7), b.words(0), b.words(0)];
        const [inChild, end] = [b.label(), b.label()];
        b.clone('close', [1, 2, 3, 4, 5], inChild, { result: stored, onError: end });
        b.add(1, parent);
        b.halt();
        b.place(inChild);
        b.add(1, child);
        b.place(end);
        b.halt();
        const { memory, word } = load(target, b);
        simulate(memory, { ...NOTHING, syscall: () => result });
        assert.deepEqual([word(stored), word(parent), word(child)], expected);
      }
    });

    test('stops at a system call that does not return', () => {
      const b = new ProgramBuilder(wordSize);
      b.syscall('getpid', []);
      b.syscall('execve', []);
      b.jump(b.here());
      const { memory } = load(target, b);
      const syscall = (number: number): bigint | null => (number === 106 ? null : 1n);
      assert.deepEqual(simulate(memory, { syscall }), { by: 'syscall', index: 1, steps: 2 });
    });

    test('calls functions where there are some', () => {
      const b = new ProgramBuilder(wordSize);
      const result = b.words(0);
      b.call('free', [1, 2, 3, 4, 5, 6], { result });
      b.halt();
      const { memory, word } = load(target, b, new Map([['free', 0x1234]]));
      simulate(memory, {
        syscall: never,
        call(address, args) {
          assert.equal(address, 0x1234n);
          assert.deepEqual(args, [1n, 2n, 3n, 4n, 5n, 6n]);
          // No error: functions have results of their own kind.
          return -5n;
        },
      });
      assert.equal(word(result), unsigned(-5));
    });

    test('lets programs write themselves', () => {
      const b = new ProgramBuilder(wordSize);
      const [values, sum] = [b.words(3, 4, 5, 0), b.words(0)];
      const again = b.here();
      const done = b.label();
      // A loop over the values, whose address is in the copy itself.
      const copy = b.copy(values, b.argumentOf(b.position + 2, 0));
      b.branchIfEqual(b.argumentOf(b.position + 1, 0), 0, done);
      b.add(0, sum);
      b.add(wordSize, b.argumentOf(copy, 0));
      b.jump(again);
      b.place(done);
      b.halt();
      const { memory, word } = load(target, b);
      assert.equal(simulate(memory, NOTHING).steps, 3 * 5 + 3);
      assert.equal(word(sum), 12n);
    });

    test('refuses programs that mean nothing', () => {
      const refuses = (
        build: (b: ProgramBuilder) => void,
        message: RegExp,
        kernel: SimulatedKernel = NOTHING,
        /** What no linked program has in it. */
        spoil: (loaded: Loaded, b: ProgramBuilder) => void = () => {},
      ): void => {
        const b = new ProgramBuilder(wordSize);
        build(b);
        b.halt();
        const loaded = load(target, b, new Map([['free', 1]]));
        spoil(loaded, b);
        assert.throws(
          () => simulate(loaded.memory, kernel, 50),
          (error) => error instanceof InternalError && message.test(error.message),
        );
      };
      const foreign = /touches 0x[0-9a-f]+, which is not its own/;
      refuses((b) => void b.copy(16, b.words(0)), foreign);
      refuses((b) => void b.copy(b.words(0), 16), foreign);
      refuses((b) => void b.add(1, 0), foreign);
      refuses((b) => void b.branchIfEqual(0, 0, b.here()), foreign);
      const here = baseOf(wordSize);
      // A word that is inside with its first bytes only.
      refuses((b) => void b.copy(here - 1, b.words(0)), foreign);
      refuses((b) => void b.jump(b.here()), /did not end after 50 instructions/);
      const binding = { syscall: never };
      refuses(() => {}, /only the binding can halt/, binding);
      refuses((b) => void b.call('free', []), /only the binding can call/, binding);
      const nothing = (): void => {};
      refuses(nothing, /there is no operation 9/, NOTHING, ({ memory, address }, b) => {
        memory.store(address(b.wordOf(0, WORD.op)), 9n);
      });
      const jump = (b: ProgramBuilder): void => void b.jump(b.here());
      refuses(jump, /there is no instruction at/, NOTHING, ({ memory, address, word }, b) => {
        const leads = b.wordOf(0, WORD.target);
        memory.store(address(leads), word(leads) + BigInt(wordSize));
      });
    });
  });
}
