import assert from 'node:assert/strict';
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { launch, type SpawnError, type SpawnOptions, spawn, spawnSync } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { children, traces, until } from './observe.js';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-test-'));
after(() => rmSync(folder, { recursive: true }));

function create(name: string, contents: string, mode = 0o755): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, contents);
  chmodSync(path, mode);
  return path;
}

const files = {
  missing: join(folder, 'missing'),
  plain: create('plain', '#!/bin/sh\n', 0o644),
  lost: create('lost', '#!/no/such/interpreter\n'),
  below: join(create('file', ''), 'below'),
  loop: join(folder, 'loop'),
  long: `/${'x'.repeat(300)}`,
  broken: create('broken', `\x7fELF${'\0'.repeat(200)}`),
};
symlinkSync('loop', files.loop);

/** The error of a spawn that fails, whether thrown or emitted; and the child. */
async function failure(file: string, options: SpawnOptions) {
  try {
    const child = spawn(file, ['argument'], options);
    const events: string[] = [];
    for (const name of ['spawn', 'exit']) child.on(name, () => events.push(name));
    const [error] = (await once(child, 'error')) as [SpawnError];
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(events, []);
    return { error, child };
  } catch (thrown) {
    return { error: thrown as SpawnError, child: undefined };
  }
}

const CASES: readonly [keyof typeof files, string, SpawnOptions, string][] = [
  ['missing', 'ENOENT', {}, 'exec'],
  ['plain', 'EACCES', {}, 'exec'],
  ['lost', 'ENOENT', {}, 'exec'],
  ['below', 'ENOTDIR', {}, 'exec'],
  ['loop', 'ELOOP', {}, 'exec'],
  ['long', 'ENAMETOOLONG', {}, 'exec'],
];

/** A program for this machine whose dynamic linker is not there. */
function withoutLinker(): string {
  const bytes = readFileSync(process.execPath);
  const at = bytes.indexOf('/lib');
  assert.ok(at > 0);
  // Of PT_INTERP, which comes first in the file.
  bytes.write('/LIB', at, 'latin1');
  const path = create('unlinked', '');
  writeFileSync(path, bytes);
  return path;
}

