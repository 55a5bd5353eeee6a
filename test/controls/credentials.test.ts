import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readControls } from '../../src/cli/flags/index.js';
import { UsageError } from '../../src/cli/usage.js';
import { capabilityName, capabilityNumbers } from '../../src/controls/capabilities.js';
import { CREDENTIALS, type CredentialOptions } from '../../src/controls/credentials.js';
import { prepareControls } from '../../src/controls/index.js';
import {
  type Capability,
  type LaunchError,
  launch,
  run,
  spawn,
  UnsupportedError,
} from '../../src/index.js';
import { statusOf, traces } from '../process/observe.js';

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'only root may become somebody else';
const ID = 65_534;

const capabilitiesIn = (field: string): number[] => {
  const set = BigInt(`0x${statusOf('self').get(field)}`);
  return Array.from({ length: 41 }, (_, n) => n).filter((n) => set & (1n << BigInt(n)));
};
const mask = (...names: string[]): string => {
  const numbers = capabilityNumbers(names, 'names') as readonly number[];
  return numbers
    .reduce((sum, n) => sum | (1n << BigInt(n)), 0n)
    .toString(16)
    .padStart(16, '0');
};

const FIELDS = /^(Uid|Gid|Groups|Cap\w+|NoNewPrivs):[ \t]*(.*?)[ \t]*$/gm;
const fieldsOf = (status: string): Record<string, string> =>
  Object.fromEntries([...status.matchAll(FIELDS)].map(([, name, value]) => [name, value]));

/** What a child sees of itself. */
async function seen(options: CredentialOptions): Promise<Record<string, string>> {
  const { stdout } = await run('/bin/cat', ['/proc/self/status'], { ...options, cwd: '/' });
  return fieldsOf(stdout);
}

const own = isRoot
  ? fieldsOf([...statusOf('self')].map((pair) => pair.join(':\t')).join('\n'))
  : {};
const NONE = '0'.repeat(16);
const four = (id: number): string => Array(4).fill(id).join('\t');

describe('a child has what was asked for, and exec has not taken it', { skip }, () => {
  const cases: readonly (readonly [CredentialOptions, Record<string, string | undefined>])[] = [
    [{ uid: ID }, { Uid: four(ID), Gid: own.Gid, Groups: '', CapEff: NONE, CapBnd: own.CapBnd }],
    [{ gid: 7 }, { Uid: own.Uid, Gid: four(7), Groups: '', CapEff: own.CapEff }],
    [{ groups: [9, 4_294_967_294] }, { Groups: '9 4294967294', Uid: own.Uid }],
    [
      { uid: 5, gid: 6, groups: [] },
      { Uid: four(5), Gid: four(6), Groups: '' },
    ],
    [{ noNewPrivileges: true }, { NoNewPrivs: '1', CapEff: own.CapEff }],
    [
      { uid: ID, capabilities: { ambient: ['CAP_CHOWN', 'syslog'] } },
      {
        Uid: four(ID),
        ...Object.fromEntries(
          ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map((set) => [set, mask('chown', 'syslog')]),
        ),
        CapBnd: own.CapBnd,
      },
    ],
    [
      { uid: ID, capabilities: { ambient: 'all' }, noNewPrivileges: true },
      { CapEff: own.CapPrm, CapPrm: own.CapPrm, CapAmb: own.CapPrm, NoNewPrivs: '1' },
    ],
    [
      { capabilities: { bounding: [] } },
      { CapBnd: NONE, CapPrm: NONE, CapEff: NONE, Uid: own.Uid },
    ],
    [
      { capabilities: { bounding: ['kill'], inheritable: ['kill'], permitted: ['kill'] } },
      { CapBnd: mask('kill'), CapPrm: mask('kill'), CapEff: mask('kill'), CapInh: mask('kill') },
    ],
    [
      { uid: ID, capabilities: { inheritable: ['kill'] } },
      { CapInh: mask('kill'), CapPrm: NONE, CapEff: NONE, CapAmb: NONE },
    ],
    [{ securebits: ['noroot'] }, { Uid: own.Uid, CapPrm: NONE, CapEff: NONE }],
    [
      { uid: ID, securebits: ['noroot', 'noroot_locked'], capabilities: { ambient: ['kill'] } },
      { Uid: four(ID), CapEff: mask('kill') },
    ],
    [
      { securebits: ['no_cap_ambient_raise'], capabilities: { ambient: ['kill'] } },
      { CapAmb: mask('kill') },
    ],
  ];
  for (const [options, expected] of cases) {
    test(JSON.stringify(options), async () => {
      const status = await seen(options);
      const relevant = Object.keys(expected).map((name) => [name, status[name]]);
      assert.deepEqual(Object.fromEntries(relevant), expected);
    });
  }

  test('launch() and the sync forms too', async () => {
    const { spawnSync } = await import('../../src/index.js');
    const ids = { uid: 4_294_967_294, gid: 4_294_967_294, groups: [3] };
    const check = 'test "$(id -u) $(id -g) $(id -G)" = "4294967294 4294967294 4294967294 3"';
    const child = launch({ path: '/bin/sh', argv: ['sh', '-c', check], ...ids });
    assert.equal((await child.exited)?.exitCode, 0);
    const result = spawnSync('/usr/bin/id', ['-G'], { uid: 5, gid: 6, groups: [8] });
    assert.equal(String(result.stdout), '6 8\n');
  });
});

