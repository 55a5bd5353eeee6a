import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fixture, LIBRARY, parse, REGISTER, REGISTER_CJS, runNode } from './support.js';

/** The first release that package.json names has no require() of ES modules, and is in one test. */
const FIRST = '20.0.0';
const RELEASES = [FIRST, '20', '22', '24', '26'];
const EXPECTED = {
  spawn: {
    stdout: 'in and out',
    stderr: 'err\n',
    code: 3,
    signal: null,
    spawned: true,
    usage: true,
  },
  failing: { pid: null, code: 'ENOENT', step: 'exec' },
  listed: { three: 'three\n', code: 0 },
  fork: { value: [[1, 'äöü']], code: 42 },
  launch: 'SIGTERM',
  run: ['run', 'direct\n'],
  promises: [
    { stdout: 'execFile\n', stderr: '' },
    { stdout: 'exec\n', stderr: '' },
  ],
  sync: ['sync', 'execFileSync\n', 'execSync\n', 'SIGTERM'],
  worker: { code: 5, stdout: 'worker\n', sync: 1 },
  aborted: 'ABORT_ERR',
};
const ENGINE = { async: true, sync: 'sync\n' };

for (const release of RELEASES) {
  const url = new URL(`../../../.runtimes/node_modules/node${release}/bin/node`, import.meta.url);
  const node = fileURLToPath(url);
  const skip = !existsSync(node) && `no Node ${release}: node scripts/install-runtimes.mjs`;
  describe(`Node ${release}`, { skip, concurrency: 2 }, () => {
    test('every entry point', { skip }, async () => {
      const ended = await runNode([fixture('smoke.js')], { node });
      assert.deepEqual(parse(ended), EXPECTED);
      assert.equal(ended.stderr, '');
    });

    if (release === FIRST) return;

    test('wrong arguments are refused as this release does', { skip }, async () => {
      const ended = await runNode([fixture('wrong-arguments.js')], { node });
      assert.deepEqual(parse(ended), []);
    });

    test('bound sockets are sent where Node’s own sends them', { skip }, async () => {
      const outputs = [];
      for (const module of ['node:child_process', LIBRARY]) {
        const code = `
          import net from 'node:net';
          import { fork } from '${module}';
          const child = fork('${fixture('ipc-child.cjs')}');
          child.once('message', ({ name }) => {
            console.log(name);
            child.disconnect();
          });
          try {
            const socket = new net.BoundSocket({ host: '127.0.0.1', port: 0 });
            child.send({ type: 'name of handle' }, socket);
          } catch ({ name, code }) {
            console.log(name, code);
            child.kill();
            process.exit();
          }`;
        outputs.push(await runNode(['--input-type=module', '-e', code], { node }));
      }
      assert.deepEqual(outputs[1], outputs[0]);
      assert.notEqual(outputs[0]?.stdout, '');
    });

    test('arguments for a shell get the warning that Node gives', { skip }, async () => {
      const code = `const { execFile, spawn, spawnSync } = require('child_process');
        spawn('true', { shell: true });
        spawnSync('true', ['a'], { shell: true });
        execFile('true', ['a'], { shell: '/bin/sh' });`;
      const [reference, registered] = await Promise.all(
        [[], ['--import', REGISTER]].map((flags) => runNode([...flags, '-e', code], { node })),
      );
      const warnings = (text = ''): string[] => text.match(/\[DEP\d+\].*/g) ?? [];
      assert.deepEqual(warnings(registered?.stderr), warnings(reference?.stderr));
      assert.equal(warnings(registered?.stderr).length, Number(release) < 24 ? 0 : 1);
    });

    test('register, and the programs under it', { skip }, async () => {
      for (const flags of [
        ['--import', REGISTER],
        ['--require', REGISTER_CJS],
        ['--expose-gc', '--title', 'a name', '--import', REGISTER],
      ]) {
        const workers = parse<Record<string, unknown>>(
          await runNode([...flags, fixture('worker-kinds.js')], { node }),
        );
        const { name, ...kinds } = workers;
        assert.equal(name, 'Worker');
        for (const [kind, report] of Object.entries(kinds)) assert.deepEqual(report, ENGINE, kind);
      }
      const [reference, cluster] = await Promise.all(
        [[], ['--import', REGISTER]].map(async (flags) =>
          parse<{ engine: boolean }>(await runNode([...flags, fixture('cluster.js')], { node })),
        ),
      );
      assert.equal(reference?.engine, false);
      assert.deepEqual(cluster, { ...reference, engine: true });
    });
  });
}
