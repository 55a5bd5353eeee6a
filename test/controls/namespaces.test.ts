import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isAtLeast } from '../../src/controls/kernel-version.js';
import { launch, type Namespaces, run, spawn } from '../../src/index.js';
import { machineFor } from '../../src/machine/index.js';
import { CLONE_PARENT, SIGCHLD } from '../../src/plan/constants.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { resultInNode } from '../fixtures/in-node.js';
import { writeImage } from '../machine/foreign.js';
import { traces, until } from '../process/observe.js';
import { ANYBODY, failure, inside, isRoot, noUserNamespaces, without } from './isolated.js';

const skip = noUserNamespaces;
const native = machineFor(process.arch);
const folder = mkdtempSync(join(tmpdir(), 'safeexec-namespaces-'));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));
const onlyRoot = isRoot ? skip : 'takes root';

/** Kinds, and their files in /proc/PID/ns. */
const FILES = {
  ...{ user: 'user', mount: 'mnt', pid: 'pid', network: 'net' },
  ...{ ipc: 'ipc', uts: 'uts', cgroup: 'cgroup', time: 'time' },
} as const;

const READ_ALL = 'for f in /proc/self/ns/*; do echo "$f $(readlink "$f")"; done';

/** Which namespaces of a listing are others than this process's. */
function others(listing: string): string[] {
  const found = listing.split('\n').map((line) => line.split(' ') as [string, string]);
  return found.filter(([file, id]) => readlinkSync(file) !== id).map(([file]) => file.slice(14));
}

