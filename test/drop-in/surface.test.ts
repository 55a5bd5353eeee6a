import assert from 'node:assert/strict';
import * as own from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as ours from '../../src/index.js';
import { LIBRARY, runNode } from './support.js';
import { differences, FORMS } from './wrong-arguments.js';

/** Both modules are called with arguments that their types forbid. */
// biome-ignore lint/suspicious/noExplicitAny: the wrong arguments are what is tested
type Module = Record<string, any>;
const modules: readonly [string, Module][] = [
  ['own', own as unknown as Module],
  ['ours', ours as unknown as Module],
];
const names = Object.keys(own).filter((name) => name !== 'default' && name !== '_forkChild');

const folder = mkdtempSync(join(tmpdir(), 'safeexec-surface-'));
const denied = join(folder, 'denied');
const interpreterless = join(folder, 'no-interpreter');
writeFileSync(denied, '');
writeFileSync(interpreterless, '#!/does/not/exist\n');
chmodSync(interpreterless, 0o755);
const lateFailures = new Set([interpreterless, folder]);
after(() => rmSync(folder, { recursive: true }));

/** Fields that only our errors have. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['step', 'interpreter']);

/** What a failure looks like, for comparison: without stacks, pids, and what is documented as ours. */
function shape(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message } = error;
  const heading = String(error).replace(message, '');
  const plain: Record<string, unknown> = { name, message, heading };
  for (const [key, value] of Object.entries(error)) {
    if (OWN_FIELDS.has(key) || key === 'pid' || key === 'resourceUsage') continue;
    plain[key] = value instanceof Error ? value.message : (value ?? null);
  }
  // The message names steps other than exec, and a missing interpreter.
  const { step, interpreter } = error as { step?: string; interpreter?: string };
  if (interpreter !== undefined || (step !== undefined && step !== 'exec')) {
    plain.message = String(plain.message).replace(/: [\w ]+ '[^']*' (?:failed|is missing)$/, '');
    if (typeof plain.error === 'string') plain.error = plain.message;
  }
  return plain;
}

/** The keys too: which fields there are, in which order, but for ours. */
function keys(error: unknown): string[] {
  return Object.keys(error as object).filter((key) => !OWN_FIELDS.has(key));
}

