import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { fixture, parse, REGISTER, REGISTER_CJS, runNode } from './support.js';

/** Says whether node:child_process is the engine's, and the same by whatever way it is reached. */
const REPORT_MODULE = `
  import { spawn, ChildProcess } from 'node:child_process';
  import childProcess from 'child_process';
  import * as namespace from 'node:child_process';
  import { createRequire } from 'node:module';
  const common = createRequire(import.meta.url)('child_process');
  const child = spawn('true');
  child.on('exit', () => {
    console.log(JSON.stringify({
      engine: 'resourceUsage' in child,
      same: [childProcess, namespace, common].every((module) => module.spawn === spawn),
      classes: child instanceof ChildProcess,
    }));
  });`;
const REPORT_COMMONJS = `
  const { spawn, ChildProcess } = require('child_process');
  const child = spawn('true');
  child.on('exit', () => console.log(JSON.stringify({
    engine: 'resourceUsage' in child,
    same: spawn === require('node:child_process').spawn,
    classes: child instanceof ChildProcess,
  })));`;
const ENGINE = { engine: true, same: true, classes: true };
const NONE = { ...ENGINE, engine: false };
const moduleArguments = ['--input-type=module', '-e', REPORT_MODULE];
const commonArguments = ['-e', REPORT_COMMONJS];

