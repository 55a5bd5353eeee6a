import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SpawnError, type SpawnOptions, spawnSync } from '../../../src/index.js';
import { CAP_SYS_RESOURCE } from '../../../src/plan/constants.js';
import { writeImage } from '../../machine/foreign.js';
import { openTerminal } from '../terminal.js';
import { areAlternatives, combine } from './combine.js';
import { refusalsOf } from './exclusions.js';
import { checkAll, SAMPLES, type Sample, type Surroundings } from './options.js';
import { machine, parseReport, probeProgram, type Report } from './report.js';

/** Makes what samples need, and puts it away again. */
export async function withSurroundings<T>(
  inUserNamespace: boolean,
  act: (here: Surroundings) => T | Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-pairs-'));
  const undo: (() => void)[] = [() => rmSync(folder, { recursive: true })];
  try {
    chmodSync(folder, 0o755);
    const jail = join(folder, 'jail');
    for (const path of ['there', 'jail', 'jail/proc', 'jail/dev', `jail/${folder}`]) {
      mkdirSync(join(folder, path), { recursive: true });
    }
    for (const path of ['marker', 'dev/null']) writeFileSync(join(jail, path), '');
    const probe = join(folder, 'probe');
    writeImage(probe, machine(), probeProgram('/marker'));
    const open = (path: string): number => {
      const fd = openSync(path, 'r');
      undo.push(() => closeSync(fd));
      return fd;
    };
    let terminal: number | null = null;
    try {
      const pair = openTerminal();
      terminal = pair.terminal;
      undo.push(() => [pair.master, pair.terminal].forEach(closeSync));
    } catch {
      // Pairs without it, then.
    }
    let cgroup: string | null = null;
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    const point = mounts.find((line) => line.includes(' - cgroup2 '))?.split(' ')[4];
    try {
      cgroup = join(point ?? '', `safeexec-pairs-${process.pid}`);
      mkdirSync(cgroup);
      const group = cgroup;
      undo.push(() => rmdirSync(group));
    } catch {
      cgroup = null;
    }
    return await act({
      ...{ folder, probe, terminal, cgroup, inUserNamespace },
      programFd: open(probe),
      directoryFd: open(join(folder, 'there')),
      isRoot: process.getuid?.() === 0,
      mayRaise: mayRaise(),
    });
  } finally {
    for (const each of undo.reverse()) each();
  }
}

function mayRaise(): boolean {
  const [, set] = /^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
  return (BigInt(`0x${set}`) & (1n << BigInt(CAP_SYS_RESOURCE))) !== 0n;
}

/** The probe with options, by spawnSync. Throws what the launch throws. */
export function observe(options: SpawnOptions, { probe }: Surroundings): Report {
  const file = options.execFd === undefined ? probe : '/no/such/program';
  const { stdout, status, signal, error } = spawnSync(file, [], {
    ...{ stdio: ['ignore', 'pipe', 'inherit'], env: {}, cwd: '/' },
    ...(options.cwdFd === undefined ? {} : { cwd: undefined }),
    ...options,
    encoding: 'buffer',
  });
  if (error !== undefined) throw error;
  assert.deepEqual([status, signal], [0, null]);
  return parseReport(stdout as Buffer);
}

/**
 * What is wrong with the outcome of samples together: an effect that is not there, an error, or
 * none where there should be one. An empty string if it is as it should be.
 */
export function judge(
  samples: readonly Sample[],
  options: SpawnOptions,
  here: Surroundings,
  outcome: Report | SpawnError,
): string {
  const refusals = refusalsOf(samples);
  try {
    if (outcome instanceof Error) throw outcome;
    if (refusals.length > 0) return `should be refused: ${refusals}`;
    for (const { check } of samples) check(outcome, here);
    checkAll(outcome, options);
    return '';
  } catch (error) {
    const { code, step, message } = error as SpawnError;
    const seen = step === undefined ? String(code) : `${code} ${step}`;
    return refusals.includes(seen) ? '' : `${seen}: ${message}`;
  }
}

/** The same of a launch by spawnSync; null if these cannot be asked for here. */
export function tryTogether(samples: readonly Sample[], here: Surroundings): string | null {
  const options = combine(samples, here);
  if (options === null) return null;
  let outcome: Report | SpawnError;
  try {
    outcome = observe(options, here);
  } catch (error) {
    outcome = error as SpawnError;
  }
  return judge(samples, options, here, outcome);
}

/** Each option alone, and all pairs: how many, and what is wrong with which. */
export function walkPairs(here: Surroundings): { tried: number; wrong: Record<string, string> } {
  const wrong: Record<string, string> = {};
  let tried = 0;
  const attempt = (samples: readonly Sample[]): void => {
    const result = tryTogether(samples, here);
    if (result === null) return;
    tried++;
    if (result !== '') wrong[samples.map(({ name }) => name).join(' + ')] = result;
  };
  SAMPLES.forEach((sample, i) => {
    attempt([sample]);
    for (const other of SAMPLES.slice(i + 1)) {
      if (!areAlternatives(sample, other)) attempt([sample, other]);
    }
  });
  return { tried, wrong };
}

/** Samples whose effect is seen although nothing is asked for: they would prove nothing. */
export function idleChecks(here: Surroundings): string[] {
  const report = observe(combine([], here) as SpawnOptions, here);
  return SAMPLES.filter(({ options, check }) => {
    if (options(here) === null) return false;
    try {
      check(report, here);
      return true;
    } catch {
      return false;
    }
  }).map(({ name }) => name);
}
