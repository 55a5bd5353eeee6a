import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { binding } from '../../src/launch/binding.js';
import { bindingFileName, bindingImage, TABLE_NAMES } from '../../src/launch/binding-image.js';
import { MACHINES } from '../../src/machine/index.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const compiled = join(root, 'build/src');

const folder = mkdtempSync(join(tmpdir(), 'safeexec-binding-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of the compiled sources that has no binding to load, and emits one. */
function copyWithoutBinding(name: string): string {
  const copy = join(folder, name);
  cpSync(compiled, copy, {
    recursive: true,
    filter: (source) => basename(source) !== 'binding',
  });
  writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
  assert.ok(existsSync(join(copy, 'launch/binding.js')) && !existsSync(join(copy, 'binding')));
  return copy;
}

/** Runs a module in a process of its own and gives back what it prints, as JSON. */
function evaluate(copy: string, source: string): unknown {
  const file = join(copy, 'main.js');
  writeFileSync(file, source);
  return JSON.parse(execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 120_000 }));
}

/** Code of a module: what a spawned child prints, and where the binding came from. */
const TRY = `
  async function attempt(copy) {
    const { binding } = await import(copy + '/launch/binding.js');
    const { spawn } = await import(copy + '/index.js');
    const child = spawn('echo', ['from the child']);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => { output += text; });
    const code = await new Promise((resolve, reject) => {
      child.on('error', reject).on('close', resolve);
    });
    const { source, functions } = binding();
    return { source, code, output, build: functions.get('build') };
  }`;

describe('the shipped binding', () => {
  for (const machine of Object.values(MACHINES)) {
    for (const place of ['dist', 'build/src']) {
      test(`for ${machine.name} in ${place} is what is emitted`, () => {
        const file = join(root, place, 'binding', bindingFileName(machine));
        assert.ok(readFileSync(file).equals(bindingImage(machine).bytes));
      });
    }

    test(`for ${machine.name} is emitted the same each time`, () => {
      const [first, second] = [bindingImage(machine), bindingImage(machine)];
      assert.deepEqual(first.bytes, second.bytes);
      assert.equal(first.build, second.build);
      assert.notEqual(first.build, 0);
    });
  }

  test('is there for the supported machines, and for no other', () => {
    const expected = Object.values(MACHINES).map(bindingFileName).sort();
    for (const place of ['dist', 'build/src']) {
      assert.deepEqual(readdirSync(join(root, place, 'binding')).sort(), expected);
    }
  });

  test('is the one that is loaded', () => {
    const { source, machine, functions } = binding();
    assert.equal(source, join(compiled, 'binding', bindingFileName(machine)));
    assert.equal(functions.get('build'), bindingImage(machine).build);
  });

  test('stays loaded when the Worker that loaded it has ended', () => {
    // The waiter thread runs in its code, and is woken by the end of what the Worker left behind.
    const copy = join(folder, 'worker-alone');
    cpSync(compiled, copy, { recursive: true });
    writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
    const source = `
      import { Worker, isMainThread, parentPort } from 'node:worker_threads';
      import { readFileSync } from 'node:fs';
      if (isMainThread) {
        const worker = new Worker(new URL(import.meta.url));
        let pid;
        worker.on('message', (message) => { pid = message; });
        await new Promise((resolve, reject) => worker.on('error', reject).on('exit', resolve));
        const mapped = /safeexec-linux.*[.]node/.test(readFileSync('/proc/self/maps', 'utf8'));
        process.kill(pid, 'SIGKILL');
        // Until it is reaped, by the waiter.
        for (;;) {
          try { process.kill(pid, 0); } catch { break; }
          await new Promise(setImmediate);
        }
        console.log(JSON.stringify({ mapped }));
      } else {
        const { spawn } = await import(${JSON.stringify(`${copy}/index.js`)});
        const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
        child.on('spawn', () => { parentPort.postMessage(child.pid); child.unref(); });
      }`;
    assert.deepEqual(evaluate(copy, source), { mapped: true });
  });

  test('tells what its table says', () => {
    const { functions } = binding();
    assert.deepEqual([...functions.keys()], TABLE_NAMES);
    for (const name of ['run', 'napi_create_function', 'environ', 'calloc', 'pthread_create']) {
      assert.notEqual(functions.get(name), 0, name);
    }
  });
});

