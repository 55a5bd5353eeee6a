import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MAIN } from '../cli/cli.js';
import type { Rule } from './filter.js';

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const attempts = file('./attempts.js');
const filter = new URL('./filter.js', import.meta.url).href;

/** How a process that starts processes is itself started. */
export interface Surroundings {
  /** A shell script that runs "$@" at its end, in a mount namespace of its own. */
  readonly mounts?: string;
  /** Sets vm.memfd_noexec, in a PID namespace. */
  readonly memfdNoexec?: number;
  readonly rules?: readonly Rule[];
  readonly node?: string;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

export interface Attempts {
  /** Exit codes, or what was thrown. */
  readonly first: number | string;
  readonly again: number | string;
  readonly image: number | string;
  readonly direct: number | string;
  readonly spawned: number | string;
  readonly credentials: number | string;
  readonly run: string;
  readonly sync: number | string;
  /** Those of a given set that a child had, by the default and by `direct`. */
  readonly descriptors: readonly [string, string];
  /** What carried the plan of the first launch. */
  readonly way: string | null;
  /** How many descriptors more are open at the end. */
  readonly left: number;
}

export interface Doctor {
  readonly ok: boolean;
  readonly executor: string | null;
  readonly why: string;
  /** The reasons of what is missing, by its name. */
  readonly missing: Readonly<Record<string, string>>;
}

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly reason?: string;
}

/** Runs node with these arguments in these surroundings. */
export function within(
  surroundings: Surroundings,
  args: readonly string[],
  codes = [0],
): { readonly stdout: string; readonly stderr: string } {
  const { mounts, memfdNoexec, rules, flags = [], env, cwd } = surroundings;
  const { node = process.execPath } = surroundings;
  const argv = [node, ...flags, ...(rules ? ['--import', filter] : []), ...args];
  const script = [
    memfdNoexec === undefined ? '' : `echo ${memfdNoexec} > /proc/sys/vm/memfd_noexec`,
    mounts ?? '',
  ].filter((line) => line !== '');
  if (memfdNoexec !== undefined || mounts !== undefined) {
    const kinds = memfdNoexec === undefined ? [] : ['--pid', '--fork', '--mount-proc'];
    const body = `set -e\n${[...script, 'exec "$@"'].join('\n')}`;
    argv.unshift('unshare', '--mount', ...kinds, 'sh', '-c', body, 'sh');
  }
  const [command, ...rest] = argv as [string, ...string[]];
  const { status, signal, stdout, stderr, error } = spawnSync(command, rest, {
    encoding: 'utf8',
    cwd,
    timeout: 60_000,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...env, FILTER: JSON.stringify(rules ?? []) },
  });
  if (error) throw error;
  assert.ok(codes.includes(status ?? -1), `ended with ${status ?? signal}: ${stderr}`);
  return { stdout, stderr };
}

/** What happens there, and what `doctor` says; they must agree. */
export function observe(surroundings: Surroundings): Attempts & { readonly doctor: Doctor } {
  const found: Attempts = JSON.parse(within(surroundings, [attempts]).stdout);
  const { findings, ok, executor, why } = JSON.parse(
    within(surroundings, [MAIN, 'doctor', '--json'], [0, 1]).stdout,
  );
  const missing = Object.fromEntries(
    (findings as Finding[]).filter((each) => !each.ok).map(({ name, reason }) => [name, reason]),
  ) as Doctor['missing'];

  assert.equal(ok, found.first === 0, `doctor says ${ok}, ${why}; launched: ${found.first}`);
  const used = found.way === null || found.first !== 0 ? null : found.way;
  assert.equal(executor, used === 'direct' || used === null ? used : 'image');
  if (used?.startsWith('a file')) assert.ok(why.includes(used), `${why}: ${used}`);
  assert.equal('executable memfd' in missing, used !== 'memfd');
  assert.equal('image executor' in missing, found.image !== 0);
  assert.equal('image executor' in missing, found.credentials !== 0);
  assert.equal('direct executor' in missing, found.direct !== 0);
  return { ...found, doctor: { ok, executor, why, missing } };
}

/**
 * What is found where everything works; `way` is what carries the plans. Without /proc the child
 * cannot see its descriptors.
 */
export function allWorks(way: string, proc = true) {
  return {
    first: 0,
    way,
    again: 0,
    image: 0,
    direct: 0,
    spawned: 0,
    credentials: 0,
    run: 'x\n',
    sync: 5,
    descriptors: proc ? ['9', '9'] : ['', ''],
    left: 0,
  };
}

/** A reason to skip what needs to mount something, or false. */
export const noMounts =
  spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/proc'], { stdio: 'ignore' })
    .status === 0
    ? false
    : 'nothing can be mounted in a namespace here';

const sysctl = 'echo 2 > /proc/sys/vm/memfd_noexec';
/** The same for vm.memfd_noexec. */
export const noSysctl =
  spawnSync('unshare', ['--mount', '--pid', '--fork', '--mount-proc', 'sh', '-c', sysctl], {
    stdio: 'ignore',
  }).status === 0
    ? false
    : 'vm.memfd_noexec cannot be set in a namespace here';
