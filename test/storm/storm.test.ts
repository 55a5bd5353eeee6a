import assert from 'node:assert/strict';
import { test } from 'node:test';
import { amount } from '../soak.js';
import { figuresOf, inWords } from './fixture.js';
import type { Seen } from './fixtures/storm-worker.js';

interface Figures extends Seen {
  readonly zombies: number;
  readonly threads: number;
  readonly descriptors: number;
  readonly seconds: number;
}

test('a storm of threads: every child has its own descriptors, every exit is seen once', async (t) => {
  const launches = amount(1600, 20_000);
  const figures = await figuresOf<Figures>('storm', ['safeexec', launches]);
  t.diagnostic(inWords(figures));
  const { seconds: _, ...rest } = figures;
  assert.deepEqual(rest, {
    launches,
    foreign: 0,
    wrongCodes: 0,
    wrongExits: 0,
    zombies: 0,
    threads: 0,
    descriptors: 0,
  });
});

test('the same storm sees what children of node:child_process are given', async (t) => {
  const figures = await figuresOf<Figures>('storm', ['node', amount(80, 2000)]);
  t.diagnostic(inWords(figures));
  assert.ok(figures.foreign > 0);
});
