// What programs that are written in TypeScript say of node:child_process, said of this package. It is
// the compiler that tests this; nothing of it is run.
import type * as node from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type {
  ChildProcessByStdio,
  ChildProcessWithoutNullStreams,
  CommonOptions,
  ExecException,
  ExecFileException,
  ExecFileSyncOptions,
  ForkOptions,
  MessageOptions,
  PromiseWithChild,
  SendHandle,
  Serializable,
  SpawnOptions,
  SpawnOptionsWithStdioTuple,
  SpawnSyncReturns,
  StdioNull,
  StdioOptions,
  StdioPipe,
} from '../../src/index.js';
import whole, {
  ChildProcess,
  exec,
  execFile,
  execFileSync,
  execSync,
  fork,
  spawn,
  spawnSync,
} from '../../src/index.js';

test('types as of node:child_process', () => {
  // A failure is an error of `npm run typecheck`.
  void [streams, children, callbacks, promises, sync, messages, options];
});

function streams(unsure: 'pipe' | 'inherit'): void {
  const some = spawn('x', [], { stdio: ['pipe', 'pipe', 'inherit'] });
  some.stdin.end(some.stdout.read());
  const none: null = some.stderr;
  const given = spawn('x', { stdio: ['ignore', 'pipe', process.stderr], cwd: '/' });
  given.stdout.pipe(process.stdout);
  const named: ChildProcessByStdio<null, Readable, Readable> = spawn('x', {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const all: ChildProcessByStdio<Writable, Readable, Readable> = spawn('x', ['a'], { shell: true });
  const piped: ChildProcessWithoutNullStreams = spawn('x');
  const tuple: SpawnOptionsWithStdioTuple<StdioNull, StdioPipe, StdioPipe> = {
    stdio: ['ignore', 'pipe', 'pipe'],
  };
  spawn('x', [], tuple).stdout.resume();
  spawn('x', [], { stdio: [unsure, unsure, 'pipe'] }).stdout?.resume();
  spawn('x', { stdio: ['pipe', 'pipe', 'pipe', 'ipc'] }).stdout?.resume();
  // @ts-expect-error: there may be none
  spawn('x', { stdio: 'inherit' }).stdout.resume();
  void [none, named, all, piped];
}

function children(child: ChildProcess): node.ChildProcess[] {
  child.on('exit', (code, signal) => [code, signal]);
  child.once('error', ({ message }) => message);
  const ours = whole.spawn('x');
  const pid: number | undefined = ours instanceof ChildProcess ? ours.pid : undefined;
  void pid;
  return [child, ours, fork('x'), spawn('x', { stdio: ['pipe', 'ignore', 'ignore'] })];
}

function callbacks(): void {
  exec('x', (error, stdout, stderr) => [error?.code, error?.killed, stdout.trim(), stderr.trim()]);
  exec('x', { encoding: 'buffer' }, (_, stdout) => stdout.toString('hex'));
  exec('x', { encoding: 'utf8' }, (error: ExecException | null, stdout: string) => [error, stdout]);
  execFile('x', ['a'], (error: ExecFileException | null, stdout) => [error, stdout.trim()]);
  execFile('x', ['a'], { encoding: null }, (_, stdout: Buffer) => stdout);
}

async function promises(): Promise<string> {
  const running: PromiseWithChild<{ stdout: string; stderr: string }> = promisify(execFile)('x');
  running.child.kill();
  const { stdout } = await promisify(exec)('x');
  return stdout + (await running).stderr;
}

function sync(): unknown[] {
  const text: SpawnSyncReturns<string> = spawnSync('x', ['a'], { encoding: 'utf8' });
  const bytes: SpawnSyncReturns<Buffer> = spawnSync('x');
  const output: string = execSync('x', { encoding: 'utf8' });
  const fileOptions: ExecFileSyncOptions = { stdio: 'pipe' };
  const file: string | Buffer = execFileSync('x', ['a'], fileOptions);
  return [text.stdout.trim(), bytes.stdout.length, output.trim(), file];
}

function messages(message: Serializable, handle: SendHandle, how: MessageOptions): void {
  const child = fork('x', ['a'], { silent: true, execArgv: [] });
  child.send({ a: 1 }, (error) => error?.message);
  child.send(message, handle, how);
  child.channel?.unref();
  child.on('message', (value, received) => [value, received]);
}

/** Options that have Node's types, and those that have ours. */
function options(
  theirs: node.SpawnOptions,
  common: CommonOptions,
  stdio: StdioOptions,
  forked: ForkOptions & node.ForkOptions,
): void {
  const all: SpawnOptions = { ...theirs, ...common, stdio };
  spawn('x', theirs);
  spawn('x', ['a'], all);
  fork('x', forked);
}
