import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineFor } from '../../src/machine/index.js';
import { disassemble, formatFilter } from '../../src/seccomp/disassemble.js';
import { evaluate } from '../../src/seccomp/evaluate.js';
import { type Filter, filterFault } from '../../src/seccomp/filter.js';

const filter = (...instructions: [number, number, number, number][]): Filter =>
  instructions.map(([code, jt, jf, k]) => ({ code, jt, jf, k }));

const RETURN: [number, number, number, number] = [0x06, 0, 0, 7];

test('what the kernel refuses', () => {
  for (const [fault, ...instructions] of [
    ['has no instructions'],
    ['does not end with a return', [0x20, 0, 0, 0]],
    ['has 4097 instructions, more than 4096', ...Array(4097).fill(RETURN)],
    ['has an operation 0x28 that is not allowed in instruction 0', [0x28, 0, 0, 0], RETURN],
    ['has an operation 0x94 that is not allowed in instruction 0', [0x94, 0, 0, 3], RETURN],
    ['loads from offset 2 in instruction 0', [0x20, 0, 0, 2], RETURN],
    ['loads from offset 64 in instruction 0', [0x20, 0, 0, 64], RETURN],
    ['jumps behind the end in instruction 0', [0x15, 0, 1, 2], RETURN],
    ['jumps behind the end in instruction 0', [0x15, 1, 0, 2], RETURN],
    ['jumps behind the end in instruction 0', [0x05, 0, 0, 0xffffffff], RETURN],
    ['divides by zero in instruction 0', [0x34, 0, 0, 0], RETURN],
    ['shifts by 32 in instruction 0', [0x64, 0, 0, 32], RETURN],
    ['stores to memory 16 in instruction 0', [0x02, 0, 0, 16], RETURN],
    ['loads unset memory 3 in instruction 0', [0x60, 0, 0, 3], RETURN],
    // Stored on one of two ways.
    [
      'loads unset memory 3 in instruction 2',
      [0x15, 0, 1, 0],
      [0x02, 0, 0, 3],
      [0x60, 0, 0, 3],
      RETURN,
    ],
  ] as [string, ...[number, number, number, number][]][]) {
    assert.equal(filterFault(filter(...instructions)), fault);
  }
});

test('calculates as the kernel does', () => {
  for (const [a, code, k, expected] of [
    [0xffffffff, 0x04, 2, 1],
    [1, 0x14, 2, 0xffffffff],
    [0x10001, 0x24, 0x10001, 0x20001],
    [7, 0x34, 2, 3],
    [0xf0, 0x44, 0x0f, 0xff],
    [0xf00000ff, 0x54, 0xf000000f, 0xf000000f],
    [0x80000001, 0x64, 1, 2],
    [0x80000000, 0x74, 31, 1],
    [1, 0x84, 0, 0xffffffff],
    [0x80000000, 0xa4, 1, 0x80000001],
  ] as [number, number, number, number][]) {
    const program = filter([0x00, 0, 0, a], [code, 0, 0, k], [0x16, 0, 0, 0]);
    assert.equal(filterFault(program), null);
    assert.equal(evaluate(program, { nr: 0, arch: 0 }), expected, code.toString(16));
  }
  // Memory, X and the size.
  const moved = filter(
    ...(
      [
        [0x80, 0, 0, 0],
        [0x02, 0, 0, 15],
        [0x61, 0, 0, 15],
        [0x00, 0, 0, 2],
      ] as const
    ).map((each) => [...each] as [number, number, number, number]),
    [0x0c, 0, 0, 0],
    [0x07, 0, 0, 0],
    [0x87, 0, 0, 0],
    [0x16, 0, 0, 0],
  );
  assert.equal(filterFault(moved), null);
  assert.equal(evaluate(moved, { nr: 0, arch: 0 }), 66);
});

test('a listing says what is compared, and with what', () => {
  const program = filter(
    [0x20, 0, 0, 4],
    [0x15, 0, 5, 0xc000003e],
    [0x20, 0, 0, 0],
    [0x35, 0, 2, 59],
    [0x20, 0, 0, 28],
    [0x54, 0, 0, 0xff],
    [0x06, 0, 0, 0x7fff0000],
    [0x06, 0, 0, 0x50001],
  );
  assert.equal(
    formatFilter(disassemble(program, machineFor('x64'))),
    `\
[0] load arch
[1] if arch == 0xc000003e (x64) goto 2 else 7
[2] load nr
[3] if nr >= 59 (execve) goto 4 else 6
[4] load a1.high
[5] calculate (a1.high & 255)
[6] return allow
[7] return errno EPERM
`,
  );
});
