import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { resultInNode } from '../fixtures/in-node.js';

// Executable memory files forbidden, in a PID namespace of its own; sysctl vm.memfd_noexec.
const forbid = 'echo 2 > /proc/sys/vm/memfd_noexec && exec "$@"';
const through = ['unshare', '--pid', '--fork', '--mount-proc', 'sh', '-c', forbid, 'sh'];
const probe = spawnSync(through[0] as string, [...through.slice(1), 'true'], { stdio: 'ignore' });
const skip = probe.status === 0 ? false : 'vm.memfd_noexec cannot be set in a namespace here';

test('where memfds must not be executed, the direct executor takes over', { skip }, () => {
  const code = `
    const result = {};
    result.run = (await run('echo', ['x'])).stdout;
    result.again = (await launch({ path: '/bin/sh', argv: ['sh', '-c', 'exit 3'] }).exited).exitCode;
    const attempt = (options) => new Promise((resolve) => {
      try {
        const child = spawn('/bin/true', options);
        child.on('error', ({ step }) => resolve(step));
        child.on('exit', (code) => resolve('ran'));
      } catch ({ step }) { resolve(step); }
    });
    result.image = await attempt({ executor: 'image' });
    result.credentials = await attempt({ uid: 0 });
    console.log(JSON.stringify(result));`;
  assert.deepEqual(resultInNode(code, { through }), {
    run: 'x\n',
    again: 3,
    image: 'memfd_create',
    // It must not share our memory, whatever else works here.
    credentials: 'memfd_create',
  });
});