test('setpriv makes the same of the same', { skip }, async (t) => {
  try {
    execFileSync('setpriv', ['--version']);
  } catch {
    t.skip('setpriv is not installed');
    return;
  }
  const there = capabilitiesIn('CapPrm').map((n) => capabilityName(n).slice(4).toLowerCase());
  const some = fc.uniqueArray(fc.constantFrom(...there), { maxLength: 5 }) as fc.Arbitrary<
    Capability[]
  >;
  const option = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const options = fc
    .record({
      uid: option(fc.constantFrom(0, 1, ID)),
      gid: option(fc.constantFrom(0, 1, ID)),
      groups: fc.uniqueArray(fc.constantFrom(1, 2, 3_000_000_000), { maxLength: 3 }),
      ambient: option(some),
      inheritable: some,
      bounding: some,
      limit: fc.boolean(),
      noNewPrivileges: fc.boolean(),
      securebits: option(fc.constantFrom(['noroot'], ['noroot', 'noroot_locked'])),
    })
    .map(({ ambient, inheritable, bounding, limit, ...rest }) => {
      const inner = [...new Set([...inheritable, ...(ambient ?? [])])];
      const outer = [...new Set([...inner, ...bounding])];
      const sets = { inheritable: inner, ...(ambient ? { ambient } : {}) };
      return {
        ...rest,
        capabilities: { ...sets, ...(limit ? { bounding: outer } : {}) },
      } as CredentialOptions;
    });
  const plus = (set: readonly string[]): string =>
    ['-all', ...set.map((name) => `+${name}`)].join();
  await fc.assert(
    fc.asyncProperty(options, async (given) => {
      const { uid, gid, groups = [], capabilities = {}, securebits, noNewPrivileges } = given;
      const { bounding, inheritable = [], ambient } = capabilities;
      const args = [
        ...(uid === undefined ? [] : ['--reuid', `${uid}`]),
        ...(gid === undefined ? [] : ['--regid', `${gid}`]),
        ...(groups.length === 0 ? ['--clear-groups'] : ['--groups', groups.join()]),
        ...(bounding === undefined ? [] : ['--bounding-set', plus(bounding as string[])]),
        ...['--inh-caps', plus(inheritable as string[])],
        ...(ambient === undefined ? [] : ['--ambient-caps', plus(ambient as string[])]),
        ...(securebits === undefined ? [] : ['--securebits', `+${securebits.join(',+')}`]),
        ...(noNewPrivileges ? ['--no-new-privs'] : []),
      ];
      const peer = execFileSync('setpriv', [...args, 'cat', '/proc/self/status'], {
        encoding: 'utf8',
        cwd: '/',
      });
      assert.deepEqual(await seen(given), fieldsOf(peer));
    }),
    { numRuns: 40 },
  );
});