describe('the emitted binding', () => {
  const emitted = {
    source: 'emitted',
    code: 0,
    output: 'from the child\n',
    build: bindingImage(binding().machine).build,
  };

  test('takes the place of a file that is missing', () => {
    const copy = copyWithoutBinding('missing');
    const source = `${TRY} console.log(JSON.stringify(await attempt(${JSON.stringify(copy)})));`;
    assert.deepEqual(evaluate(copy, source), emitted);
  });

  test('works in Workers, one after the other and at the same time', () => {
    const copy = copyWithoutBinding('worker');
    const source = `
      import { Worker, isMainThread, parentPort } from 'node:worker_threads';
      ${TRY}
      const copy = ${JSON.stringify(copy)};
      const inWorker = () => new Promise((resolve, reject) => {
        const worker = new Worker(new URL(import.meta.url));
        let result;
        worker.on('message', (message) => { result = message; });
        worker.on('error', reject).on('exit', () => resolve(result));
      });
      if (isMainThread) {
        const results = [await inWorker(), await attempt(copy)];
        results.push(...await Promise.all([inWorker(), inWorker()]));
        console.log(JSON.stringify(results));
      } else parentPort.postMessage(await attempt(copy));`;
    assert.deepEqual(evaluate(copy, source), [emitted, emitted, emitted, emitted]);
  });

  test('is the right one where another one had the same descriptor number', () => {
    // The dynamic linker knows files by their path, here /proc/PID/fd/N with the same N.
    const [first, second] = [copyWithoutBinding('first'), copyWithoutBinding('second')];
    const file = join(second, 'launch/binding-image.js');
    const code = readFileSync(file, 'utf8');
    assert.ok(code.includes('0x811c9dc5'));
    writeFileSync(file, code.replace('0x811c9dc5', '0x811c9dc6'));
    const source = `
      ${TRY}
      const paths = [];
      const { dlopen } = process;
      process.dlopen = (module, path, flags) => {
        if (path.startsWith('/proc/')) paths.push(path);
        return dlopen.call(process, module, path, flags);
      };
      const load = async (copy) => {
        const { binding } = await import(copy + '/launch/binding.js');
        const { bindingImage } = await import(copy + '/launch/binding-image.js');
        const { machine, functions } = binding();
        return { found: functions.get('build'), expected: bindingImage(machine).build };
      };
      const [first, second] = [${JSON.stringify(first)}, ${JSON.stringify(second)}];
      const builds = [await load(first), await load(second)];
      const results = [await attempt(first), await attempt(second)];
      console.log(JSON.stringify({ paths, builds, results }));`;
    const { paths, builds, results } = evaluate(first, source) as {
      paths: string[];
      builds: { found: number; expected: number }[];
      results: (typeof emitted)[];
    };
    for (const { found, expected } of builds) assert.equal(found, expected);
    assert.notEqual(builds[0]?.found, builds[1]?.found);
    // That the number was indeed reused: the second was given the first, and looked again.
    assert.equal(paths.length, 3);
    assert.equal(paths[0], paths[1]);
    assert.deepEqual(
      results.map(({ build, ...rest }) => rest),
      [emitted, emitted].map(({ build, ...rest }) => rest),
    );
  });

  test('is not emitted where the file is there but cannot be used', () => {
    const copy = copyWithoutBinding('damaged');
    cpSync(join(compiled, 'binding'), join(copy, 'binding'), { recursive: true });
    const file = join(copy, 'binding', bindingFileName(binding().machine));
    chmodSync(file, 0o644);
    writeFileSync(file, 'not an ELF file');
    const source = `
      const { binding } = await import(${JSON.stringify(`${copy}/launch/binding.js`)});
      const messages = [];
      for (let i = 0; i < 2; i++) {
        try { binding(); } catch (error) { messages.push([error.code, error.message]); }
      }
      console.log(JSON.stringify(messages));`;
    const messages = evaluate(copy, source) as [string, string][];
    assert.equal(messages.length, 2);
    assert.deepEqual(messages[0], messages[1]);
    assert.equal(messages[0]?.[0], 'ERR_SAFEEXEC_UNSUPPORTED');
    assert.match(messages[0]?.[1] ?? '', /the native binding could not be loaded/);
  });
});
