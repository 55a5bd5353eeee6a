import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { amount, soak } from '../soak.js';
import { figuresOf, inWords } from './fixture.js';
import { withoutOvercommit } from './overcommit.js';

const isRoot = process.getuid?.() === 0;

test('two thousand children alive at once', async (t) => {
  const children = 2000;
  const figures = await figuresOf('alive', [children]);
  t.diagnostic(inWords(figures as object));
  const each = { children, started: children, alive: children, killed: children };
  assert.deepEqual(figures, { ...each, zombies: 0, descriptors: 0 });
});

test('launches in a row: memory and descriptors stay what they are', async (t) => {
  type Pair = [number, number];
  const figures = await figuresOf<{ residentKiB: Pair; maps: Pair; descriptors: Pair }>('row', [
    amount(1000, 20_000),
  ]);
  t.diagnostic(inWords(figures));
  const { residentKiB, maps, descriptors } = figures;
  assert.ok(descriptors[1] <= descriptors[0]);
  // The garbage collector and the allocator take what they need to begin with; in the long form a
  // page kept for each launch would be twice this.
  assert.ok(residentKiB[1] - residentKiB[0] < amount(16_000, 40_000), `${residentKiB}`);
  // One kept for each launch would be a thousand.
  assert.ok(maps[1] - maps[0] < 200, `${maps}`);
});

test('a limit of descriptors is reached and recovered from', async (t) => {
  const figures = await figuresOf<Record<string, unknown>>('limits', ['descriptors']);
  t.diagnostic(inWords(figures));
  const { reached, step: _, ...rest } = figures;
  assert.ok(Number(reached) > 5);
  const expected = { code: 'EMFILE', launched: 'EMFILE', again: 0, zombies: 0, descriptors: 0 };
  assert.deepEqual(rest, expected);
});

const skip = isRoot ? false : 'the limit counts what else this user runs: only root has another';

test('a limit of processes is reached and recovered from', { skip }, async (t) => {
  const figures = await figuresOf<Record<string, unknown>>('limits', ['processes']);
  t.diagnostic(inWords(figures));
  const { reached, ...rest } = figures;
  assert.ok(Number(reached) > 5);
  const expected = { code: 'EAGAIN', step: 'clone', launched: 'EAGAIN' };
  assert.deepEqual(rest, { ...expected, again: 0, zombies: 0, descriptors: 0 });
});

const meminfo = readFileSync('/proc/meminfo', 'utf8');
const bytesOf = (name: string): number =>
  Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
const overcommit = readFileSync('/proc/sys/vm/overcommit_memory', 'utf8').trim();
const all = bytesOf('MemTotal') + bytesOf('SwapTotal');
const starts = { mapped: true, inOnePiece: true, forked: 'ENOMEM', ours: 0, launched: 0 };

test('a process too large to be copied starts others', {
  skip: overcommit === '0' ? false : `vm.overcommit_memory is ${overcommit}`,
}, async () => {
  assert.deepEqual(await figuresOf('commit', [Math.ceil(all * 1.2)]), starts);
});

test('a process that holds 60 % of memory starts others where nothing is overcommitted', {
  skip: soak ? false : 'changes a setting of the whole machine: only in npm run soak',
}, async (t) => {
  const reason = await withoutOvercommit(all * 0.6, async () => {
    assert.deepEqual(await figuresOf('commit', [all * 0.6]), starts);
  });
  if (reason !== null) t.skip(reason);
});