describe('new namespaces', { skip }, () => {
  test('each kind is new if asked for, and the others are not', async () => {
    for (const [kind, file] of Object.entries(FILES)) {
      if (kind === 'user' || kind === 'pid') continue;
      // Without one of pids it is that of children alone.
      if (kind === 'time' && !isAtLeast('6.2')) continue;
      const listing = await inside(READ_ALL, { namespaces: { user: true, [kind]: true } });
      const also = kind === 'time' ? ['time_for_children'] : [];
      assert.deepEqual(others(listing), [file, ...also, 'user'].sort(), kind);
    }
    const pid = await inside(READ_ALL, { namespaces: { user: true, pid: true } });
    // /proc is that of the outer one, and shows this process under a number it has there.
    assert.deepEqual(others(pid), ['pid', 'pid_for_children', 'user']);
    assert.deepEqual(others(await inside(READ_ALL, { namespaces: { user: true } })), ['user']);
    assert.deepEqual(others(await inside(READ_ALL, { namespaces: { user: false } })), []);
  });

  test('the own ids are the same inside, or what is said', async () => {
    const script = 'id -u; id -g; cat /proc/self/setgroups; grep CapEff /proc/self/status';
    const [uid, gid] = [process.geteuid?.() as number, process.getegid?.() as number];
    const same = (await inside(script, { namespaces: { user: true } })).split('\n');
    assert.deepEqual(same.slice(0, 3), [`${uid}`, `${gid}`, 'deny']);
    const other = await inside(script, { namespaces: { user: { uid: 4711, gid: 4712 } } });
    assert.deepEqual(other.split('\n'), ['4711', '4712', 'deny', 'CapEff:\t0000000000000000']);
    const root = await inside(script, { namespaces: { user: { uid: 0 } } });
    assert.match(root, /CapEff:\t0*[1-9a-f]/);
  });

  test('maps of many ids, and the first becomes the own', { skip: onlyRoot }, async () => {
    const range = (inside: number, outside: number) => ({ inside, outside, size: 1000 });
    const user = { uidMap: [range(7, 100_000)], gidMap: [range(8, 200_000), range(2000, 0)] };
    const script = 'id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups';
    const lines = (await inside(script, { namespaces: { user } })).split('\n');
    assert.deepEqual(
      lines.map((line) => line.trim().replace(/ +/g, ' ')),
      ['7', '2000', '7 100000 1000', '8 200000 1000', '2000 0 1000', 'allow'],
    );
    // The ids of options are those inside.
    const options = { uid: 17, gid: 18, namespaces: { user } };
    assert.equal(await inside('id -u; id -g; id -G', options), '17\n18\n18');
  });

  test('host name, loopback and clocks', async () => {
    const uts = { hostname: 'inner', domainname: 'domain' };
    const names = await inside('uname -n; cat /proc/sys/kernel/domainname', {
      namespaces: { user: true, uts },
    });
    assert.equal(names, 'inner\ndomain');
    const network = { user: true, network: true };
    const table = 'grep -c 127.0.0.1 /proc/net/fib_trie; grep -c : /proc/net/dev';
    const [addresses, devices] = (await inside(table, { namespaces: network })).split('\n');
    assert.ok(Number(addresses) > 0, 'lo has its address only when it is up');
    assert.equal(devices, '1');

    const offset = 5_000_000.25;
    const clocks = await inside('cat /proc/self/timens_offsets /proc/uptime', {
      namespaces: { user: true, pid: true, time: { monotonic: -0.5, boottime: offset } },
    });
    const [monotonic, boottime, uptime] = clocks.split('\n').map((line) => line.split(/\s+/));
    assert.deepEqual(monotonic, ['monotonic', '-1', '500000000']);
    assert.deepEqual(boottime, ['boottime', '5000000', '250000000']);
    assert.ok(Number(uptime?.[0]) > offset);
  });

  test('whoever launches: all of it works without privileges', { skip: onlyRoot }, () => {
    const found = resultInNode(
      `const { stdout } = await run('/bin/sh', ['-c', 'id -u; id -g; uname -n; echo $$'], {
        cwd: '/',
        namespaces: {
          user: { uid: 3, gid: 4 }, mount: true, pid: true, network: true, ipc: true,
          uts: { hostname: 'x' }, cgroup: true, time: { boottime: 1 },
        },
      });
      console.log(JSON.stringify(stdout.trim().split('\\n')));`,
      { through: ANYBODY },
    );
    assert.deepEqual(found, ['3', '4', 'x', '2']);
  });

  test('the same as unshare(1)', { skip: without('unshare') || skip }, async () => {
    const script =
      'id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups /proc/net/dev; uname -n;' +
      'grep -E "^Cap|NoNewPrivs|^Groups" /proc/self/status; cat /proc/self/cgroup';
    const flags = ['--user', '--map-root-user', '--net', '--uts', '--ipc', '--cgroup', '--mount'];
    const theirs = execFileSync('unshare', [...flags, 'sh', '-c', script], { encoding: 'utf8' });
    const namespaces = {
      ...{ user: { uid: 0, gid: 0 }, network: true, uts: true, ipc: true, cgroup: true },
      mount: true,
    };
    assert.equal(await inside(script, { namespaces }), theirs.trimEnd());
  });
});

