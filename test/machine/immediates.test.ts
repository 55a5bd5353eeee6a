import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ArmAssembler } from '../../src/machine/arm.js';
import { Arm64Assembler } from '../../src/machine/arm64.js';
import { type Assembler, EncodingError } from '../../src/machine/assembler.js';
import { Ia32Assembler } from '../../src/machine/ia32.js';
import { Riscv64Assembler } from '../../src/machine/riscv64.js';
import { X64Assembler } from '../../src/machine/x64.js';
import { runs } from '../soak.js';

/**
 * A number that an instruction cannot hold must be refused, and never cut to size. Seen without a
 * disassembler: numbers that are accepted give bytes of their own.
 */

type Emit<A> = (asm: A, value: number) => void;

function check<A extends Assembler>(
  title: string,
  make: new () => A,
  emitters: Record<string, Emit<A>>,
): void {
  describe(`immediates of ${title}`, () => {
    for (const [name, emit] of Object.entries(emitters)) {
      const encode = (value: number): string | null => {
        const asm = new make();
        try {
          emit(asm, value);
          return Buffer.from(asm.finish().bytes).toString('hex');
        } catch (error) {
          assert.ok(error instanceof EncodingError, `${value}: ${(error as Error).stack}`);
          return null;
        }
      };
      test(`${name}: refused by name, or encoded as it is`, () => {
        const accepted = new Map<string, number>();
        const put = (value: number): void => {
          const bytes = encode(value);
          if (bytes === null) return;
          const other = accepted.get(bytes);
          assert.ok(other === undefined || other === value, `${other} and ${value} are ${bytes}`);
          accepted.set(bytes, value);
        };
        for (const value of [0, 1, 4, 8, 16, 240]) put(value);
        assert.ok(accepted.size > 0, 'it takes no number');
        for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 40)]) {
          assert.equal(encode(value), null, `${value}`);
        }
        const small = fc.integer({ min: -5000, max: 5000 });
        fc.assert(
          fc.property(
            fc.oneof(small, fc.integer(), fc.maxSafeInteger()),
            fc.nat(40),
            (value, bit) => {
              put(value);
              // What would be the same number, if its upper bits were lost.
              put(value + 2 ** bit);
              put(value - 2 ** bit);
            },
          ),
          { numRuns: runs(300) },
        );
      });
    }
  });
}

check('x64', X64Assembler, {
  load: (asm, n) => asm.load('rax', 'rbx', n),
  'load from r13': (asm, n) => asm.load('rax', 'r13', n),
  'load from rsp': (asm, n) => asm.load('r9', 'rsp', n),
  store: (asm, n) => asm.store('rbx', n, 'rcx'),
  'storeImmediate, displacement': (asm, n) => asm.storeImmediate('rbx', n, 7),
  'storeImmediate, value': (asm, n) => asm.storeImmediate('rbx', 8, n),
  compareImmediate: (asm, n) => asm.compareImmediate('rbx', 8, n),
  callMemory: (asm, n) => asm.callMemory('rbx', n),
  leaMemory: (asm, n) => asm.leaMemory('rcx', 'rsp', n),
  leaRelative: (asm, n) => asm.leaRelative('rcx', n),
  callRelative: (asm, n) => asm.callRelative(n),
  addImmediate: (asm, n) => asm.addImmediate('rax', n),
  subtractImmediate: (asm, n) => asm.subtractImmediate('rbx', n),
  compareRegisterImmediate: (asm, n) => asm.compareRegisterImmediate('r12', n),
});
check('ia32', Ia32Assembler, {
  load: (asm, n) => asm.load('eax', 'ebx', n),
  'load from ebp': (asm, n) => asm.load('eax', 'ebp', n),
  store: (asm, n) => asm.store('esp', n, 'ecx'),
  storeAbsolute: (asm, n) => asm.storeAbsolute(n, 'ecx'),
  'storeImmediate, value': (asm, n) => asm.storeImmediate('ebx', 8, n),
  callDistant: (asm, n) => asm.callDistant('ebx', n),
  leaDistant: (asm, n) => asm.leaDistant('ecx', 'ebx', n),
  moveImmediate: (asm, n) => asm.moveImmediate('ecx', n),
  addImmediate: (asm, n) => asm.addImmediate('eax', n),
  compareImmediate: (asm, n) => asm.compareImmediate('ebx', n),
});
check('arm', ArmAssembler, {
  load: (asm, n) => asm.load('r1', 'r2', n),
  store: (asm, n) => asm.store('r1', n, 'r2'),
  moveImmediate: (asm, n) => asm.moveImmediate('r1', n),
  addImmediate: (asm, n) => asm.addImmediate('r1', 'r2', n),
  subtractImmediate: (asm, n) => asm.subtractImmediate('r1', 'r2', n),
  compareImmediate: (asm, n) => asm.compareImmediate('r1', n),
  compareNegative: (asm, n) => asm.compareNegative('r1', n),
});
check('arm64', Arm64Assembler, {
  load: (asm, n) => asm.load('x1', 'x2', n),
  store: (asm, n) => asm.store('sp', n, 'x2'),
  address: (asm, n) => asm.address('x1', n),
  moveImmediate: (asm, n) => asm.moveImmediate('x1', n),
  addImmediate: (asm, n) => asm.addImmediate('x1', 'x2', n),
  subtractImmediate: (asm, n) => asm.subtractImmediate('x1', 'x2', n),
  compareImmediate: (asm, n) => asm.compareImmediate('x1', n),
  compareNegative: (asm, n) => asm.compareNegative('x1', n),
});
check('riscv64', Riscv64Assembler, {
  load: (asm, n) => asm.load('a0', 'a1', n),
  store: (asm, n) => asm.store('a1', n, 'a0'),
  addPagesToHere: (asm, n) => asm.addPagesToHere('a0', n),
  address: (asm, n) => asm.address('a0', n),
  loadPages: (asm, n) => asm.loadPages('a0', n),
  loadImmediate: (asm, n) => asm.loadImmediate('a0', n),
  addImmediate: (asm, n) => asm.addImmediate('a0', 'a1', n),
});
