import type * as node from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
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

/** A child all of whose standard streams are pipes. */
export interface ChildProcessWithoutNullStreams extends ChildProcess {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
}

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