describe('a pid namespace', { skip }, () => {
  const namespaces: Namespaces = { user: true, pid: true };

  test('is where the target is the second process, and its init the first', async () => {
    // The init takes its name while the target is on its way.
    const script = `echo $$ $PPID; n=0
      while read name </proc/1/comm && [ "$name" != safeexec-init ] && [ $n -lt 100000 ]; do
        n=$((n + 1))
      done; echo $name`;
    const lines = await inside(script, { namespaces, mounts: [{ type: 'proc' }] });
    const [ids, init] = lines.split('\n');
    assert.deepEqual([ids, init], ['2 0', 'safeexec-init']);
  });

  test('a target ends as it ends, in code or signal', async () => {
    for (const [script, code, signal] of [
      ['exit 0', 0, null],
      ['exit 77', 77, null],
      ['kill -SEGV $$', null, 'SIGSEGV'],
      ['kill -KILL $$', null, 'SIGKILL'],
      ['kill -HUP $$', null, 'SIGHUP'],
      ['kill -40 $$', null, 'SIGRT40'],
    ] as const) {
      const child = launch({ path: '/bin/sh', argv: ['sh', '-c', script], namespaces });
      const exit = await child.exited;
      assert.deepEqual([exit?.exitCode, exit?.signal], [code, signal], script);
    }
  });

  test('what SIGCHLD was ignored by has the same end', async () => {
    const found = resultInNode(
      `const child = launch({ path: '/bin/sh', argv: ['sh', '-c', 'exit 9'],
         namespaces: { user: true, pid: true } });
       console.log((await child.exited).exitCode);`,
      { through: ['sh', '-c', `trap '' CHLD; exec "$0" "$@"`] },
    );
    assert.equal(found, 9);
  });

  test('signals reach the target, also those of a group', async () => {
    const script = `trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do read x; done`;
    const child = spawn('/bin/sh', ['-c', script], { namespaces, detached: true });
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    const exited = once(child, 'exit');
    await until('ready', () => output.includes('ready\n'));
    child.kill('SIGUSR1');
    await until('usr1', () => output.includes('usr1\n'));
    process.kill(-(child.pid as number), 'SIGTERM');
    assert.deepEqual(await exited, [3, null]);
    assert.equal(output, 'ready\nusr1\nterm\n');
  });

  test('SIGKILL of the child ends all that is in it', async () => {
    const child = spawn('/bin/sh', ['-c', 'sleep 1000 & echo on; wait'], { namespaces });
    await once(child.stdout as NonNullable<typeof child.stdout>, 'data');
    child.kill('SIGKILL');
    // The streams end when nobody has the pipes any more.
    assert.deepEqual(await once(child, 'close'), [null, 'SIGKILL']);
  });

  test('the end of the target ends what it left behind', async () => {
    // Without the namespace this would wait for the pipe that sleep keeps open.
    assert.equal(await inside('sleep 1000 & echo done', { namespaces }), 'done');
  });

  test('its init reaps orphans', async () => {
    const script = `p=$(sh -c 'true & echo $!'); while [ -e /proc/$p ]; do :; done; echo reaped`;
    assert.equal(await inside(script, { namespaces, mounts: [{ type: 'proc' }] }), 'reaped');
  });

  test('what the target makes a child of its parent ends with it', async () => {
    const b = new ProgramBuilder(native.wordSize);
    const [pid, sibling] = [b.words(0), b.label()];
    b.syscall('clone', [CLONE_PARENT | SIGCHLD, 0, 0, 0, 0], { result: pid });
    b.branchIfEqual(pid, 0, sibling);
    b.syscall('exit_group', [5]);
    b.place(sibling);
    const asleep = b.here();
    b.syscall('ppoll', [0, 0, 0, 0, 8]);
    b.jump(asleep);
    const path = join(folder, 'clone-parent');
    writeImage(path, native, b.build());
    const { exitCode, signal } = await run(path, [], {
      ...{ namespaces, timeout: 20_000, killSignal: 'SIGKILL', reject: false },
    });
    assert.deepEqual([exitCode, signal], [5, null]);
  });

  test('its init is out of reach for root inside', async () => {
    const script = `kill -KILL 1; kill -STOP 1; kill -TERM 1
      readlink /proc/1/root /proc/1/cwd /proc/1/exe; cat /proc/1/environ; ls /proc/1/fd; echo alive`;
    const output = await run('/bin/sh', ['-c', script], {
      namespaces: { user: { uid: 0 }, pid: true, mount: true },
      mounts: [{ type: 'proc' }],
      env: { SECRET: 'secret', PATH: process.env.PATH },
    });
    assert.equal(output.stdout, 'alive\n');
  });

  test('a stream ends when the target closes it, before the exit', async () => {
    const child = spawn('/bin/sh', ['-c', 'exec 1>&-; read x'], { namespaces });
    child.stdout?.resume();
    await once(child.stdout as NonNullable<typeof child.stdout>, 'end');
    assert.equal(child.exitCode, null);
    child.stdin?.end('\n');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  test('detached: the target leads a session of its own', async () => {
    const script = 'read -r _ _ _ _ group session _ < /proc/self/stat; echo $group $session';
    const options = { namespaces, mounts: [{ type: 'proc' }] as const };
    // A redirection of the shell's: /proc/self is the shell.
    assert.equal(await inside(script, { ...options, detached: true }), '2 2');
    assert.equal(await inside(script, options), '0 0');
  });
});

describe('namespaces that are joined', { skip: onlyRoot }, () => {
  test('by descriptor, by pidfd, and the pids of another', async () => {
    const all: Namespaces = {
      ...{ user: true, mount: true, pid: true, network: true, ipc: true },
      uts: { hostname: 'joined' },
    };
    const argv = ['sh', '-c', 'sleep 1000 & wait'];
    const holder = launch({ path: '/bin/sh', argv, namespaces: all });
    const [net, uts] = ['net', 'uts'].map((file) =>
      openSync(`/proc/${holder.pid}/ns/${file}`, 'r'),
    );
    // The first process inside: the monitor itself is not.
    const pids = openSync(`/proc/${holder.pid}/ns/pid_for_children`, 'r');
    try {
      const one = await inside(`uname -n; ${READ_ALL}`, {
        namespaces: { network: { join: net as number }, uts: { join: uts as number } },
      });
      assert.match(one, /^joined\n/);
      assert.deepEqual(others(one.replace('joined\n', '')), ['net', 'uts']);
      const join = { join: holder.pidfd };
      const several = await inside(`uname -n; ${READ_ALL}`, {
        namespaces: { user: join, mount: join, network: join, ipc: join, uts: join },
      });
      const expected = ['ipc', 'mnt', 'net', 'user', 'uts'];
      assert.deepEqual(others(several.replace('joined\n', '')), expected);

      const joined = launch({
        path: '/bin/sh',
        argv: ['sh', '-c', 'kill -9 $$'],
        namespaces: { pid: { join: pids } },
      });
      assert.equal((await joined.exited)?.signal, 'SIGKILL');
      const child = spawn('/bin/sh', ['-c', 'echo $$; exec sleep 1000'], {
        namespaces: { pid: { join: pids } },
        uid: 65_534,
      });
      const [text] = await once(child.stdout as NonNullable<typeof child.stdout>, 'data');
      assert.ok(Number(text) > 2 && Number(text) < 20);
      child.kill('SIGKILL');
      // The target goes with its monitor, although its ids have changed.
      assert.deepEqual(await once(child, 'close'), [null, 'SIGKILL']);
    } finally {
      for (const fd of [net, uts, pids]) closeSync(fd as number);
      holder.kill('SIGKILL');
      await holder.exited;
    }
  });
});

describe('what cannot be had', { skip }, () => {
  test('names its step, and leaves nothing behind', async () => {
    const before = traces();
    const fd = openSync('/dev/null', 'r');
    try {
      assert.deepEqual(failure({ namespaces: { network: { join: fd } } }), {
        code: 'EINVAL',
        step: 'join namespace',
      });
      // A step behind the fork.
      const all: Namespaces = { user: true, pid: true, network: true, mount: true };
      assert.deepEqual(failure({ namespaces: all, actions: [{ type: 'chdir', path: '/none' }] }), {
        code: 'ENOENT',
        step: 'chdir',
        path: '/none',
      });
      assert.deepEqual(
        failure({ namespaces: { user: true, pid: true, time: { boottime: -4e9 } } }),
        {
          code: 'ERANGE',
          step: 'time offsets',
          path: '/proc/self/timens_offsets',
        },
      );
    } finally {
      closeSync(fd);
    }
    await until('all is gone', () => traces().children.length === before.children.length);
    assert.deepEqual(traces(), before);
  });

  test('without privileges: EPERM of each step', { skip: onlyRoot }, () => {
    const code = `
      const results = [];
      for (const namespaces of [{ mount: true }, { pid: true }, { uts: { hostname: 'x' } },
        { user: { uidMap: [{ inside: 0, outside: 65534 }, { inside: 1, outside: 1 }] } },
        { user: { gidMap: [{ inside: 0, outside: 0 }] } }]) {
        try { launch({ path: '/bin/true', namespaces }); results.push('ran'); }
        catch ({ code, step }) { results.push(code + ' ' + step); }
      }
      console.log(JSON.stringify(results));`;
    assert.deepEqual(resultInNode(code, { through: ANYBODY }), [
      'EPERM mount namespace',
      'EPERM pid namespace',
      'EPERM uts namespace',
      'EPERM uid map',
      'EPERM gid map',
    ]);
  });

  test('user namespaces that are forbidden: ENOSPC', { skip: without('unshare') || skip }, () => {
    const forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"';
    const code = `
      try { launch({ path: '/bin/true', namespaces: { user: true } }); }
      catch ({ code, step }) { console.log(JSON.stringify({ code, step })); }`;
    const through = ['unshare', '--user', '--map-root-user', 'sh', '-c', forbid];
    assert.deepEqual(resultInNode(code, { through }), { code: 'ENOSPC', step: 'user namespace' });
  });
});

test('what is wrong with namespaces is said before anything is started', () => {
  const before = readdirSync('/proc/self/fd').length;
  const range = { inside: 0, outside: 0 };
  for (const [namespaces, code, pattern] of [
    [7, 'ERR_INVALID_ARG_TYPE', /options\.namespaces/],
    [{ net: true }, 'ERR_INVALID_ARG_VALUE', /net' is not an option; known are user/],
    [{ user: 1 }, 'ERR_INVALID_ARG_TYPE', /namespaces\.user/],
    [{ ipc: null }, 'ERR_INVALID_ARG_TYPE', /namespaces\.ipc/],
    [{ ipc: { name: 1 } }, 'ERR_INVALID_ARG_VALUE', /known are join/],
    [{ pid: { join: -1 } }, 'ERR_OUT_OF_RANGE', /pid\.join/],
    [{ pid: { join: '3' } }, 'ERR_INVALID_ARG_TYPE', /pid\.join/],
    [{ user: { join: 3, uid: 0 } }, 'ERR_INVALID_ARG_VALUE', /uid/],
    [{ user: { uid: -1 } }, 'ERR_OUT_OF_RANGE', /user\.uid/],
    [{ user: { gid: 2 ** 32 - 1 } }, 'ERR_OUT_OF_RANGE', /user\.gid/],
    [{ user: { uid: 0, uidMap: [range] } }, 'ERR_INVALID_ARG_VALUE', /excludes uid/],
    [{ user: { uidMap: [] } }, 'ERR_OUT_OF_RANGE', /uidMap\.length/],
    [{ user: { uidMap: [{ inside: 0 }] } }, 'ERR_INVALID_ARG_TYPE', /uidMap\[0\]\.outside/],
    [{ user: { gidMap: [{ ...range, size: 0 }] } }, 'ERR_OUT_OF_RANGE', /gidMap\[0\]\.size/],
    [{ user: { gidMap: [{ ...range, size: 2 ** 32 }] } }, 'ERR_OUT_OF_RANGE', /size/],
    [
      {
        user: {
          uidMap: [
            { inside: 0, outside: 5, size: 3 },
            { inside: 2, outside: 9 },
          ],
        },
      },
      'ERR_INVALID_ARG_VALUE',
      /ids inside that are in two ranges/,
    ],
    [{ uts: { hostname: 'x'.repeat(65) } }, 'ERR_OUT_OF_RANGE', /hostname/],
    [{ uts: { hostname: 'a\0b' } }, 'ERR_INVALID_ARG_VALUE', /null bytes/],
    [{ uts: { domainname: 5 } }, 'ERR_INVALID_ARG_TYPE', /domainname/],
    [{ pid: true, time: { boottime: '5' } }, 'ERR_INVALID_ARG_TYPE', /boottime/],
    [{ pid: true, time: { monotonic: Number.NaN } }, 'ERR_OUT_OF_RANGE', /monotonic/],
    [{ pid: true, time: { boottime: 5e9 } }, 'ERR_OUT_OF_RANGE', /boottime/],
  ] as const) {
    assert.throws(
      () => launch({ path: '/bin/true', namespaces: namespaces as Namespaces }),
      (error: NodeJS.ErrnoException) => error.code === code && pattern.test(error.message),
      JSON.stringify(namespaces),
    );
  }
  assert.throws(
    () => launch({ path: '/bin/true', namespaces: { user: true }, executor: 'direct' }),
    /must be image where namespaces change/,
  );
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