describe('what is not had cannot be done', { skip }, () => {
  const folder = isRoot ? mkdtempSync(join(tmpdir(), 'safeexec-credentials-')) : '';
  const file = join(folder, 'file');

  test('capabilities: chown(2)', async () => {
    chmodSync(folder, 0o755);
    writeFileSync(file, '');
    const chown = async (options: CredentialOptions): Promise<number | null> => {
      const result = await run('/bin/chown', ['7', file], { ...options, reject: false, cwd: '/' });
      return result.exitCode;
    };
    assert.equal(await chown({}), 0);
    assert.equal(await chown({ capabilities: { bounding: ['kill'] } }), 1);
    assert.equal(await chown({ uid: ID }), 1);
    assert.equal(await chown({ uid: ID, capabilities: { ambient: ['chown'] } }), 0);
  });

  test('no_new_privs: a set-user-ID program', async (t) => {
    const id = join(folder, 'id');
    copyFileSync('/usr/bin/id', id);
    chmodSync(id, 0o4755);
    const user = async (options: CredentialOptions): Promise<string> =>
      (await run(id, ['-u'], { uid: ID, gid: ID, cwd: '/', ...options })).stdout.trim();
    if ((await user({})) !== '0') {
      t.skip('the temporary folder is on a file system without set-user-ID programs');
      return;
    }
    assert.equal(await user({ noNewPrivileges: true }), `${ID}`);
  });

  test('what is left of it', () => rmSync(folder, { recursive: true }));
});

test('what is refused fails the launch, and names its step', { skip }, async () => {
  const before = traces();
  const index = new URL('../../src/index.js', import.meta.url).href;
  const cases: readonly (readonly [CredentialOptions, string])[] = [
    [{ groups: [] }, 'EPERM setgroups setgroups'],
    [{ gid: 0 }, 'EPERM setgid setgid'],
    [{ uid: 0 }, 'EPERM setuid setuid'],
    [{ capabilities: { bounding: [] } }, 'EPERM bounding set prctl'],
    [{ capabilities: { inheritable: ['chown'] } }, 'EPERM capabilities capset'],
    [{ capabilities: { ambient: ['chown'] } }, 'EPERM capabilities capset'],
    [{ uid: ID, capabilities: { ambient: ['chown'] } }, 'EPERM capabilities capset'],
    [{ securebits: ['noroot'] }, 'EPERM securebits prctl'],
    // Who has nothing may still say so.
    [{ uid: ID, capabilities: { ambient: [], permitted: [] } }, 'started'],
  ];
  const code = `import { launch } from '${index}';
    for (const options of ${JSON.stringify(cases.map(([options]) => options))}) {
      try {
        await launch({ path: '/bin/true', ...options }).exited;
        console.log('started');
      } catch ({ code, step, syscall }) { console.log(code, step, syscall); }
    }`;
  const args = ['--input-type=module', '-e', code];
  const { stdout } = await run(process.execPath, args, { uid: ID, gid: ID, cwd: '/' });
  assert.deepEqual(
    stdout.trimEnd().split('\n'),
    cases.map(([, outcome]) => outcome),
  );
  assert.deepEqual(traces(), before);
});

test('the ambient set fails by its own name where securebits forbid it', { skip }, async () => {
  const index = new URL('../../src/index.js', import.meta.url).href;
  const code = `import { launch } from '${index}';
    try { launch({ path: '/bin/true', capabilities: { ambient: ['kill'] } }); }
    catch ({ code, step }) { console.log(code, step); }`;
  const args = ['--input-type=module', '-e', code];
  const { stdout } = await run(process.execPath, args, { securebits: ['no_cap_ambient_raise'] });
  assert.equal(stdout, 'EPERM ambient set\n');
});

