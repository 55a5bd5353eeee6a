import type * as node from 'node:child_process';
import type { Readable, Stream, Writable } from 'node:stream';
import type { ChildProcess } from './child-process.js';
import { execFile as execFileHere, exec as execHere } from './exec-file.js';
import { fork as forkHere } from './fork.js';
import { type SpawnOptions, spawn as spawnHere } from './spawn.js';
import {
  execFileSync as execFileSyncHere,
  execSync as execSyncHere,
  spawnSync as spawnSyncHere,
} from './spawn-sync.js';

/**
 * The functions with the types that callers of `node:child_process` know: its overloads, by which
 * the type of an output follows from the encoding and that of a promise from `util.promisify`, and
 * ours behind them.
 */

/** A child whose standard streams are there, or not, as its `stdio` says. */
export interface ChildProcessByStdio<
  In extends Writable | null,
  Out extends Readable | null,
  Err extends Readable | null,
> extends ChildProcess {
  stdin: In;
  stdout: Out;
  stderr: Err;
  readonly stdio: [
    In,
    Out,
    Err,
    Readable | Writable | null | undefined,
    Readable | Writable | null | undefined,
  ];
}

/** A child all of whose standard streams are pipes. */
export interface ChildProcessWithoutNullStreams
  extends ChildProcessByStdio<Writable, Readable, Readable> {}

type Piped = 'pipe' | 'overlapped' | null | undefined;
type Element = Piped | 'inherit' | 'ignore' | Stream;

/** Options that say of each of the three standard streams what it is. */
export interface SpawnOptionsWithStdioTuple<
  In extends Element,
  Out extends Element,
  Err extends Element,
> extends SpawnOptions {
  stdio: [In, Out, Err];
}

type Stdin<Given> = Given extends Piped ? Writable : null;
type Output<Given> = Given extends Piped ? Readable : null;

/** Options of a spawn whose standard streams are pipes: what they are unless it is said. */
export interface SpawnOptionsWithoutStdio extends SpawnOptions {
  stdio?: 'pipe' | readonly ('pipe' | null | undefined)[] | undefined;
}

export interface Spawn {
  (file: string, options?: SpawnOptionsWithoutStdio): ChildProcessWithoutNullStreams;
  (
    file: string,
    args?: readonly string[] | null,
    options?: SpawnOptionsWithoutStdio,
  ): ChildProcessWithoutNullStreams;
  <In extends Element, Out extends Element, Err extends Element>(
    file: string,
    options: SpawnOptionsWithStdioTuple<In, Out, Err>,
  ): ChildProcessByStdio<Stdin<In>, Output<Out>, Output<Err>>;
  <In extends Element, Out extends Element, Err extends Element>(
    file: string,
    args: readonly string[] | null | undefined,
    options: SpawnOptionsWithStdioTuple<In, Out, Err>,
  ): ChildProcessByStdio<Stdin<In>, Output<Out>, Output<Err>>;
  (file: string, options: SpawnOptions): ChildProcess;
  (file: string, args: readonly string[] | null | undefined, options: SpawnOptions): ChildProcess;
}

type Both<Node, Ours> = Node & Ours;

export const spawn = spawnHere as Spawn;
export const fork = forkHere;
export const exec = execHere as unknown as Both<typeof node.exec, typeof execHere>;
export const execFile = execFileHere as unknown as Both<typeof node.execFile, typeof execFileHere>;
export const spawnSync = spawnSyncHere as unknown as Both<
  typeof node.spawnSync,
  typeof spawnSyncHere
>;
export const execSync = execSyncHere as unknown as Both<typeof node.execSync, typeof execSyncHere>;
export const execFileSync = execFileSyncHere as unknown as Both<
  typeof node.execFileSync,
  typeof execFileSyncHere
>;
