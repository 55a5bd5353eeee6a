import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cli, finish, MAIN, NO_BINDING, preload, start } from './cli.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'safeexec-cli-')));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string, mode: number): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  return path;
}

test('on a machine that is not known: 125, and in one line what is', async () => {
  const node = preload(`Object.defineProperty(process, 'arch', { value: 's390x' })`);
  const { code, stderr } = await cli(['run', 'true'], { node });
  assert.equal(code, 125);
  assert.match(
    stderr,
    /^safeexec: the processor architecture s390x is not supported; .*arm64.*\n$/,
  );
});

for (const executor of ['image', 'direct']) {
  describe(`run, executor ${executor}`, () => {
    const run = (...args: string[]) => cli(['run', '--executor', executor, ...args]);

    test('gives output and the exit code of the command', async () => {
      const { code, stdout, stderr } = await run(
        '--',
        'sh',
        '-c',
        'echo out; echo err >&2; exit 7',
      );
      assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: 'out\n', stderr: 'err\n' });
    });

    test('exits with 128 + n after a signal', async () => {
      assert.equal((await run('sh', '-c', 'kill -9 $$')).code, 137);
      assert.equal((await run('sh', '-c', 'kill -TERM $$')).code, 143);
      assert.equal((await run('bash', '-c', 'kill -40 $$')).code, 168);
    });

    test('a directory that is not there: 125, and the step', async () => {
      const { code, stderr } = await run('--cwd', join(folder, 'none'), 'true');
      assert.equal(code, 125);
      assert.match(stderr, /^safeexec: .*ENOENT.*\(step: chdir\)\n$/);
    });

    test('a command that is not found: 127, and the step', async () => {
      for (const name of ['safeexec-no-such-command', join(folder, 'none'), '/dev/null/none']) {
        const { code, stderr } = await run(name);
        assert.equal(code, 127, name);
        assert.match(stderr, /^safeexec: .*\(step: exec\)\n$/);
      }
    });

    test('a command that cannot be executed: 126, and the step', async () => {
      for (const path of [folder, file('plain', 'echo no\n', 0o644)]) {
        const { code, stderr } = await run(path);
        assert.equal(code, 126, path);
        assert.match(stderr, /EACCES.*\(step: exec\)\n$/);
      }
    });

    test('a script without an interpreter line is run by /bin/sh', async () => {
      const script = file('script.sh', 'echo "$1"; exit 4\n', 0o755);
      const { code, stdout } = await run(script, 'one');
      assert.deepEqual({ code, stdout }, { code: 4, stdout: 'one\n' });
    });

    test('cwd, argv0', async () => {
      const args = ['--cwd', folder, '--argv0', 'zero', 'sh', '-c', 'pwd; echo $0'];
      assert.equal((await run(...args)).stdout, `${folder}\nzero\n`);
    });
  });
}

test('a script whose interpreter is missing is not found', async () => {
  const script = file('script', '#!/no/such/interpreter\n', 0o755);
  assert.equal((await cli(['run', script])).code, 127);
});

test('--env adds to the environment, --clear-env starts from nothing', async () => {
  const env = { PATH: process.env.PATH, KEPT: 'yes' };
  const print = ['sh', '-c', 'echo $KEPT-$A-$B'];
  const own = await cli(['run', ...print], { env });
  assert.equal(own.stdout, 'yes--\n');
  const more = await cli(['run', '--env', 'A=1', '--env=B=x=y', ...print], { env });
  assert.equal(more.stdout, 'yes-1-x=y\n');
  const only = await cli(['run', '--env', 'A=1', '--clear-env', '--', '/usr/bin/env'], { env });
  assert.equal(only.stdout, 'A=1\n');
});

test('options of the command are not options of run', async () => {
  assert.equal((await cli(['run', 'echo', '--cwd', '-x'])).stdout, '--cwd -x\n');
  assert.equal((await cli(['run', '--', 'echo', '--', 'a'])).stdout, '-- a\n');
});