test('spawn takes ids as Node does, launch those that there are', async () => {
  for (const id of [-1, 2 ** 32 - 1, 1.5]) {
    for (const name of ['uid', 'gid'] as const) {
      assert.throws(() => launch({ path: '/bin/true', [name]: id }), { code: 'ERR_OUT_OF_RANGE' });
    }
  }
  assert.throws(() => spawn('/bin/true', { uid: 2 ** 32 - 2 }), { code: 'ERR_INVALID_ARG_TYPE' });
  if (!isRoot) return;
  // Thrown if it is known at once, as spawn() says.
  const error = await new Promise<LaunchError>((resolve) => {
    try {
      spawn('/bin/true', { uid: -1 }).on('error', (error) => resolve(error as LaunchError));
    } catch (error) {
      resolve(error as LaunchError);
    }
  });
  assert.deepEqual([error.code, error.step], ['EINVAL', 'setuid']);
  assert.equal((await seen({ uid: -2 })).Uid, four(2 ** 32 - 2));
});

test('options are steps in the order in which they can work together', () => {
  const steps = (options: CredentialOptions) => CREDENTIALS.prepare(options)?.steps;
  assert.equal(CREDENTIALS.prepare({ noNewPrivileges: false }), null);
  assert.deepEqual(steps({ gid: 2, uid: 1 }), {
    credentials: [{ type: 'dropGroups' }, { type: 'setgid', gid: 2 }, { type: 'setuid', uid: 1 }],
  });
  assert.deepEqual(steps({ uid: 0, groups: [3] }), {
    credentials: [
      { type: 'setgroups', groups: [3] },
      { type: 'setuid', uid: 0 },
    ],
  });
  assert.deepEqual(
    steps({
      uid: 1,
      gid: 2,
      groups: [3],
      capabilities: { bounding: ['KILL', 'cap_chown'], ambient: ['kill'] },
      securebits: ['noroot'],
      noNewPrivileges: true,
    }),
    {
      credentials: [
        { type: 'boundingSet', keep: [0, 5] },
        { type: 'keepCapabilities' },
        { type: 'setgroups', groups: [3] },
        { type: 'setgid', gid: 2 },
        { type: 'setuid', uid: 1 },
        { type: 'capset', effective: 'permitted', inheritable: [5] },
        { type: 'ambientSet', capabilities: [5] },
        { type: 'securebits', bits: 1 },
        { type: 'capset', permitted: [5], effective: [5] },
      ],
      restrictions: [{ type: 'noNewPrivileges' }],
    },
  );
  assert.deepEqual(
    steps({ capabilities: { bounding: 'all', inheritable: 'all', ambient: 'all' } }),
    {
      credentials: [
        { type: 'capset', inheritable: 'permitted' },
        { type: 'ambientSet', capabilities: 'permitted' },
      ],
    },
  );
});

