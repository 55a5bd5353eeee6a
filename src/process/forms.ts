import type * as node from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { ChildProcess } from './child-process.js';
import { execFile as execFileHere, exec as execHere } from './exec-file.js';
import { fork as forkHere } from './fork.js';
import { type SpawnOptions, type StdioOption, spawn as spawnHere } from './spawn.js';
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

/** A child of which it is known which of its standard streams are pipes: the others are null. */
export interface ChildProcessByStdio<
  Stdin extends Writable | null,
  Stdout extends Readable | null,
  Stderr extends Readable | null,
> extends ChildProcess {
  stdin: Stdin;
  stdout: Stdout;
  stderr: Stderr;
  readonly stdio: [
    Stdin,
    Stdout,
    Stderr,
    Readable | Writable | null | undefined,
    Readable | Writable | null | undefined,
  ];
}

/** A child all of whose standard streams are pipes. */
export interface ChildProcessWithoutNullStreams
  extends ChildProcessByStdio<Writable, Readable, Readable> {}

/** Options of a spawn whose standard streams are pipes: what they are unless it is said. */
export interface SpawnOptionsWithoutStdio extends SpawnOptions {
  stdio?: 'pipe' | readonly ('pipe' | null | undefined)[] | undefined;
}

/** Options of a spawn whose standard streams are listed one by one. */
export interface SpawnOptionsWithStdioTuple<
  Stdin extends StdioOption,
  Stdout extends StdioOption,
  Stderr extends StdioOption,
> extends SpawnOptions {
  stdio: readonly [Stdin, Stdout, Stderr, ...StdioOption[]];
}

/** The stream that a child has for an element of `stdio`. */
export type StreamFor<Element extends StdioOption, Stream> = Element extends
  | 'pipe'
  | 'overlapped'
  | null
  | undefined
  ? Stream
  : null;

type ChildFor<
  Stdin extends StdioOption,
  Stdout extends StdioOption,
  Stderr extends StdioOption,
> = ChildProcessByStdio<
  StreamFor<Stdin, Writable>,
  StreamFor<Stdout, Readable>,
  StreamFor<Stderr, Readable>
>;

export interface Spawn {
  (file: string, options?: SpawnOptionsWithoutStdio): ChildProcessWithoutNullStreams;
  (
    file: string,
    args?: readonly string[] | null,
    options?: SpawnOptionsWithoutStdio,
  ): ChildProcessWithoutNullStreams;
  <Stdin extends StdioOption, Stdout extends StdioOption, Stderr extends StdioOption>(
    file: string,
    options: SpawnOptionsWithStdioTuple<Stdin, Stdout, Stderr>,
  ): ChildFor<Stdin, Stdout, Stderr>;
  <Stdin extends StdioOption, Stdout extends StdioOption, Stderr extends StdioOption>(
    file: string,
    args: readonly string[] | null | undefined,
    options: SpawnOptionsWithStdioTuple<Stdin, Stdout, Stderr>,
  ): ChildFor<Stdin, Stdout, Stderr>;
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
