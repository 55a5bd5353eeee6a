import assert from 'node:assert/strict';
import type { SpawnOptions } from 'node:child_process';
import * as own from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import * as ours from '../../src/index.js';
import { observe, type Spawn } from './observe-child.js';

const folder = mkdtempSync(join(tmpdir(), 'safeexec-differential-'));
const directory = join(folder, 'a directory\nof äöü');
const file = join(folder, 'file');
mkdirSync(directory);
writeFileSync(file, 'from a file');
after(() => rmSync(folder, { recursive: true }));
const isRoot = process.getuid?.() === 0;

const text = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .map((value) => value.replaceAll('\0', ' '));
const argument = fc.oneof(text, fc.constantFrom('', ' ', 'a b', '"\'$x`', 'two\nlines', '-e', '*'));
const variable = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,6}$/);
/** Files to open for a child, one after the other for both: with the flags. */
const FILES = {
  readable: [file, 'r'],
  both: [join(folder, 'both'), 'w+'],
  nothing: ['/dev/null', 'r+'],
} as const;
const descriptor = fc.constantFrom<keyof typeof FILES>('readable', 'both', 'nothing');
const element = (index: number) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('pipe' as const, 'ignore' as const) },
    fc.constantFrom('overlapped' as const, null, undefined),
    index < 3 ? fc.constantFrom('inherit' as const, 0, 1, 2) : descriptor,
    descriptor,
  );
const stdio = fc.oneof(
  fc.constantFrom(undefined, 'pipe' as const, 'ignore' as const, 'overlapped' as const),
  // Without inherited output: the child would write among the results of the tests.
  fc
    .tuple(element(0), element(3), element(3), element(3), element(3), element(3))
    .chain((all) => fc.integer({ min: 0, max: all.length }).map((length) => all.slice(0, length))),
);
const id = isRoot
  ? fc.option(fc.constantFrom(0, 1, 1000, 65534), { nil: undefined })
  : fc.constant(undefined);
type Generated = Omit<SpawnOptions, 'stdio'> & { stdio?: unknown };
const options: fc.Arbitrary<Generated> = fc.record(
  {
    stdio,
    cwd: fc.constantFrom(undefined, '', '/', directory, pathToFileURL(directory)),
    env: fc.option(
      fc.dictionary(variable, fc.oneof(text, fc.constant(undefined)), { maxKeys: 5 }),
      { nil: undefined },
    ),
    argv0: fc.option(text, { nil: undefined }),
    detached: fc.boolean(),
    shell: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constantFrom(true, '/bin/sh')),
    uid: id,
    gid: id,
    windowsHide: fc.boolean(),
  },
  { requiredKeys: [] },
);

/** Which of a child's descriptors are pipes to its parent, and how many descriptors it is given. */
function asked({ stdio: given = 'pipe' }: Generated) {
  const list = Array.isArray(given) ? [...given] : [given, given, given];
  while (list.length < 3) list.push(undefined);
  const isPipe = list.map(
    (item, fd) =>
      item === 'pipe' || item === 'overlapped' || ((item === null || item === undefined) && fd < 3),
  );
  return { isPipe, count: list.length };
}

/** Observes a child with files of its own: where one is read or written is not shared. */
async function observeAlone(spawn: unknown, args: readonly string[], given: Generated) {
  const fds: number[] = [];
  const open = (item: unknown): unknown => {
    if (typeof item !== 'string' || !Object.hasOwn(FILES, item)) return item;
    const [path, flags] = FILES[item as keyof typeof FILES];
    const fd = openSync(path, flags);
    fds.push(fd);
    return fd;
  };
  try {
    const opened = Array.isArray(given.stdio) ? given.stdio.map(open) : given.stdio;
    // This process's own streams are not the child's to read: they may never end.
    const input = Array.isArray(opened) ? opened[0] : 'pipe';
    const reads = input !== 'inherit' && !(typeof input === 'number' && input < 3);
    const all = { ...given, stdio: opened } as SpawnOptions;
    return await observe(spawn as Spawn, [reads ? 'read' : 'leave', ...args], all);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/**
 * What is meant to differ, and is documented: the standard streams that are pipes are real pipes,
 * each for one direction, where Node has sockets.
 */
function withoutPipes(
  descriptors: Record<number, string>,
  { isPipe, count }: ReturnType<typeof asked>,
  kind: RegExp,
): (string | undefined)[] {
  return Array.from({ length: count }, (_, fd) => {
    if (!isPipe[fd]) return descriptors[fd];
    assert.match(descriptors[fd] ?? 'closed', fd > 2 ? /^socket:\S+ 2 / : kind);
    return 'pipe';
  });
}

test('a child and its parent see what they see with Node', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(argument, { maxLength: 5 }), options, async (args, given) => {
      const reference = await observeAlone(own.spawn, args, given);
      const result = await observeAlone(ours.spawn, args, given);
      assert.deepEqual(result.child, reference.child);
      assert.deepEqual(result.parent, reference.parent);
      const wanted = asked(given);
      assert.deepEqual(
        withoutPipes(result.descriptors, wanted, /^pipe:\S+ [01] blocking/),
        withoutPipes(reference.descriptors, wanted, /^socket:\S+ 2 /),
      );
      // And nothing that was not asked for.
      assert(Object.keys(result.descriptors).every((fd) => Number(fd) < wanted.count));
    }),
    { numRuns: 60, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
  );
});

const SYNC_SCRIPT = 'cat; printf "%s|" "$0" "$@"; printf %s "$A" >&2; echo x >&3; pwd; exit $CODE';

test('the sync forms give what Node’s give', () => {
  const syncOptions = fc.record(
    {
      input: fc.oneof(text, fc.uint8Array({ maxLength: 9 }), fc.constant(undefined)),
      encoding: fc.constantFrom(
        'utf8',
        'hex',
        'latin1',
        'buffer',
        undefined,
      ) as fc.Arbitrary<'utf8'>,
      cwd: fc.constantFrom(undefined, '/', directory),
      maxBuffer: fc.constantFrom(undefined, 0, 1 << 20),
      argv0: fc.option(text, { nil: undefined }),
      stdio: fc.constantFrom(
        undefined,
        'pipe' as const,
        ['pipe', 'pipe', 'pipe', 'pipe'] as const,
        ['pipe', 'pipe', 'ignore', 'ignore', 'pipe'] as const,
        ['ignore', 'pipe', 'pipe'] as const,
      ),
      uid: id,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      fc.array(argument, { maxLength: 4 }),
      syncOptions,
      fc.record({ A: text, CODE: fc.constantFrom('0', '3') }),
      (args, given, env) => {
        // A string cannot be in the encoding `buffer`: Node refuses it, we take it for UTF-8.
        fc.pre(typeof given.input !== 'string' || (given.encoding as string) !== 'buffer');
        const [reference, result] = [own, ours].map((module) => {
          const spawnSync = module.spawnSync as typeof own.spawnSync;
          const all = { env, ...given } as own.SpawnSyncOptions;
          return { ...spawnSync('/bin/sh', ['-c', SYNC_SCRIPT, ...args], all), pid: 0 };
        });
        assert.deepEqual(result, reference);
      },
    ),
    { numRuns: 40, interruptAfterTimeLimit: 30_000 },
  );
});