describe('what is wrong is said before anything is started', () => {
  const sets = (capabilities: object, more: object = {}) => ({ capabilities, ...more });
  const cases: readonly (readonly [object, string, RegExp])[] = [
    [{ groups: 5 }, 'ERR_INVALID_ARG_TYPE', /options\.groups/],
    [{ groups: [-1] }, 'ERR_OUT_OF_RANGE', /options\.groups\[0\]/],
    [{ groups: [1, 2 ** 32 - 1] }, 'ERR_OUT_OF_RANGE', /options\.groups\[1\]/],
    [{ groups: Array(65_537).fill(1) }, 'ERR_OUT_OF_RANGE', /length/],
    [{ noNewPrivileges: 1 }, 'ERR_INVALID_ARG_TYPE', /noNewPrivileges/],
    [{ securebits: 'noroot' }, 'ERR_INVALID_ARG_TYPE', /securebits/],
    [{ securebits: ['root'] }, 'ERR_INVALID_ARG_VALUE', /must be one of: .*noroot/],
    [{ securebits: ['keep_caps'] }, 'ERR_INVALID_ARG_VALUE', /exec clears it/],
    [{ capabilities: [] }, 'ERR_INVALID_ARG_TYPE', /options\.capabilities/],
    [sets({ Ambient: [] }), 'ERR_INVALID_ARG_VALUE', /did you mean "ambient"/],
    [sets({ ambient: 'kill' }), 'ERR_INVALID_ARG_VALUE', /must be a list or 'all'/],
    [sets({ ambient: ['cap_nothing'] }), 'ERR_INVALID_ARG_VALUE', /is not a capability/],
    [sets({ ambient: [5] }), 'ERR_INVALID_ARG_TYPE', /ambient\[0\]/],
    [sets({ ambient: ['kill'], inheritable: [] }), 'ERR_INVALID_ARG_VALUE', /inheritable lacks/],
    [sets({ ambient: 'all', inheritable: ['kill'] }), 'ERR_INVALID_ARG_VALUE', /inheritable lacks/],
    [sets({ ambient: ['kill'], permitted: [] }), 'ERR_INVALID_ARG_VALUE', /permitted lacks/],
    [sets({ effective: ['kill'], permitted: [] }), 'ERR_INVALID_ARG_VALUE', /permitted lacks/],
    [sets({ inheritable: ['kill'], bounding: [] }), 'ERR_INVALID_ARG_VALUE', /bounding lacks/],
    // Root gets back at exec what is in the bounding set.
    [sets({ permitted: [] }), 'ERR_INVALID_ARG_VALUE', /lacks some of all, which exec gives/],
    [sets({ effective: [] }, { uid: 0 }), 'ERR_INVALID_ARG_VALUE', /which exec gives to root/],
    [sets({ permitted: ['kill'], bounding: [] }), 'ERR_INVALID_ARG_VALUE', /is lost at exec/],
    // All others lose what is not ambient.
    [sets({ permitted: ['kill'] }, { uid: 1 }), 'ERR_INVALID_ARG_VALUE', /is lost at exec/],
    [
      sets({ permitted: ['kill'] }, { securebits: ['noroot'] }),
      'ERR_INVALID_ARG_VALUE',
      /CAP_KILL, which is lost at exec/,
    ],
    [{ groups: [], executor: 'direct' }, 'ERR_INVALID_ARG_VALUE', /credentials change/],
  ];
  for (const [options, code, pattern] of cases) {
    test(JSON.stringify(options).slice(0, 90), () => {
      for (const start of [
        () => launch({ path: '/bin/true', ...options }),
        () => spawn('/bin/true', options),
      ]) {
        assert.throws(start, (error: NodeJS.ErrnoException) => {
          assert.equal(error.code, code);
          assert.match(error.message, pattern);
          return true;
        });
      }
    });
  }
});

test('no_new_privs is set once, whatever asks for it', () => {
  const step = [{ type: 'noNewPrivileges' }];
  for (const options of [
    { noNewPrivileges: true },
    { seccomp: 'default' },
    { noNewPrivileges: true, seccomp: 'default', landlock: { paths: [], bestEffort: true } },
  ] as const) {
    assert.deepEqual(prepareControls(options)?.steps.restrictions, step, JSON.stringify(options));
  }
});

test('a capability that the kernel lacks', () => {
  assert.throws(
    () => capabilityNumbers(['kill', 'bpf'], 'x', 37),
    (error) =>
      error instanceof UnsupportedError &&
      error.missing === 'CAP_BPF' &&
      /no CAP_BPF: its last capability is CAP_AUDIT_READ/.test(error.message),
  );
  assert.deepEqual(capabilityNumbers(['CAP_AUDIT_READ', 'kill', 'KILL'], 'x', 37), [5, 37]);
});

test('flags of the command', () => {
  const read = (values: Record<string, string | boolean>) =>
    JSON.parse(JSON.stringify(readControls(values)));
  assert.deepEqual(read({}), {});
  assert.deepEqual(
    read({
      uid: '1',
      gid: '4294967294',
      groups: '2, 3',
      'cap-bounding': 'kill,net_raw',
      'cap-ambient': 'none',
      'cap-inheritable': 'all',
      securebits: 'noroot',
      'no-new-privileges': true,
    }),
    {
      uid: 1,
      gid: 4_294_967_294,
      groups: [2, 3],
      capabilities: { bounding: ['kill', 'net_raw'], inheritable: 'all', ambient: [] },
      securebits: ['noroot'],
      noNewPrivileges: true,
    },
  );
  for (const values of [
    { uid: 'root' },
    { gid: '-1' },
    { groups: '1,,2' },
    { groups: '4294967295' },
    { 'cap-ambient': 'all,kill' },
  ]) {
    assert.throws(() => readControls(values), UsageError, JSON.stringify(values));
  }
});