test('what is wrong with the command line: 2, and a message', async () => {
  const wrong: [string[], RegExp][] = [
    [['run', '--bogus', 'true'], /Unknown option '--bogus'/],
    [['run'], /which command/],
    [['run', '--'], /which command/],
    [['run', ''], /empty/],
    [['run', '--cwd'], /cwd/],
    [['run', '--env', 'A', 'true'], /NAME=VALUE/],
    [['run', '--env', '=x', 'true'], /NAME=VALUE/],
    [['run', '--timeout', '5x', 'true'], /duration/],
    [['run', '--timeout=-1', 'true'], /duration/],
    [['run', '--timeout', '9999h', 'true'], /too long/],
    [['run', '--kill-signal', 'SIGNOT', 'true'], /no signal 'SIGNOT'/],
    [['run', '--kill-after', '1s', 'true'], /goes with --timeout/],
    [['run', '--timeout', '1s', '--kill-after', 'x', 'true'], /duration/],
    [['run', '--timeout', '-1', 'true'], /'--timeout=-XYZ'/],
    [['run', '-x', 'true'], /^safeexec: Unknown option '-x'\nTry 'safeexec help run'\.\n$/],
    [['run', '--executor', 'fork', 'true'], /image, direct/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await cli(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, message);
  }
});

test('--timeout ends the command: 124, also if it is stopped', async () => {
  assert.equal((await cli(['run', '--timeout', '20ms', 'sleep', '1000'])).code, 124);
  const stopped = ['run', '--timeout', '.02s', 'sh', '-c', 'kill -STOP $$; sleep 1000'];
  assert.equal((await cli(stopped)).code, 124);
});

test('--kill-after ends a command that does not end when the time is over', async () => {
  const command = ['sh', '-c', 'trap "" TERM; exec sleep 1000'];
  const { code } = await cli(['run', '--timeout', '300ms', '--kill-after', '20ms', ...command]);
  assert.equal(code, 124);
});

test('--timeout does not touch a command that ends in time, and 0 is never', async () => {
  assert.equal((await cli(['run', '--timeout', '1h', 'sh', '-c', 'exit 3'])).code, 3);
  assert.equal((await cli(['run', '--timeout', '0', 'sh', '-c', 'exit 3'])).code, 3);
});

test('--kill-signal is what the command gets when the time is over', async () => {
  // The time is over when the command says so, by making a file.
  const ready = join(folder, 'ready');
  const node = preload(`
    import { existsSync } from 'node:fs';
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (call, ms, ...rest) => {
      if (ms !== 12345) return setTimeout(call, ms, ...rest);
      const timer = setInterval(() => {
        if (!existsSync(${JSON.stringify(ready)})) return;
        clearInterval(timer);
        call();
      }, 5);
      return timer;
    };
  `);
  const script = `
    process.on('SIGUSR2', () => { console.log('got it'); process.exit(0); });
    setInterval(() => {}, 1e6);
    require('fs').writeFileSync(${JSON.stringify(ready)}, '');
  `;
  const options = ['--timeout', '12345', '--kill-signal', 'usr2'];
  const command = [process.execPath, '-e', script];
  const { code, stdout } = await cli(['run', ...options, '--', ...command], { node });
  assert.deepEqual({ code, stdout }, { code: 124, stdout: 'got it\n' });
});

test('--debug writes one line about the launch', async () => {
  const { stdout, stderr } = await cli(['run', '--debug', 'sh', '-c', 'echo $$']);
  const [, pid] =
    /^safeexec: pid (\d+), executor image, the launch took [\d.]+ ms\n$/.exec(stderr) ?? [];
  assert.equal(stdout, `${pid}\n`);
});

test('without the binding: 125, and the reason', async () => {
  for (const flags of [[], ['--sandbox'], ['--landlock-path', 'none']]) {
    const { code, stderr } = await cli(['run', ...flags, 'true'], { node: NO_BINDING });
    assert.equal(code, 125);
    assert.match(
      stderr,
      /^safeexec: the native binding could not be loaded: no binding in this test[^\n]*\n$/,
    );
  }
});

const FORWARDED: readonly NodeJS.Signals[] = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGWINCH',
  'SIGCONT',
  'SIGUSR2',
];

/** Says each signal that it gets, and ends with 5 after SIGUSR2. */
const listener = `
  for (const name of ${JSON.stringify(FORWARDED)}) process.on(name, () => {
    console.log(name);
    if (name === 'SIGUSR2') process.exit(5);
  });
  setInterval(() => {}, 1e6);
  console.log('ready');
`;

test('signals are passed on to the command', async () => {
  const child = start(['run', '--', process.execPath, '-e', listener]);
  const left = [...FORWARDED];
  child.stdout?.on('data', () => {
    const signal = left.shift();
    if (signal !== undefined) process.kill(child.pid as number, signal);
  });
  const { code, stdout } = await finish(child);
  assert.equal(stdout, ['ready', ...FORWARDED, ''].join('\n'));
  assert.equal(code, 5);
});

test('a signal that ends the command ends run, with 128 + n', async () => {
  const child = start(['run', 'sh', '-c', 'echo ready; exec sleep 1000']);
  child.stdout?.once('data', () => process.kill(child.pid as number, 'SIGINT'));
  assert.equal((await finish(child)).code, 130);
});

test('an interrupt from the terminal reaches the command once', async (t) => {
  try {
    execFileSync('script', ['--version']);
  } catch {
    t.skip('there is no script(1), which makes a terminal');
    return;
  }
  // SIGUSR1 goes through run, behind what run has made of the interrupt: the lowest of several
  // pending signals is delivered first.
  const counter = file(
    'counter.cjs',
    `let count = 0;
    process.on('SIGINT', () => { if (++count === 1) process.kill(process.ppid, 'SIGUSR1'); });
    process.on('SIGUSR1', () => { console.log('count ' + count); process.exit(0); });
    setInterval(() => {}, 1e6);
    console.log('ready');`,
    0o644,
  );
  const command = `'${process.execPath}' '${MAIN}' run '${process.execPath}' '${counter}'`;
  const child = spawn('script', ['-qec', `exec ${command}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  child.stdout?.once('data', () => child.stdin?.write('\x03'));
  const { code, stdout } = await finish(child);
  assert.match(stdout, /count 1\r\n/);
  assert.equal(code, 0);
});