describe('exports', () => {
  test('everything that node:child_process has', () => {
    for (const name of names) {
      assert.equal(typeof (ours as Module)[name], 'function', name);
      assert.equal((ours as Module)[name].name, name);
    }
    const { default: whole, ...named } = ours;
    assert.deepEqual(whole, named);
    for (const name of ['exec', 'execFile']) {
      // The name is that of Node 25 and later.
      assert.equal(promisify((ours as Module)[name]).name, name);
    }
    assert.deepEqual(
      names.filter((name) => (own as Module)[name].length !== (ours as Module)[name].length),
      [],
    );
  });

  test('a child is an instance of both ChildProcess classes', async () => {
    const child = ours.spawn('true');
    assert(child instanceof own.ChildProcess);
    assert(child instanceof ours.ChildProcess);
    await new Promise((resolve) => child.once('close', resolve));
    const reference = own.spawn('true');
    const fields = (object: object): string[] =>
      Object.keys(object).filter((key) => key !== 'resourceUsage');
    assert.deepEqual(fields(child).sort(), fields(reference).sort());
    await new Promise((resolve) => reference.once('close', resolve));
  });

  test('a child is announced on the diagnostics channel', async () => {
    const seen: unknown[] = [];
    const listener = (event: unknown): void => {
      seen.push((event as { process: unknown }).process);
    };
    subscribe('child_process', listener);
    const child = ours.spawn('true');
    unsubscribe('child_process', listener);
    assert.deepEqual(seen, [child]);
    await new Promise((resolve) => child.once('close', resolve));
  });

  test('ChildProcess is constructed and spawned as Node’s is', async () => {
    const outcomes = [];
    for (const [, { ChildProcess }] of modules) {
      const child = new ChildProcess();
      const before = { ...child, _handle: null, resourceUsage: null };
      child.spawn({ file: 'true', args: ['true'], stdio: 'ignore' });
      const code = await new Promise((resolve) => child.once('exit', resolve));
      outcomes.push({ keys: Object.keys(before).sort(), code });
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
  });
});

describe('wrong arguments', () => {
  for (const form of FORMS) {
    test(form, () => {
      assert.deepEqual(differences(form), []);
    });
  }
});

/** Failing commands, as every form is given them. */
const failures: [string, string, string[], Module][] = [
  ['ENOENT', 'no-such-program-here', ['a', 'b c'], {}],
  ['ENOENT of a path', '/no/such/program', [], {}],
  ['ENOENT of an interpreter', interpreterless, [], {}],
  ['EACCES', denied, ['x'], {}],
  ['EACCES of a directory', folder, [], {}],
  ['ENOTDIR', '/dev/null/program', [], {}],
  ['a directory that is not there', 'true', [], { cwd: '/no/such/directory' }],
  ['a directory that is none', 'true', [], { cwd: '/dev/null' }],
  ['exit code', 'sh', ['-c', 'echo out; echo err >&2; exit 3'], {}],
  ['signal', 'sh', ['-c', 'echo out; kill -KILL $$'], {}],
  ['timeout', 'sleep', ['600'], { timeout: 50 }],
  ['timeout with a signal', 'sleep', ['600'], { timeout: 50, killSignal: 'SIGKILL' }],
  ['maxBuffer', 'sh', ['-c', 'echo 0123456789; exec sleep 600'], { maxBuffer: 5 }],
  ['maxBuffer of stderr', 'sh', ['-c', 'echo 0123456789 >&2; exec sleep 600'], { maxBuffer: 5 }],
  ['argument list too long', 'true', ['x'.repeat(200_000)], {}],
  ['success', 'echo', ['äöü'], {}],
  ['success, in Buffers', 'echo', ['äöü'], { encoding: 'buffer' }],
  ['success, in hex', 'echo', ['äöü'], { encoding: 'hex' }],
];

describe('failures are those of Node', () => {
  for (const [name, file, args, options] of failures) {
    // With exec, so that no shell stands between: what ends the child must not leave another.
    const command = ['exec', file, ...args.map((argument) => `'${argument}'`)].join(' ');
    test(name, async () => {
      const results = [];
      for (const [, module] of modules) {
        results.push({
          spawn: 'maxBuffer' in options ? null : await spawned(module, file, args, options),
          callback: await new Promise((resolve) => {
            callBack(resolve, (done) => module.execFile(file, args, options, done));
          }),
          exec: await new Promise((resolve) => {
            callBack(resolve, (done) => module.exec(command, options, done));
          }),
          promise: await settled(() => promisify(module.execFile)(file, args, options)),
          execPromise: await settled(() => promisify(module.exec)(command, options)),
          spawnSync: describeResult(module.spawnSync(file, args, options)),
          execFileSync: attempt(() =>
            module.execFileSync(file, args, { stdio: 'pipe', ...options }),
          ),
          execSync: attempt(() => module.execSync(command, { stdio: 'pipe', ...options })),
        });
      }
      assert.deepEqual(results[1], results[0]);
    });
  }

  test('execFileSync passes stderr on when nothing is said of stdio', async () => {
    const outputs = [];
    for (const module of ['node:child_process', LIBRARY]) {
      const code = `import { execFileSync } from '${module}';
        console.log(String(execFileSync('sh', ['-c', 'echo out; echo err >&2'])));`;
      outputs.push(await runNode(['--input-type=module', '-e', code]));
    }
    assert.deepEqual(outputs[1], outputs[0]);
    assert.equal(outputs[0]?.stderr, 'err\n');
  });

  test('abort', async () => {
    const results = [];
    for (const [, module] of modules) {
      const during = new AbortController();
      const before = new AbortController();
      before.abort(new Error('why'));
      const started = module.spawn('sleep', ['600'], { signal: during.signal });
      const events = eventsOf(started);
      started.once('spawn', () => during.abort());
      results.push({
        during: await events,
        before: await eventsOf(module.spawn('sleep', ['600'], { signal: before.signal })),
        promise: await settled(() =>
          promisify(module.execFile)('sleep', ['600'], { signal: before.signal }),
        ),
      });
    }
    assert.deepEqual(results[1], results[0]);
  });
});

test('a timeout holds back neither an error that nobody listens for, nor the end', async () => {
  for (const file of ['no-such-program-here', interpreterless]) {
    const results = [];
    for (const module of ['node:child_process', LIBRARY]) {
      const code = `import { spawn } from '${module}';
        const child = spawn('${file}', { timeout: 1_000_000 });
        process.argv[1] && child.on('error', ({ code }) => console.log(code));
        // Node's own forgets its timer from release 26.12 on.
        ${module === LIBRARY ? '' : "process.argv[1] && child.on('close', () => process.exit());"}`;
      for (const listens of [[], ['listens']]) {
        const args = ['--input-type=module', '-e', code, ...listens];
        const { stderr, ...ended } = await runNode(args);
        results.push({ ...ended, thrown: /^Error: spawn \S+ ENOENT\b/m.test(stderr) });
      }
    }
    assert.deepEqual(results.slice(2), results.slice(0, 2));
    assert.deepEqual(
      results.map(({ thrown }) => thrown),
      [true, false, true, false],
    );
  }
});

test('paths given as bytes', async () => {
  const module = join(folder, 'bytes.cjs');
  writeFileSync(module, 'process.send(process.argv[1])');
  const outputs = [];
  for (const [, { spawnSync, execFileSync, fork }] of modules) {
    const cwd = Buffer.from('/usr');
    const child = fork(Buffer.from(module));
    const [argument] = await once(child, 'message');
    await once(child, 'close');
    outputs.push([String(spawnSync('pwd', { cwd }).stdout), String(execFileSync('pwd', { cwd }))]);
    assert.equal(argument, module);
  }
  assert.deepEqual(outputs[1], outputs[0]);
  // Node's own spawn() drops them.
  const child = ours.spawn('pwd', { cwd: Buffer.from('/usr') as unknown as string });
  assert.equal(await text(child.stdout), '/usr\n');
  for (const cwd of [Buffer.from([0xff]), Buffer.from('a\0b')]) {
    assert.throws(() => (ours as Module).spawn('pwd', { cwd }), TypeError);
  }
});

test('there is nothing to kill where nothing was started', async () => {
  for (const [, { spawn }] of modules) {
    const child = spawn('no-such-program-here');
    assert.equal(child.kill(), false);
    assert.equal(child.killed, false);
    await once(child, 'error');
  }
});

test('no spawn event after an error, whenever the failure was seen', async () => {
  // Only the child finds out that there is no such processor; `direct` knows when it returns.
  for (const executor of ['direct', 'image'] as const) {
    const child = ours.spawn('true', [], { executor, cpus: [1023], stdio: 'ignore' });
    const events = await eventsOf(child);
    assert.deepEqual(
      events.map((event) => (event as unknown[])[0]),
      ['error', 'close'],
    );
  }
});

test('what a child wrote before its end comes before exit', async () => {
  for (const [name, { spawn }] of modules) {
    for (let i = 0; i < 3; i++) {
      const child = spawn('sh', ['-c', 'echo out; echo more >&3'], {
        stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
      });
      const seen: string[] = [];
      child.stdout.on('data', () => seen.push('data'));
      child.stdio[3].on('data', () => seen.push('data'));
      child.on('exit', () => seen.push('exit'));
      // Until it has ended nothing of it is seen: it is a zombie then.
      const stat = `/proc/${child.pid}/stat`;
      while (!/\) Z /.test(readFileSync(stat, 'latin1')));
      await once(child, 'close');
      assert.deepEqual(seen, ['data', 'data', 'exit'], name);
    }
  }
});

