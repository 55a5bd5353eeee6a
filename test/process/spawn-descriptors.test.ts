import assert from 'node:assert/strict';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type StdioOption, spawn } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { OpenFiles } from './descriptor-fixture.js';
import { descriptorsOf, STOPS, stopped, traces } from './observe.js';

const files = new OpenFiles();
after(() => files.close());

const parent = descriptorsOf('self');

const option: fc.Arbitrary<StdioOption> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('ignore', 'pipe', 'overlapped', null, undefined) },
  { weight: 5, arbitrary: fc.constantFrom(...files.descriptors) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 2) },
);

const stdio = fc
  .tuple(
    fc.array(option, { maxLength: 12 }),
    fc.option(fc.tuple(fc.integer({ min: 13, max: 700 }), option), { freq: 5 }),
  )
  .map(([list, high]) => {
    const result = [...list];
    // Between them 'ignore', so that there are not hundreds of pipes.
    if (high !== null) {
      while (result.length < high[0]) result.push('ignore');
      result.push(high[1]);
    }
    return result;
  });

/** What the child is to have as descriptor `fd`, as a pattern. */
function wanted(fd: number, option: StdioOption): string | null {
  if (typeof option === 'number') return files.paths.get(option) ?? parent.get(option) ?? '?';
  if (option === 'inherit') return parent.get(fd) ?? '?';
  if (option === 'ignore' || (fd > 2 && option == null)) return fd > 2 ? null : '/dev/null';
  return fd > 2 ? 'socket:' : 'pipe:';
}

/** Pipes and sockets have a number in their name that only the kernel knows. */
function comparable(file: string, given: ReadonlySet<string>): string {
  return given.has(file) ? file : file.replace(/:\[\d+\]$/, ':');
}

async function expectDescriptors(
  given: readonly StdioOption[],
  executor: 'image' | 'direct',
): Promise<void> {
  const child = spawn(...STOPS, { stdio: given, executor });
  const exited = once(child, 'exit');
  try {
    const pid = await stopped(child.pid);
    const expected: [number, string][] = [];
    for (let fd = 0; fd < Math.max(3, given.length); fd++) {
      const file = wanted(fd, given[fd]);
      if (file !== null) expected.push([fd, file]);
    }
    const own = new Set(parent.values());
    const actual = [...descriptorsOf(pid)].map(([fd, file]) => [fd, comparable(file, own)]);
    assert.deepEqual(actual, expected);
  } finally {
    child.kill('SIGKILL');
    await exited;
    for (const stream of child.stdio) stream?.destroy();
  }
}

for (const executor of EXECUTORS) {
  test(`${executor}: a child has the descriptors of its stdio and no others`, async () => {
    await fc.assert(
      fc.asyncProperty(stdio, (given) => expectDescriptors(given, executor)),
      { numRuns: 60 },
    );
  });

  test(`${executor}: inherit at any place, swapped and repeated standard descriptors`, async () => {
    await expectDescriptors(['inherit', 'inherit', 'inherit'], executor);
    await expectDescriptors([2, 0, 1, 1, 0], executor);
    await expectDescriptors([1, 1, 1, 1], executor);
    await expectDescriptors(Array(10).fill(0), executor);
  });

  test(`${executor}: a descriptor's own number, although it is close-on-exec`, async () => {
    const fd = openSync(files.path('own-number'), 'w');
    const given: StdioOption[] = Array(fd + 1).fill('ignore');
    given[fd] = 'inherit';
    files.paths.set(fd, files.path('own-number'));
    parent.set(fd, files.path('own-number'));
    await expectDescriptors(given, executor);
  });

  test(`${executor}: a descriptor that is not open is refused, and nothing is left`, () => {
    const before = traces();
    for (const stdio of [
      [9999],
      ['pipe', 'pipe', 9999],
      ['ignore', 'pipe', 'pipe', 'pipe', 9998],
    ]) {
      assert.throws(() => spawn(...STOPS, { stdio: stdio as StdioOption[], executor }), {
        code: 'EBADF',
        step: 'stdio',
      });
    }
    assert.deepEqual(traces(), before);
  });
}
