/**
 * Programs that try to get out of a sandbox. Each prints `escaped` if it could do what it must not;
 * what it prints else says how it was refused. They are JavaScript, run by this Node.
 */

import { syscallNumber } from '../../src/machine/syscall-table.js';
import { ADDR_NO_RANDOMIZE, TIOCSTI } from '../../src/plan/constants.js';

/** What the test has prepared outside. */
export interface Outside {
  /** A file with a secret, in a folder that the sandbox may not read. */
  readonly secret: string;
  /** A folder that the sandbox may not write to. */
  readonly folder: string;
  /** A folder that it may read and not write to, with a file `file` in it. */
  readonly readOnly: string;
  /** A folder that it may write to. */
  readonly writable: string;
  /** A TCP port on 127.0.0.1, an abstract socket's name, and the path of a socket in `folder`. */
  readonly port: number;
  /** A UDP port there, which answers. */
  readonly datagrams: number;
  readonly abstract: string;
  readonly socket: string;
  /** The process that starts the sandbox, which has a descriptor open that is not close-on-exec. */
  readonly pid: number;
  readonly fd: number;
}

export interface Escape {
  readonly name: string;
  readonly script: (outside: Outside) => string;
  /** What it takes without a sandbox: root, or a descriptor that is given; or perl(1) to try. */
  readonly needs?: 'root' | 'fd' | 'perl' | 'terminal';
}

const q = JSON.stringify;

/** Prints `escaped` unless the statements throw. */
const attempt = (statements: string): string => `
  const fs = require('node:fs');
  const { spawnSync, spawn } = require('node:child_process');
  try { ${statements}; console.log('escaped'); } catch (e) { console.log('refused', e.code ?? e.message); }`;

const connect = (target: string): string => `
  const socket = require('node:net').connect(${target});
  socket.on('connect', () => { console.log('escaped'); process.exit(); });
  socket.on('error', (e) => console.log('refused', e.code));`;

/** A system call, of which 0 or more is said. */
const call = (name: string, ...args: number[]): string => {
  const number = syscallNumber(name, process.arch as 'x64');
  const code = `exit(syscall(${[number, ...args].join(', ')}) < 0)`;
  return attempt(`
    const { status, error } = spawnSync('perl', ['-e', ${q(code)}]);
    if (error) throw error;
    if (status !== 0) throw new Error('status ' + status)`);
};

/** Reads the first of several paths to the same. */
const readAny = (paths: readonly string[]): string =>
  `const errors = [];
   const ok = ${q(paths)}.some((path) => {
     try { fs.readFileSync(path); return true; } catch (e) { errors.push(e.code); return false; }
   });
   if (!ok) throw new Error(errors.join())`;

