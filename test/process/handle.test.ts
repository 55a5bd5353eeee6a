import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { Exit } from '../../src/process/exit.js';
import { ProcessHandle } from '../../src/process/handle.js';

/** Starts a shell through a bare handle, and gives its exit code. */
async function start(
  spawn: (handle: ProcessHandle, args: readonly string[]) => number,
): Promise<number | null> {
  const exit = await new Promise<Exit>((resolve, reject) => {
    const handle = new ProcessHandle({
      spawned: () => {},
      ended: (exit) => (exit && exit !== 'lost' ? resolve(exit) : reject(new Error('not started'))),
    });
    // A leader of its process group exits with 3, any other with 4.
    const script = 'test "$(cut -d " " -f 5 /proc/$$/stat)" = $$ && exit 3; exit 4';
    assert.equal(spawn(handle, ['sh', '-c', script]), 0);
  });
  return exit.exitCode;
}

const ignored = [{ type: 'ignore' }, { type: 'ignore' }, { type: 'ignore' }] as const;
const skip = spawnSync('cut', ['--version']).error ? 'cut(1) is not there' : false;

test('a handle takes its options as one object', { skip }, async () => {
  for (const detached of [false, true]) {
    const code = await start((handle, args) =>
      handle.spawn({ file: '/bin/sh', args, stdio: ignored, detached }),
    );
    assert.equal(code, detached ? 3 : 4);
  }
});

test('a handle takes its options one by one', { skip }, async () => {
  for (const flags of [0, 1]) {
    const code = await start((handle, args) =>
      handle.spawn('/bin/sh', args, undefined, undefined, ignored, flags, undefined, undefined),
    );
    assert.equal(code, flags === 1 ? 3 : 4);
  }
});