describe('ways to preload', () => {
  const ways: [string, string[], NodeJS.ProcessEnv][] = [
    ['--import', ['--import', REGISTER], {}],
    ['--require', ['--require', REGISTER_CJS], {}],
    ['NODE_OPTIONS with --import', [], { NODE_OPTIONS: `--import=${REGISTER}` }],
    ['NODE_OPTIONS with --require', [], { NODE_OPTIONS: `--require=${REGISTER_CJS}` }],
    ['both', ['--import', REGISTER, '--require', REGISTER_CJS], {}],
  ];
  for (const [way, flags, env] of ways) {
    test(way, async () => {
      for (const args of [moduleArguments, commonArguments]) {
        const ended = await runNode([...flags, ...args], { env });
        assert.deepEqual(parse(ended), ENGINE);
        assert.equal(ended.stderr, '');
      }
    });
  }

  test('by the package’s name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'safeexec-name-'));
    try {
      const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
      cpSync(join(root, 'package.json'), join(folder, 'package.json'));
      symlinkSync(join(root, 'dist'), join(folder, 'dist'));
      for (const flag of ['--import', '--require']) {
        const flags = ['--preserve-symlinks', flag, 'safeexec/register'];
        const ended = await runNode([...flags, ...commonArguments], { cwd: folder });
        assert.deepEqual(parse(ended), ENGINE);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('the exit code of a program stays what it is', async () => {
    const ended = await runNode(['--import', REGISTER, '-e', 'process.exitCode = 7']);
    assert.deepEqual(ended, { code: 7, signal: null, stdout: '', stderr: '' });
  });
});

describe('Worker threads', () => {
  const program = fixture('worker-kinds.js');
  // Those of the whole process may not be given to a Worker, and are in force in it.
  const wide = ['--expose-gc', '--max-old-space-size=2000', '--title', 'a name', '--title=a, b'];
  for (const [way, flags, env] of [
    ['--import', ['--import', REGISTER], {}],
    ['--require', ['--require', REGISTER_CJS], {}],
    ['NODE_OPTIONS', [], { NODE_OPTIONS: `--import=${REGISTER}` }],
    ['beside flags of the process', [...wide, '--import', REGISTER], {}],
  ] as const) {
    test(way, async () => {
      const engine = { async: true, sync: 'sync\n' };
      assert.deepEqual(parse(await runNode([...flags, program], { env })), {
        file: engine,
        eval: engine,
        'eval with execArgv': engine,
        'file with execArgv': engine,
        'file with an own environment': engine,
        nested: engine,
        name: 'Worker',
      });
    });
  }
});

describe('SAFEEXEC', () => {
  test('off leaves Node’s functions', async () => {
    const ended = await runNode(['--import', REGISTER, ...moduleArguments], {
      env: { SAFEEXEC: 'off' },
    });
    assert.deepEqual(parse(ended), NONE);
    assert.equal(ended.stderr, '');
  });

  test('SAFEEXEC_DEBUG gives one line for each launch', async () => {
    const code = `
      const { exec, execFileSync, fork, spawn, spawnSync } = require('child_process');
      spawn('no-such-program-here').on('error', () => {});
      spawn('true', ['a b']);
      spawnSync('true');
      execFileSync('true');
      exec('true');
      fork('-e', ['0'], { execPath: 'true' });`;
    const { stderr, code: status } = await runNode(['--import', REGISTER, '-e', code], {
      env: { SAFEEXEC_DEBUG: '1' },
    });
    assert.equal(status, 0);
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 5, stderr);
    for (const line of lines) {
      assert.match(line, /^safeexec\[\d+\] image \d+\.\d{3} ms \/\S+ \[.*\]: pid \d+$/);
    }
    assert.match(lines[0] ?? '', /\/true \["true","a b"\]: pid/);
  });
});

describe('where the binding cannot be loaded', () => {
  const expectFallback = (ended: Awaited<ReturnType<typeof runNode>>): void => {
    assert.deepEqual(parse(ended), NONE);
    const warnings = ended.stderr.match(/SafeexecWarning/g) ?? [];
    assert.equal(warnings.length, 1, ended.stderr);
    assert.match(ended.stderr, /node:child_process stays as it is/);
    assert.match(ended.stderr, /SAFEEXEC_UNAVAILABLE/);
  };

  test('one warning, and Node’s functions', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'safeexec-broken-'));
    try {
      const source = dirname(fileURLToPath(REGISTER));
      cpSync(source, folder, { recursive: true });
      writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
      const bindings = readdirSync(join(folder, 'binding'));
      assert.notEqual(bindings.length, 0);
      for (const file of bindings) writeFileSync(join(folder, 'binding', file), '');
      const broken = pathToFileURL(join(folder, 'register.js')).href;
      expectFallback(await runNode(['--import', broken, ...moduleArguments]));
      expectFallback(
        await runNode(['--require', join(folder, 'register.cjs'), ...commonArguments]),
      );
      // The warning is for the process, not for each of its threads.
      const worker = `
        const { Worker } = require('worker_threads');
        new Worker(\`console.log('resourceUsage' in require('child_process').spawn('true'))\`, { eval: true });`;
      const ended = await runNode(['--import', broken, '-e', worker]);
      assert.equal(ended.stdout, 'false\n');
      assert.equal(ended.stderr.match(/SafeexecWarning/g)?.length, 1, ended.stderr);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('under Node’s permission model', async (t) => {
    const flag = ['--permission', '--experimental-permission'].find((name) =>
      process.allowedNodeEnvironmentFlags.has(name),
    );
    if (flag === undefined) return t.skip('this Node has no permission model');
    // Native add-ons are forbidden unless they are allowed.
    const quiet = ['--disable-warning=ExperimentalWarning', '--disable-warning=SecurityWarning'];
    const allowed = ['--allow-fs-read=*', '--allow-child-process'];
    const flags = [flag, ...allowed, ...quiet, '--import', REGISTER];
    expectFallback(await runNode([...flags, ...commonArguments]));
    return undefined;
  });
});

describe('cluster', () => {
  test('workers share a port, talk, disconnect and exit as without', async () => {
    const results = [];
    for (const flags of [[], ['--import', REGISTER]]) {
      for (const policy of ['rr', 'none']) {
        const env = { NODE_CLUSTER_SCHED_POLICY: policy };
        const ended = await runNode([...flags, fixture('cluster.js')], { env });
        assert.equal(ended.stderr, '');
        results.push(parse<{ engine: boolean }>(ended));
      }
    }
    assert.deepEqual(
      results.map(({ engine }) => engine),
      [false, false, true, true],
    );
    const [first, ...others] = results.map(({ engine: _, ...rest }) => rest);
    for (const other of others) assert.deepEqual(other, first);
  });
});
