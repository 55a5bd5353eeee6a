import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FilterAssembler } from '../../src/seccomp/assembler.js';
import { evaluate } from '../../src/seccomp/evaluate.js';
import { filterFault } from '../../src/seccomp/filter.js';

test('both ways of a branch are in reach, wherever they lead', () => {
  for (let gap = 0; gap <= 4; gap++) {
    for (let padding = 245; padding <= 260; padding++) {
      const a = new FilterAssembler();
      // What is no return needs a jump when it is far.
      const [low, high] = [16, 24].map((offset, i) => a.load(offset, a.ret(i)));
      let yes = low as number;
      for (let i = 0; i < gap; i++) yes = a.and(i, yes);
      let last = yes;
      for (let i = 0; i < padding; i++) last = a.and(1000 + i, last);
      const near = a.load(32, last);
      const branch = a.branch('eq', 7, yes, high as number);
      const filter = a.filter(a.load(0, a.branch('ge', 100, near, branch)));
      assert.equal(filterFault(filter), null);
      assert.ok(filter.every(({ jt, jf }) => jt <= 255 && jf <= 255 && jt >= 0 && jf >= 0));
      assert.equal(evaluate(filter, { nr: 7, arch: 0 }), 0);
      assert.equal(evaluate(filter, { nr: 8, arch: 0 }), 1);
      assert.equal(evaluate(filter, { nr: 100, arch: 0 }), 0);
    }
  }
});

test('equal parts are written once', () => {
  const a = new FilterAssembler();
  const part = () => a.load(16, a.branch('eq', 1, a.ret(1), a.ret(2)));
  assert.equal(part(), part());
  assert.equal(a.filter(part()).length, 4);
});