for (const executor of EXECUTORS) {
  test(`${executor}: an interpreter that is missing is named`, async () => {
    const linked = withoutLinker();
    const [, linker] = /(\/LIB[^\0]*)\0/.exec(readFileSync(linked, 'latin1')) as string[];
    const tool = create('opt/tool3', '#! /no/such/interpreter -x\n');
    const cases: [string, string | undefined, SpawnOptions][] = [
      [files.lost, '/no/such/interpreter', {}],
      [linked, linker, {}],
      ['tool3', '/no/such/interpreter', { env: { PATH: `/no:${join(tool, '..')}` } }],
      [files.missing, undefined, {}],
      // Relative to a directory that only the child is in.
      ['./lost', undefined, { cwd: folder }],
    ];
    for (const [file, interpreter, options] of cases) {
      const { error } = await failure(file, { ...options, executor });
      const reason =
        interpreter === undefined ? '' : `: its interpreter '${interpreter}' is missing`;
      assert.equal(error.message, `spawn ${file} ENOENT${reason}`);
      assert.deepEqual([error.interpreter, error.step, error.path], [interpreter, 'exec', file]);
      const sync = spawnSync(file, ['x'], { ...options, executor } as object).error as SpawnError;
      assert.deepEqual([sync.interpreter, sync.code], [interpreter, 'ENOENT']);
      assert.equal(sync.message, `spawnSync ${file} ENOENT${reason}`);
    }
    assert.throws(() => launch({ path: files.lost, executor }), {
      interpreter: '/no/such/interpreter',
      path: files.lost,
      message: `ENOENT: exec (execve) '${files.lost}' failed: its interpreter '/no/such/interpreter' is missing`,
    });
  });

  for (const [name, code, options, step] of CASES) {
    test(`${executor}: ${name} gives ${code}`, async () => {
      const file = files[name];
      const { error } = await failure(file, { ...options, executor });
      assert.deepEqual([error.code, error.step], [code, step]);
      assert.ok((error.errno ?? 0) < 0);
      assert.ok(error.syscall?.startsWith('spawn'));
    });
  }

  test(`${executor}: a missing file is known at once, as in Node`, async () => {
    const { error, child } = await failure(files.missing, { executor });
    const node = nodeSpawn(files.missing, ['argument']);
    const [theirs] = (await once(node, 'error')) as [SpawnError];
    assert.equal(child?.pid, undefined);
    assert.equal(child?.exitCode, node.exitCode);
    for (const field of ['message', 'code', 'errno', 'syscall', 'path', 'spawnargs'] as const) {
      assert.deepEqual(error[field], theirs[field], field);
    }
  });

  test(`${executor}: a directory that is not there, or is none`, async () => {
    for (const [cwd, code] of [
      [files.missing, 'ENOENT'],
      [files.plain, 'ENOTDIR'],
      [files.below, 'ENOTDIR'],
    ]) {
      const { error } = await failure('/bin/true', { cwd, executor });
      assert.deepEqual([error.code, error.step], [code, 'chdir']);
      assert.ok(error.message.includes(String(cwd)));
    }
  });

  test(`${executor}: a relative file is looked for in cwd`, async () => {
    create('sub/here', '#!/bin/sh\necho found\n');
    const child = spawn('./here', { cwd: join(folder, 'sub'), executor });
    assert.equal(await text(child.stdout as Readable), 'found\n');
  });

  test(`${executor}: failures leave nothing behind`, async () => {
    const attempt = async () => {
      for (const file of Object.values(files)) {
        if (file !== files.broken) await failure(file, { executor });
      }
      await failure('/bin/true', { cwd: files.missing, executor });
    };
    await attempt();
    // Of an earlier test only the output was awaited.
    await until('earlier children are reaped', () => children().size === 0);
    const before = traces();
    await attempt();
    assert.deepEqual(traces(), before);
  });

  test(`${executor}: a file without an interpreter line is run by /bin/sh`, async () => {
    const script = create('script', 'printf "%s|" "$0" "$@"\n');
    for (const args of [[], ['a b', '', '*']]) {
      const child = spawn(script, args, { argv0: 'another', executor });
      assert.equal(await text(child.stdout as Readable), `${[script, ...args].join('|')}|`);
    }
  });

  test(`${executor}: the search goes on after ENOENT and ENOTDIR, and remembers EACCES`, async () => {
    const good = create('good/tool', '#!/bin/sh\necho good\n');
    create('bad/tool', '', 0o644);
    mkdirSync(join(folder, 'dir/tool'), { recursive: true });
    const run = async (...path: string[]) => {
      const PATH = path.map((name) => join(folder, name)).join(':');
      const child = spawn('tool', { env: { PATH }, executor });
      const failed = new Promise<SpawnError>((resolve) => child.on('error', resolve));
      const output = text(child.stdout as Readable);
      return Promise.race([failed, once(child, 'exit').then(() => output)]);
    };
    const code = async (...path: string[]) => ((await run(...path)) as SpawnError).code;
    assert.equal(await run('good'), 'good\n', good);
    assert.equal(await run('missing', 'file', 'bad', 'dir', 'good'), 'good\n');
    assert.equal(await code('missing', 'file'), 'ENOENT');
    assert.equal(await code('bad', 'missing'), 'EACCES');
    assert.equal(await code('missing', 'dir', 'missing'), 'EACCES');
    assert.equal(await code('missing', 'bad', 'dir'), 'EACCES');
  });

  test(`${executor}: a candidate that only the kernel refuses does not end the search`, async () => {
    create('lost-here/tool2', '#!/no/such/interpreter\n');
    create('good/tool2', '#!/bin/sh\necho "good $@"\n');
    const PATH = ['lost-here', 'good'].map((name) => join(folder, name)).join(':');
    const child = spawn('tool2', ['x'], { env: { PATH }, executor });
    assert.equal(await text(child.stdout as Readable), 'good x\n');
  });

  test(`${executor}: an empty element of PATH is the working directory`, async () => {
    create('work/local', '#!/bin/sh\necho local\n');
    for (const PATH of [':/no', '/no:', '/no::/no', '']) {
      const child = spawn('local', { env: { PATH }, cwd: join(folder, 'work'), executor });
      assert.equal(await text(child.stdout as Readable), 'local\n', PATH);
    }
  });

  test(`${executor}: without PATH, /bin and /usr/bin are searched`, async () => {
    const child = spawn('echo', ['x'], { env: {}, executor });
    assert.equal(await text(child.stdout as Readable), 'x\n');
  });

  test(`${executor}: a broken executable`, async () => {
    // What is neither a program nor marked as a script goes to /bin/sh, which refuses it.
    const child = spawn(files.broken, { executor, stdio: 'ignore' });
    const [code] = await once(child, 'exit');
    assert.notEqual(code, 0);
  });
}