describe('promise forms', () => {
  test('the promise has the child, and wrong arguments are thrown', async () => {
    for (const [, module] of modules) {
      for (const form of [promisify(module.exec), promisify(module.execFile)]) {
        const promise = form('true') as Promise<unknown> & { child: own.ChildProcess };
        assert(promise.child instanceof own.ChildProcess);
        assert.deepEqual(await promise, { stdout: '', stderr: '' });
        assert.throws(() => form(5), { code: 'ERR_INVALID_ARG_TYPE' });
      }
    }
  });
});

async function spawned(module: Module, file: string, args: string[], options: Module) {
  let child: own.ChildProcess;
  try {
    child = module.spawn(file, args, options);
  } catch (error) {
    return { thrown: shape(error), keys: keys(error) };
  }
  const started = child.pid !== undefined;
  child.stdout?.resume();
  child.stderr?.resume();
  // What the look-ahead does not see is known when `error` comes: a directory, an interpreter line.
  const known = started && !lateFailures.has(file);
  return {
    started: known,
    file: child.spawnfile,
    args: child.spawnargs,
    events: await eventsOf(child),
  };
}

/** The events of a child until it has closed, with what they carry. */
function eventsOf(child: own.ChildProcess): Promise<unknown[]> {
  const seen: unknown[] = [];
  return new Promise((resolve) => {
    for (const name of ['spawn', 'exit', 'error'] as const) {
      child.on(name, (...args: unknown[]) => {
        seen.push([name, ...args.map(shape)]);
      });
    }
    child.on('close', (...args) => {
      seen.push(['close', ...args]);
      resolve(seen);
    });
  });
}

function callBack(
  resolve: (value: unknown) => void,
  start: (done: (error: unknown, stdout: unknown, stderr: unknown) => void) => unknown,
): void {
  try {
    start((error, stdout, stderr) => {
      resolve({ error: shape(error), keys: error ? keys(error) : [], stdout, stderr });
    });
  } catch (error) {
    resolve({ thrown: shape(error), keys: keys(error) });
  }
}

async function settled(start: () => Promise<unknown>): Promise<unknown> {
  let promise: Promise<unknown>;
  try {
    promise = start();
  } catch (error) {
    return { thrown: shape(error) };
  }
  return promise.then(
    (value) => ({ value }),
    (error) => ({ error: shape(error), keys: keys(error) }),
  );
}

function attempt(call: () => unknown): unknown {
  try {
    return { value: call() };
  } catch (error) {
    return { error: shape(error), keys: keys(error) };
  }
}

function describeResult({ pid, error, ...rest }: Module): unknown {
  // What there is none of is null in Node 20, and undefined in later ones.
  for (const name of ['stdout', 'stderr']) rest[name] ??= null;
  return { started: pid > 0, ...rest, error: shape(error), keys: error ? keys(error) : [] };
}
