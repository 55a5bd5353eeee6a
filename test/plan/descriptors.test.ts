import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { closeAllBut, LAST_DESCRIPTOR, shuffle } from '../../src/plan/descriptors.js';
import { applyMoves, filesOf, type Table, tableOf } from './table.js';

const descriptor = fc.oneof(
  { weight: 8, arbitrary: fc.nat(12) },
  { weight: 2, arbitrary: fc.nat(300) },
  { weight: 1, arbitrary: fc.integer({ min: 1_048_000, max: 1_048_575 }) },
);

/** A parent's descriptors, and a map from the child's to some of them. */
const request = fc
  .uniqueArray(descriptor, { minLength: 1, maxLength: 16 })
  .chain((open) =>
    fc.record({
      open: fc.constant(open),
      map: fc
        .array(fc.tuple(fc.oneof(descriptor, fc.constantFrom(...open)), fc.constantFrom(...open)), {
          maxLength: 14,
        })
        .map((pairs) => new Map(pairs)),
      gap: fc.nat(3),
    }),
  )
  .map(({ open, map, gap }) => ({ open, map, errorPipe: firstFree(open, map, gap) }));

/** As openErrorPipe() does it: a number that is free, above all targets. */
function firstFree(open: readonly number[], map: ReadonlyMap<number, number>, gap: number): number {
  let fd = Math.max(-1, ...map.keys()) + 1 + gap;
  while (open.includes(fd)) fd++;
  return fd;
}

function parentTable(open: readonly number[], errorPipe: number): Table {
  return new Map([
    ...tableOf(open.map((fd): [number, string] => [fd, `parent's ${fd}`])),
    [errorPipe, { file: 'error pipe', closeOnExec: true }],
  ]);
}

function expectMap(open: readonly number[], map: ReadonlyMap<number, number>, errorPipe: number) {
  const after = applyMoves(parentTable(open, errorPipe), shuffle(map, errorPipe));
  const wanted = [...map].map(([to, from]): [number, string] => [to, `parent's ${from}`]);
  assert.deepEqual(filesOf(after), filesOf(tableOf([...wanted, [errorPipe, 'error pipe']])));
  for (const [fd, { closeOnExec }] of after) assert.equal(closeOnExec, fd === errorPipe);
}

test('an identity needs no move but the closing ones', () => {
  assert.deepEqual(shuffle(new Map([[0, 0]]), 9), [
    { move: 'close', first: 1, last: 8 },
    { move: 'close', first: 10, last: 0xffffffff },
  ]);
});

test('any map is put in place, and nothing else stays', () => {
  fc.assert(
    fc.property(request, ({ open, map, errorPipe }) => expectMap(open, map, errorPipe)),
    { numRuns: 3000 },
  );
});

const CASES: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  nothing: [],
  'a swap': [
    [0, 1],
    [1, 0],
  ],
  'a cycle of three': [
    [0, 1],
    [1, 2],
    [2, 0],
  ],
  'one source for all': [
    [0, 5],
    [1, 5],
    [2, 5],
    [5, 5],
  ],
  'a chain downwards': [
    [0, 1],
    [1, 2],
    [2, 3],
  ],
  'a chain upwards': [
    [3, 2],
    [2, 1],
    [1, 0],
  ],
  holes: [
    [0, 7],
    [4, 0],
    [9, 4],
  ],
  'the source is the highest target': [
    [9, 0],
    [0, 9],
  ],
  'high numbers': [
    [0, 1_048_570],
    [1_048_570, 0],
  ],
};

for (const [name, pairs] of Object.entries(CASES)) {
  test(`shuffle: ${name}`, () => {
    const map = new Map(pairs);
    const open = [...new Set([0, 1, 2, ...pairs.flat()])];
    expectMap(open, map, firstFree(open, map, 0));
  });
}

test('the closing ranges leave what is kept, and touch nothing below the start', () => {
  fc.assert(
    fc.property(
      fc.array(descriptor, { maxLength: 12 }),
      fc.array(descriptor, { maxLength: 12 }),
      descriptor,
      fc.option(descriptor, { nil: undefined }),
      (open, kept, errorPipe, from) => {
        const before = tableOf([...open, errorPipe].map((fd) => [fd, `${fd}`]));
        const after = applyMoves(before, closeAllBut(kept, errorPipe, from));
        const stays = (fd: number): boolean =>
          fd < (from ?? 0) || kept.includes(fd) || fd === errorPipe;
        assert.deepEqual([...after.keys()], [...before.keys()].filter(stays));
      },
    ),
    { numRuns: 1000 },
  );
});

test('the closing ranges are in order, do not overlap, and end with the last descriptor', () => {
  fc.assert(
    fc.property(fc.array(descriptor), descriptor, (kept, errorPipe) => {
      let next = 0;
      const moves = closeAllBut(kept, errorPipe);
      for (const move of moves) {
        assert.equal(move.move, 'close');
        if (move.move !== 'close') continue;
        assert.ok(move.first >= next && move.last >= move.first);
        next = move.last + 1;
      }
      assert.equal(next, LAST_DESCRIPTOR + 1);
    }),
  );
});
