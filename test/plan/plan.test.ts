import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  followDescriptors,
  highestTarget,
  imageOnly,
  type Plan,
  type Step,
} from '../../src/plan/plan.js';

const exec = { candidates: ['/x'], file: 'x', shellFallback: false };
const planOf = (...steps: Step[]): Plan => ({ steps, exec });

function follow(steps: readonly Step[], initial: readonly number[] = []) {
  const { sources, open } = followDescriptors(steps, initial);
  return { sources: [...sources].sort(ascending), open: [...open].sort(ascending) };
}

function ascending(a: number, b: number): number {
  return a - b;
}

test('the sources of a map are what it takes from the parent', () => {
  const map = new Map([
    [0, 7],
    [1, 7],
    [9, 3],
  ]);
  assert.deepEqual(follow([{ type: 'descriptors', map }]), { sources: [3, 7], open: [0, 1, 9] });
});

test('what an action opened is not a source of later ones', () => {
  const steps: Step[] = [
    { type: 'open', fd: 5, path: '/dev/null' },
    { type: 'dup2', from: 5, to: 6 },
    { type: 'fchdir', fd: 6 },
  ];
  assert.deepEqual(follow(steps, [0]), { sources: [0], open: [0, 5, 6] });
});

test('what is used before it is replaced is a source', () => {
  const steps: Step[] = [
    { type: 'fchdir', fd: 5 },
    { type: 'open', fd: 5, path: '/dev/null' },
    { type: 'close', fd: 5 },
  ];
  assert.deepEqual(follow(steps), { sources: [5], open: [] });
});

test('closeFrom and closeAllBut decide what is open', () => {
  const opened: Step[] = [3, 4, 5].map((fd) => ({ type: 'open', fd, path: '/' }));
  assert.deepEqual(follow([...opened, { type: 'closeFrom', fd: 4 }], [1, 9]), {
    sources: [1],
    open: [1, 3],
  });
  assert.deepEqual(follow([...opened, { type: 'closeAllBut', fds: [4, 9] }], [0, 1]), {
    sources: [9],
    open: [4, 9],
  });
});

const fd = fc.nat(20);
const action: fc.Arbitrary<Step> = fc.oneof(
  fd.map((fd): Step => ({ type: 'open', fd, path: '/dev/null' })),
  fd.map((fd): Step => ({ type: 'close', fd })),
  fc.tuple(fd, fd).map(([from, to]): Step => ({ type: 'dup2', from, to })),
  fd.map((fd): Step => ({ type: 'fchdir', fd })),
  fd.map((fd): Step => ({ type: 'closeFrom', fd })),
  fc.array(fd, { maxLength: 4 }).map((fds): Step => ({ type: 'closeAllBut', fds })),
  fd.map((fd): Step => ({ type: 'tcsetpgrp', fd })),
);

test('a plan with nothing but its sources has all that it uses, if a full table has it', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 12 }), fc.uniqueArray(fd), (steps, initial) => {
      const full = Array.from({ length: 21 }, (_, i) => i);
      const { sources, open } = followDescriptors(steps, initial);
      const withSources = walk(steps, sources);
      const withAll = walk(steps, full);
      assert.deepEqual(withSources.missing, withAll.missing);
      const named = steps.flatMap((step) => ('fds' in step ? step.fds : []));
      // What closeAllBut is to keep counts as open, also if it had been closed before.
      for (const fd of open) assert.ok(withSources.open.has(fd) || named.includes(fd), `${fd}`);
    }),
    { numRuns: 2000 },
  );
});

/** What is open after the steps, and which of them used what was not. */
function walk(steps: readonly Step[], parent: Iterable<number>) {
  const open = new Set(parent);
  const missing: Step[] = [];
  for (const step of steps) {
    const used = 'from' in step ? step.from : 'fd' in step ? step.fd : -1;
    if (['dup2', 'fchdir', 'tcsetpgrp'].includes(step.type) && !open.has(used)) missing.push(step);
    if (step.type === 'open') open.add(step.fd);
    else if (step.type === 'close') open.delete(step.fd);
    else if (step.type === 'dup2') {
      if (open.has(step.from)) open.add(step.to);
    } else if (step.type === 'closeFrom') {
      for (const fd of open) if (fd >= step.fd) open.delete(fd);
    } else if (step.type === 'closeAllBut') {
      for (const fd of open) if (!step.fds.includes(fd)) open.delete(fd);
    }
    if (missing.length > 0) break; // the plan ends with its first failure
  }
  return {
    open: missing.length > 0 ? new Set(Array.from({ length: 21 }, (_, i) => i)) : open,
    missing,
  };
}

test('the highest target is the highest number that any step uses', () => {
  assert.equal(highestTarget(planOf()), -1);
  assert.equal(highestTarget(planOf({ type: 'setsid' }, { type: 'chdir', path: '/' })), -1);
  assert.equal(highestTarget(planOf({ type: 'closeAllBut', fds: [] })), -1);
  const map = new Map([[3, 900]]);
  assert.equal(highestTarget(planOf({ type: 'descriptors', map })), 3);
  assert.equal(highestTarget(planOf({ type: 'dup2', from: 8, to: 1 })), 8);
  assert.equal(highestTarget(planOf({ type: 'dup2', from: 1, to: 8 })), 8);
  for (const type of ['fchdir', 'tcsetpgrp'] as const) {
    assert.equal(highestTarget(planOf({ type, fd: 11 }, { type, fd: 4 })), 11);
  }
  for (const type of ['close', 'closeFrom'] as const) {
    assert.equal(highestTarget(planOf({ type, fd: 11 })), -1);
  }
  assert.equal(highestTarget(planOf({ type: 'open', fd: 12, path: '/' })), 12);
  assert.equal(highestTarget(planOf({ type: 'closeAllBut', fds: [2, 13, 5] })), 13);
});

test('credentials are changed by user, group and groups', () => {
  assert.equal(imageOnly(planOf({ type: 'setsid' })), undefined);
  assert.match(imageOnly(planOf({ type: 'setuid', uid: 1 })) as string, /credentials/);
  assert.match(imageOnly(planOf({ type: 'setgid', gid: 1 })) as string, /credentials/);
  assert.match(imageOnly(planOf({ type: 'dropGroups' })) as string, /credentials/);
});
