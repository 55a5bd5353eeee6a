import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shuffle } from '../../src/plan/descriptors.js';

test('an identity needs no move but the closing ones', () => {
  assert.deepEqual(shuffle(new Map([[0, 0]]), 9), [
    { move: 'close', first: 1, last: 8 },
    { move: 'close', first: 10, last: 0xffffffff },
  ]);
});