export const ESCAPES: readonly Escape[] = [
  {
    name: 'read a file outside',
    script: ({ secret }) => attempt(`fs.readFileSync(${q(secret)})`),
  },
  {
    name: 'read it by way of other paths',
    script: ({ secret, writable, pid }) =>
      attempt(`
        try { fs.symlinkSync(${q(secret)}, ${q(`${writable}/link`)}); } catch {}
        try { fs.linkSync(${q(secret)}, ${q(`${writable}/hard`)}); } catch {}
        ${readAny([
          `${writable}/link`,
          `${writable}/hard`,
          `${writable}/../${secret.split('/').slice(-2).join('/')}`,
          `/proc/self/root${secret}`,
          `/proc/1/root${secret}`,
          `/proc/${pid}/root${secret}`,
        ])}`),
  },
  {
    name: 'list the folder of it',
    script: ({ folder }) => attempt(`fs.readdirSync(${q(folder)})`),
  },
  {
    name: 'write outside',
    script: ({ folder }) => attempt(`fs.writeFileSync(${q(`${folder}/new`)}, 'x')`),
  },
  {
    name: 'write into what is to be read only',
    script: ({ readOnly }) => attempt(`fs.writeFileSync(${q(`${readOnly}/new`)}, 'x')`),
  },
  {
    name: 'change, truncate, rename or remove what is to be read only',
    script: ({ readOnly }) =>
      attempt(`
        const file = ${q(`${readOnly}/file`)};
        const acts = [
          () => fs.appendFileSync(file, ''),
          () => fs.truncateSync(file, 1),
          () => fs.chmodSync(file, 0o777),
          () => fs.renameSync(file, file + '2') ?? fs.renameSync(file + '2', file),
          () => fs.utimesSync(file, 1, 1),
        ];
        const codes = acts.map((act) => { try { act(); return null; } catch (e) { return e.code; } });
        if (!codes.includes(null)) throw new Error(codes.join())`),
  },
  {
    name: 'run a program outside',
    script: ({ folder }) =>
      attempt(`const { error } = spawnSync(${q(`${folder}/program`)}); if (error) throw error`),
  },
  { name: 'connect by TCP', script: ({ port }) => connect(`{ host: '127.0.0.1', port: ${port} }`) },
  {
    name: 'connect to an abstract socket',
    script: ({ abstract }) => connect(`{ path: ${q(`\0${abstract}`)} }`),
  },
  {
    name: 'connect to a socket by its path',
    script: ({ socket }) => connect(`{ path: ${q(socket)} }`),
  },
  {
    name: 'exchange datagrams',
    script: ({ datagrams }) => `
      const socket = require('node:dgram').createSocket('udp4');
      const end = (text) => { console.log(text); process.exit(); };
      socket.on('error', (e) => end('refused ' + e.code));
      socket.on('message', () => end('escaped'));
      socket.connect(${datagrams}, '127.0.0.1', () => socket.send('ping'));`,
  },
  {
    name: 'see the process that started it',
    script: ({ pid }) => attempt(`fs.readFileSync('/proc/${pid}/cmdline')`),
  },
  {
    name: 'send it a signal',
    script: ({ pid }) => attempt(`process.kill(${pid}, 0)`),
  },
  {
    name: 'keep a descriptor',
    needs: 'fd',
    script: ({ fd }) => attempt(`fs.fstatSync(${fd})`),
  },
  {
    name: 'mount',
    needs: 'root',
    script: ({ writable }) =>
      attempt(`
        const { status, error } = spawnSync('mount', ['-t', 'tmpfs', 'x', ${q(writable)}]);
        if (error) throw error;
        if (status !== 0) throw new Error('status ' + status);
        spawnSync('umount', [${q(writable)}])`),
  },
  {
    name: 'leave a set-user-ID program behind',
    script: ({ writable }) =>
      attempt(`
        const file = ${q(`${writable}/setuid`)};
        fs.rmSync(file, { force: true });
        const acts = [
          () => { fs.writeFileSync(file, ''); fs.chmodSync(file, 0o4755); },
          () => fs.closeSync(fs.openSync(file + '2', 'w', 0o4755)),
          () => fs.fchmodSync(fs.openSync(file), 0o2755),
        ];
        const codes = acts.map((act) => { try { act(); return null; } catch (e) { return e.code; } });
        const modes = [file, file + '2'].map((path) => {
          try { return fs.statSync(path).mode & 0o6000; } catch { return 0; }
        });
        for (const path of [file, file + '2']) fs.rmSync(path, { force: true });
        if (modes.every((mode) => mode === 0)) throw new Error(codes.join())`),
  },
  {
    name: 'change a setting of the machine',
    needs: 'root',
    script: () =>
      attempt(`
        const file = '/proc/sys/kernel/core_pattern';
        fs.writeFileSync(file, fs.readFileSync(file))`),
  },
  {
    name: 'type into a terminal',
    needs: 'terminal',
    script: () =>
      attempt(`
        const code = 'exit(!ioctl(STDIN, ${TIOCSTI}, my $key = "x"))';
        const { status, error } = spawnSync('perl', ['-e', code], { stdio: [3, 'pipe', 'pipe'] });
        if (error) throw error;
        if (status !== 0) throw new Error('status ' + status)`),
  },
  { name: 'be traced', needs: 'perl', script: () => call('ptrace', 0, 0, 0, 0) },
  { name: 'have a session keyring', needs: 'perl', script: () => call('keyctl', 0, -3, 1) },
  {
    name: 'have a program that is laid out as foreseen',
    needs: 'perl',
    script: () => call('personality', ADDR_NO_RANDOMIZE),
  },
  {
    name: 'make a user namespace',
    script: () =>
      attempt(`
        const { status, error } = spawnSync('unshare', ['-U', 'true']);
        if (error) throw error;
        if (status !== 0) throw new Error('status ' + status)`),
  },
  {
    name: 'change the host name',
    needs: 'root',
    script: () =>
      attempt(`
        const name = require('node:os').hostname();
        const { status, error } = spawnSync('hostname', [name]);
        if (error) throw error;
        if (status !== 0) throw new Error('status ' + status)`),
  },
];
