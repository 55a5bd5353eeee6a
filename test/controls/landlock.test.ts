import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readControls } from '../../src/cli/flags/index.js';
import { UsageError } from '../../src/cli/usage.js';
import { ALL_OF_LANDLOCK, LANDLOCK } from '../../src/controls/landlock.js';
import { LANDLOCK_ACCESS, landlockSupport } from '../../src/controls/landlock-abi.js';
import {
  type LandlockAccess,
  type LandlockOptions,
  LaunchError,
  landlockInForce,
  launch,
  run,
  spawn,
  UnsupportedError,
} from '../../src/index.js';
import { traces } from '../process/observe.js';

const { O_RDONLY, O_RDWR } = constants;
const { abi, reason } = landlockSupport();
const needs = (needed: number): string | false =>
  abi >= needed ? false : (reason ?? `Landlock has ABI ${abi}, not ${needed}`);
const skip = needs(1);
const isRoot = process.getuid?.() === 0;
const folder = mkdtempSync(join(tmpdir(), 'safeexec-landlock-'));
after(() => rmSync(folder, { recursive: true }));

/** Where programs and their libraries are. */
const SYSTEM = ['/usr', '/bin', '/lib', '/lib64', '/etc', process.execPath];

/** How a shell command ends under a ruleset. */
async function attempt(
  command: string,
  landlock: LandlockOptions | undefined,
  cwd = '/',
): Promise<{ code: number | null; stderr: string; stdout: string }> {
  const options = { cwd, reject: false, landlock, stdio: ['ignore', 'pipe', 'pipe'] as const };
  const { exitCode, stdout, stderr, error } = await run('/bin/sh', ['-c', command], options);
  if (error !== undefined && error.step !== undefined) throw error;
  return { code: exitCode, stdout, stderr };
}

interface Operation {
  readonly access: LandlockAccess;
  /** In a folder that has the file `there`, the program `program`, the folders `a` and `b`. */
  readonly command: string;
  readonly refusal?: RegExp;
  readonly root?: true;
}

const DENIED = /Permission denied/;
const OPERATIONS: readonly Operation[] = [
  { access: 'execute', command: './program' },
  { access: 'write_file', command: 'echo more >> there' },
  { access: 'read_file', command: 'cat there' },
  { access: 'read_dir', command: 'ls a' },
  { access: 'remove_dir', command: 'rmdir a' },
  { access: 'remove_file', command: 'rm there' },
  { access: 'make_char', command: 'mknod new c 1 3', root: true },
  { access: 'make_dir', command: 'mkdir new' },
  { access: 'make_reg', command: 'touch new' },
  {
    access: 'make_sock',
    command: `"${process.execPath}" -e "require('net').createServer().on('error', (error) => {
      console.error(error.code === 'EACCES' ? 'Permission denied' : error); process.exitCode = 1;
    }).listen('new', function () { this.close() })"`,
  },
  { access: 'make_fifo', command: 'mkfifo new' },
  { access: 'make_block', command: 'mknod new b 1 3', root: true },
  { access: 'make_sym', command: 'ln -s there new' },
  { access: 'refer', command: 'ln a/file b/file', refusal: /Invalid cross-device link/ },
  { access: 'truncate', command: 'truncate -s 1 there' },
  { access: 'ioctl_dev', command: 'test -t 9 9< /dev/ptmx', refusal: /^$/ },
];

describe('each right: denied without a rule, allowed by one, and free without Landlock', () => {
  test('there is an operation for each', () => {
    const tried = new Set(OPERATIONS.map(({ access }) => access));
    assert.deepEqual(
      [...LANDLOCK_ACCESS.keys()].filter((name) => !tried.has(name)),
      [],
    );
  });

  for (const { access, command, refusal = DENIED, root } of OPERATIONS) {
    const first = LANDLOCK_ACCESS.get(access)?.abi as number;
    const reason = root && !isRoot ? 'only root may make devices' : needs(first);
    test(access, { skip: reason }, async () => {
      const make = (name: string): string => {
        const path = join(folder, `${access}-${name}`);
        for (const part of ['a', 'b']) mkdirSync(join(path, part), { recursive: true });
        writeFileSync(join(path, 'there'), 'text');
        if (access === 'refer') writeFileSync(join(path, 'a/file'), '');
        copyFileSync('/bin/true', join(path, 'program'));
        return path;
      };
      const free = await attempt(command, undefined, make('free'));
      assert.deepEqual([free.code, free.stderr], [0, '']);

      const system = SYSTEM.map((path) => ({ path, access: [access], optional: true }));
      const usable = ['execute', 'read_file', 'read_dir'].includes(access)
        ? system.filter(({ path }) => access !== 'read_dir' || path !== process.execPath)
        : [];
      const denied = { handled: [access], paths: usable };
      const refused = await attempt(command, denied, make('denied'));
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, refusal);

      const path = access === 'ioctl_dev' ? '/dev' : make('allowed');
      const rules = [...usable, { path, access: [access] }];
      const allowed = await attempt(command, { handled: [access], paths: rules }, path);
      assert.deepEqual([allowed.code, allowed.stderr], [0, '']);
    });
  }
});

