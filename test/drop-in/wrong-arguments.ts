// Every form with arguments that cannot be: what Node's own throws, and ours, in whatever release of
// Node this is run by.
import * as own from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import * as ours from '../../src/index.js';

/** Both modules are called with arguments that their types forbid. */
// biome-ignore lint/suspicious/noExplicitAny: the wrong arguments are what is tested
type Module = Record<string, any>;
const modules = [own as unknown as Module, ours as unknown as Module];

export const FORMS = [
  'spawn',
  'spawnSync',
  'execFile',
  'execFileSync',
  'fork',
  'exec',
  'execSync',
] as const;

const nothing = (): void => {};
const COMMON: readonly [string, unknown[]][] = [
  ['no file', []],
  ['file: null', [null]],
  ['file: number', [5]],
  ['file: empty', ['']],
  ['file: NUL', ['a\0b']],
  ['args: string', ['true', 'abc']],
  ['args: number', ['true', 5]],
  ['args: true', ['true', true]],
  ['args: NUL', ['true', ['a\0b']]],
  ['options: null', ['true', [], null]],
  ['options: string', ['true', [], 'abc']],
  ['options: a quote', ['true', [], "a'b"]],
  ['options: long', ['true', [], 'x'.repeat(40)]],
  ['options: number', ['true', [], 1]],
  ['options: bigint', ['true', [], 1n]],
  ['options: array', ['true', [], []]],
  ['options: function', ['true', [], nothing]],
];
const OPTIONS: Readonly<Record<string, readonly unknown[]>> = {
  cwd: [5, true, {}, [], 'a\0b', new URL('http://example.org/'), new URL('file://host/x')],
  detached: [1, 'yes', {}],
  uid: ['0', 1.5, 2 ** 31, {}, true],
  gid: ['0', 1.5, 2 ** 31, {}, Number.NaN],
  shell: [1, {}, [], nothing, 'a\0b'],
  argv0: [1, {}, true, 'a\0b'],
  windowsHide: [1, 'x'],
  windowsVerbatimArguments: [0, 'x'],
  env: [{ A: 'a\0b' }, { 'A\0': 'b' }],
  stdio: ['abc', 5, {}, [{}], [true], [nothing], ['ipc', 'ipc'], '', 0, false, null, Number.NaN],
  timeout: [-1, 1.5, '5', {}, Number.NaN, true, 5n, Number.POSITIVE_INFINITY],
  killSignal: ['SIGNOPE', 999, {}, true, -1, nothing],
  signal: [5, 'x', {}, null],
  maxBuffer: [-1, '5', {}, Number.NaN, true, 5n],
  serialization: ['xml', 5],
  input: [5, {}, true],
  encoding: ['nonsense', 5],
};

type Thrown = { readonly name: string; readonly code: unknown; readonly message: string } | null;

/** What a call throws; a child that was started all the same is disposed of. */
function thrown(call: () => unknown): Thrown {
  try {
    const result = call();
    if (result instanceof own.ChildProcess) {
      result.on('error', () => {});
      result.kill('SIGKILL');
    }
    return null;
  } catch (error) {
    const { name, code, message } = error as NodeJS.ErrnoException;
    // Objects are not looked into.
    const gist = message.replace(
      /Received (?:[[{]|an instance|function|\[Function).*/s,
      'Received',
    );
    return { name, code, message: gist };
  }
}

/** The cases in which the two modules differ. */
export function differences(form: (typeof FORMS)[number]): object[] {
  const isShell = form === 'exec' || form === 'execSync';
  const isSync = form.endsWith('Sync');
  const table = isShell
    ? COMMON.map(([name, args]): [string, unknown[]] => [name, args.filter((_, i) => i !== 1)])
    : [...COMMON];
  for (const [name, values] of Object.entries(OPTIONS)) {
    if (name === 'stdio' && form.startsWith('exec') && !isSync) continue;
    for (const value of values) {
      const given = { stdio: form === 'fork' ? [0, 'ignore', 'ignore', 'ipc'] : 'ignore' };
      if (name === 'input' || name === 'encoding') Object.assign(given, { stdio: 'pipe' });
      Object.assign(given, { [name]: value });
      table.push([`${name}: ${String(value)}`, isShell ? ['true', given] : ['true', [], given]]);
    }
  }
  if (!isSync && form !== 'fork') {
    // Words that a sync form passes over.
    table.push(['stdio: [abc]', isShell ? ['true'] : ['true', [], { stdio: ['abc'] }]]);
  }
  if (form === 'execFile' || form === 'exec') {
    table.push(['callback', isShell ? ['true', {}, 5] : ['true', [], {}, 5]]);
  }
  const differing: object[] = [];
  for (const [name, args] of table) {
    const [reference, result] = modules.map((module) => thrown(() => module[form](...args)));
    if (!isDeepStrictEqual(result, reference)) differing.push({ form, name, reference, result });
  }
  return differing;
}
