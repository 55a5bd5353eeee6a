import assert from 'node:assert/strict';
import { test } from 'node:test';
import { amount } from '../soak.js';
import { figuresOf, inWords } from './fixture.js';

interface Figures {
  readonly terminations: number;
  readonly descriptors: number;
  readonly left: number;
}

test('Workers stopped while they start processes leave no descriptor open', async (t) => {
  const figures = await figuresOf<Figures>('terminations', [amount(40, 2000)]);
  t.diagnostic(inWords(figures));
  assert.equal(figures.left, 0);
});