describe('paths', { skip: needs(5) }, () => {
  const inside = join(folder, 'inside');
  const outside = join(folder, 'outside');
  for (const path of [inside, outside]) {
    mkdirSync(path);
    writeFileSync(join(path, 'file'), 'text');
  }
  const system: LandlockOptions['paths'] = [
    ...SYSTEM.map((path) => ({ path, access: 'execute', optional: true }) as const),
    { path: '/dev/null', access: 'write' },
  ];
  const landlock: LandlockOptions = { paths: [...system, { path: inside, access: 'write' }] };

  test('what no rule has is denied', async () => {
    const commands = [
      ['cat file', 0],
      ['echo > new && mv new other && rm other', 0],
      ['echo > /dev/null', 0],
      [`cat ${outside}/file`, 1],
      [`echo > ${outside}/file`, 2],
      [`ls ${outside}`, 2],
      [`rm ${outside}/file`, 1],
      ['cp /bin/true program && ./program', 126],
      ['cat /proc/self/status', 1],
      ['echo > /usr/new', 2],
    ] as const;
    for (const [command, code] of commands) {
      const result = await attempt(command, landlock, inside);
      assert.deepEqual([command, result.code], [command, code], result.stderr);
      if (code !== 0) assert.match(result.stderr, DENIED);
    }
    assert.ok(existsSync(join(outside, 'file')));
  });

  test('[] denies the program too', () => {
    assert.throws(
      () => launch({ path: '/bin/true', landlock: { paths: [] } }),
      (error) => error instanceof LaunchError && error.step === 'exec' && error.code === 'EACCES',
    );
  });

  test('a relative path is of the new working directory', async () => {
    const paths = [...system, { path: '.', access: 'read' } as const];
    assert.equal((await attempt('cat file', { paths }, inside)).code, 0);
    assert.equal((await attempt(`cat ${outside}/file`, { paths }, inside)).code, 1);
  });

  test('a path that is not there: a failure with its step, unless it is optional', () => {
    const before = traces();
    const start = (path: object): unknown => {
      const paths = [...system, path] as NonNullable<LandlockOptions['paths']>;
      return launch({ path: '/bin/true', landlock: { paths } });
    };
    const missing = join(folder, 'missing');
    const fails = (path: string, code: string) => (error: unknown) =>
      error instanceof LaunchError &&
      error.step === 'landlock' &&
      error.path === path &&
      error.code === code;
    assert.throws(() => start({ path: missing, access: 'read' }), fails(missing, 'ENOENT'));
    const below = '/etc/passwd/x';
    const optional = { path: below, access: 'read', optional: true };
    assert.throws(() => start(optional), fails(below, 'ENOTDIR'));
    const file = '/etc/passwd';
    assert.throws(() => start({ path: file, access: ['read_dir'] }), fails(file, 'EINVAL'));
    assert.deepEqual(traces(), before);
  });

  test('a rule of a file leaves out what only directories have', async () => {
    const file = join(outside, 'file');
    const paths = [...system, { path: file, access: 'read' } as const];
    assert.equal((await attempt(`cat ${file}`, { paths })).stdout, 'text');
    assert.equal((await attempt(`ls ${outside}`, { paths })).code, 2);
  });

  test('with both executors, no_new_privs is set and no descriptor is left', async () => {
    const paths = [...system, { path: '/proc', access: 'read' } as const];
    const command = 'ls /proc/self/fd; grep NoNewPrivs /proc/self/status';
    for (const executor of ['image', 'direct'] as const) {
      const { stdout } = await run('/bin/sh', ['-c', command], { landlock: { paths }, executor });
      assert.equal(stdout, '0\n1\n2\n3\nNoNewPrivs:\t1\n');
    }
  });

  test('for a user without privileges', { skip: isRoot ? false : 'this is the case' }, async () => {
    const options = { uid: 65_534, gid: 65_534, cwd: '/', landlock: { paths: system } };
    assert.equal((await run('/bin/sh', ['-c', 'cat /etc/passwd'], options)).exitCode, 0);
    await assert.rejects(run('/bin/cat', ['/proc/self/status'], options), { exitCode: 1 });
  });
});

/** The code of the error that a connection or a server has in a child; nothing if it has none. */
async function socket(code: string, landlock: LandlockOptions | undefined): Promise<string> {
  const script = `const net = require('net');
    ${code}.on('error', (error) => console.log(error.code))
      .on('connect', function () { this.destroy() }).on('listening', function () { this.close() })`;
  return (await run(process.execPath, ['-e', script], { landlock })).stdout.trim();
}

async function listening(server: Server, where: string | number): Promise<Server> {
  if (typeof where === 'string') server.listen(where);
  else server.listen(where, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test('TCP ports', { skip: needs(4) }, async (t) => {
  const server = await listening(createServer(), 0);
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const connect = `net.connect(${port}, '127.0.0.1')`;
  assert.equal(await socket(connect, undefined), '');
  assert.equal(await socket(connect, { tcpConnect: [] }), 'EACCES');
  assert.equal(await socket(connect, { tcpConnect: [port] }), '');
  assert.equal(await socket(connect, { tcpConnect: [port ^ 1], tcpBind: [port] }), 'EACCES');
  assert.equal(await socket(connect, { tcpBind: [] }), '');
  const bind = "net.createServer().listen(0, '127.0.0.1')";
  assert.equal(await socket(bind, undefined), '');
  assert.equal(await socket(bind, { tcpBind: [port] }), 'EACCES');
  assert.equal(await socket(bind, { tcpBind: [0] }), '');
  assert.equal(await socket(bind, { tcpConnect: [] }), '');
});

test('scopes', { skip: needs(6) }, async (t) => {
  const signal = `kill -0 ${process.pid}`;
  assert.equal((await attempt(signal, undefined)).code, 0);
  assert.equal((await attempt(signal, { scopes: ['abstract_unix_socket'] })).code, 0);
  const refused = await attempt(signal, { scopes: ['signal'] });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Operation not permitted/);
  assert.equal((await attempt('kill -0 $$', { scopes: ['signal'] })).code, 0);

  const name = `safeexec-${process.pid}`;
  const server = await listening(createServer(), `\0${name}`);
  t.after(() => server.close());
  const connect = `net.connect('\\0${name}')`;
  assert.equal(await socket(connect, undefined), '');
  assert.equal(await socket(connect, { scopes: ['signal'] }), '');
  assert.equal(await socket(connect, { scopes: ['abstract_unix_socket'] }), 'EPERM');
});

test('flags of the audit log are taken by the kernel', { skip: needs(7) }, async () => {
  const landlock: LandlockOptions = {
    scopes: ['signal'],
    log: ['same_exec_off', 'new_exec_on', 'subdomains_off'],
  };
  assert.equal((await attempt('true', landlock)).code, 0);
});

test('what each ABI has of everything', () => {
  const at = (abi: number) => landlockInForce({ ...ALL_OF_LANDLOCK, bestEffort: true }, { abi });
  const lacking = (abi: number): string =>
    at(abi)
      .missing.map(({ name, kernel }) => `${name} ${kernel}`)
      .sort()
      .join(', ');
  const log = 'new_exec_on 6.15, same_exec_off 6.15, subdomains_off 6.15';
  const scopes = 'signal 6.12';
  assert.equal(lacking(7), '');
  assert.equal(lacking(8), '');
  assert.equal(lacking(6), log);
  assert.equal(
    lacking(5),
    `abstract_unix_socket 6.12, new_exec_on 6.15, same_exec_off 6.15, ${scopes}, subdomains_off 6.15`,
  );
  const added = [1, 2, 3, 4, 5, 6, 7].map((abi) =>
    at(abi - 1)
      .missing.map(({ name }) => name)
      .filter((name) => !at(abi).missing.some((other) => other.name === name))
      .sort(),
  );
  assert.equal(added[0]?.length, 13);
  assert.deepEqual(added.slice(1), [
    ['refer'],
    ['truncate'],
    ['bind_tcp', 'connect_tcp'],
    ['ioctl_dev'],
    ['abstract_unix_socket', 'signal'],
    ['new_exec_on', 'same_exec_off', 'subdomains_off'],
  ]);
  const none = at(0);
  assert.deepEqual([none.handled, none.tcp, none.scopes, none.log], [[], [], [], []]);
  const first = at(1);
  assert.deepEqual([first.handled.length, first.tcp, first.scopes], [13, [], []]);
  const last = at(7);
  assert.deepEqual([last.handled.length, last.tcp], [16, ['bind', 'connect']]);
});

test('what the kernel lacks is refused, and said with the Linux that has it', () => {
  const throws = (options: LandlockOptions, support: { abi: number; reason?: string }) => {
    try {
      landlockInForce(options, support);
    } catch (error) {
      assert.ok(error instanceof UnsupportedError);
      return `${error.missing}: ${error.message}`;
    }
    throw new Error('nothing was thrown');
  };
  assert.equal(
    throws({ tcpBind: [] }, { abi: 3 }),
    'landlock bind_tcp: safeexec: this kernel has Landlock ABI 3, of Linux 6.2; ' +
      'bind_tcp needs Linux 6.7',
  );
  assert.match(throws({ paths: [] }, { abi: 1 }), /refer needs Linux 5\.19, truncate needs/);
  assert.equal(
    throws({ handled: ['execute'] }, { abi: 0, reason: 'there is none' }),
    'landlock: safeexec: there is none; execute needs Linux 5.13',
  );
  assert.equal(landlockInForce({ handled: ['execute'] }, { abi: 1 }).missing.length, 0);
});

test('options are masks of the ruleset and its rules', { skip: needs(7) }, () => {
  const steps = LANDLOCK.prepare({
    landlock: {
      handled: ['read_file', 'read_dir', 'execute'],
      paths: [
        { path: '/a', access: 'write' },
        { path: 'b', access: ['execute'], optional: true },
        { path: 'c', access: 'execute' },
      ],
      tcpBind: [0, 80, 80],
      tcpConnect: [443],
      scopes: ['signal'],
      log: ['new_exec_on'],
    },
  })?.steps;
  assert.deepEqual(steps, {
    restrictions: [{ type: 'noNewPrivileges' }],
    landlock: [
      {
        type: 'landlock',
        files: 0b1101,
        network: 3,
        scopes: 2,
        paths: [
          { path: '/a', access: 0b1100, fileAccess: 0b0100 },
          { path: 'b', access: 1, optional: true },
          { path: 'c', access: 0b1101, fileAccess: 0b0101 },
        ],
        ports: [
          { port: 0, access: 1 },
          { port: 80, access: 1 },
          { port: 443, access: 2 },
        ],
        flags: 2,
      },
    ],
  });
});

describe('what is wrong is said before anything is started', { skip }, () => {
  const path = (access: unknown, more: object = {}) => ({
    paths: [{ path: '/', access, ...more }],
  });
  const cases: readonly (readonly [unknown, string, RegExp])[] = [
    ['/', 'ERR_INVALID_ARG_TYPE', /options\.landlock/],
    [{}, 'ERR_INVALID_ARG_VALUE', /restricts nothing/],
    [{ scopes: undefined, bestEffort: true }, 'ERR_INVALID_ARG_VALUE', /restricts nothing/],
    [{ path: [] }, 'ERR_INVALID_ARG_VALUE', /is not an option/],
    [{ paths: {} }, 'ERR_INVALID_ARG_TYPE', /paths/],
    [{ paths: ['/'] }, 'ERR_INVALID_ARG_TYPE', /paths\[0\]/],
    [{ paths: [{ path: '', access: 'read' }] }, 'ERR_INVALID_ARG_VALUE', /empty/],
    [{ paths: [{ path: 'a\0', access: 'read' }] }, 'ERR_INVALID_ARG_VALUE', /null bytes/],
    [path(undefined), 'ERR_INVALID_ARG_TYPE', /access/],
    [path('all'), 'ERR_INVALID_ARG_VALUE', /one of: read, /],
    [path('toString'), 'ERR_INVALID_ARG_VALUE', /one of: read, /],
    [path([]), 'ERR_INVALID_ARG_VALUE', /access' cannot be empty/],
    [path(['read']), 'ERR_INVALID_ARG_VALUE', /access\[0\]' must be one of/],
    [path([1]), 'ERR_INVALID_ARG_TYPE', /access\[0\]/],
    [path('read', { optional: 1 }), 'ERR_INVALID_ARG_TYPE', /optional/],
    [path('read', { Optional: true }), 'ERR_INVALID_ARG_VALUE', /did you mean "optional"/],
    [{ ...path(['execute']), handled: ['refer'] }, 'ERR_INVALID_ARG_VALUE', /not handled/],
    [{ ...path('read'), handled: ['refer'] }, 'ERR_INVALID_ARG_VALUE', /no effect/],
    [{ handled: [] }, 'ERR_INVALID_ARG_VALUE', /handled' cannot be empty/],
    [{ tcpBind: [65_536] }, 'ERR_OUT_OF_RANGE', /tcpBind\[0\]/],
    [{ tcpConnect: ['80'] }, 'ERR_INVALID_ARG_TYPE', /tcpConnect\[0\]/],
    [{ scopes: ['network'] }, 'ERR_INVALID_ARG_VALUE', /abstract_unix_socket, signal/],
    [{ paths: [], log: ['all'] }, 'ERR_INVALID_ARG_VALUE', /log\[0\]/],
    [{ paths: [], bestEffort: 1 }, 'ERR_INVALID_ARG_TYPE', /bestEffort/],
  ];
  for (const [landlock, code, pattern] of cases) {
    test(JSON.stringify(landlock), () => {
      const options = { landlock: landlock as LandlockOptions };
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

describe('standard streams by name', { skip: needs(3) }, () => {
  const [given, made] = [join(folder, 'given'), join(folder, 'made')];
  const system = SYSTEM.map((path) => ({ path, access: 'execute', optional: true }) as const);
  const proc = { path: '/proc', access: ['read_file', 'read_dir'] } as const;
  /** What is said of commands whose input is a file, and whose output is another one. */
  async function tried(
    input: string,
    flags: number,
    standardStreams: boolean,
    ...commands: string[]
  ): Promise<string[]> {
    writeFileSync(given, 'text');
    const fds = [openSync(input, flags), openSync(made, 'w')] as const;
    const stdio = [...fds, 'pipe'] as const;
    const script = commands.map((each) => `(${each}) 2>&- && echo yes >&2 || echo no >&2`);
    const landlock = { paths: [...system, proc], standardStreams };
    try {
      const options = { cwd: '/', landlock, stdio };
      const { stderr } = await run('/bin/sh', ['-c', script.join('\n')], options);
      return stderr.trim().split('\n');
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }
  const commands = [
    'cat /dev/stdin',
    'echo x >> /dev/stdin',
    'echo x > /dev/stdout',
    'cat /dev/stdout',
  ];

  test('for what they are open for, and nothing more', async () => {
    assert.deepEqual(await tried(given, O_RDONLY, false, ...commands), ['no', 'no', 'no', 'no']);
    assert.deepEqual(await tried(given, O_RDONLY, true, ...commands), ['yes', 'no', 'yes', 'no']);
    assert.equal(readFileSync(given, 'utf8'), 'text');
    assert.deepEqual(await tried(given, O_RDWR, true, ...commands), ['yes', 'yes', 'yes', 'no']);
    assert.equal(readFileSync(given, 'utf8'), 'textx\n');
  });

  test('not what lies beneath a directory', async () => {
    const beneath = 'cat /proc/self/fd/0/given';
    assert.deepEqual(await tried(folder, O_RDONLY, true, beneath), ['no']);
  });
});

test('flags of the command', () => {
  const read = (values: Record<string, string | boolean | string[]>) =>
    JSON.parse(JSON.stringify(readControls(values)));
  assert.deepEqual(
    read({
      'landlock-path': ['read:/a:b', 'read_file,execute:c'],
      'landlock-path-try': ['write:/d'],
      'landlock-tcp-bind': '80,443',
      'landlock-tcp-connect': 'none',
      'landlock-scopes': 'signal',
      'landlock-best-effort': true,
      'landlock-standard-streams': true,
    }),
    {
      landlock: {
        paths: [
          { path: '/a:b', access: 'read' },
          { path: 'c', access: ['read_file', 'execute'] },
          { path: '/d', access: 'write', optional: true },
        ],
        standardStreams: true,
        tcpBind: [80, 443],
        tcpConnect: [],
        scopes: ['signal'],
        bestEffort: true,
      },
    },
  );
  assert.deepEqual(read({ 'landlock-path': ['none'] }), { landlock: { paths: [] } });
  for (const values of [{ 'landlock-path': ['/usr'] }, { 'landlock-tcp-bind': '99999' }]) {
    assert.throws(() => readControls(values), UsageError);
  }
});
