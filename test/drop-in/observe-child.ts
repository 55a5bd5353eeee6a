import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { text } from './support.js';

export type Spawn = (file: string, args: readonly string[], options: SpawnOptions) => ChildProcess;

/**
 * Stops itself so that it can be looked at, then writes to its descriptors. Whether it reads its
 * input is its first argument.
 */
export const SCRIPT = 'kill -STOP $$; [ "$1" = read ] && cat; printf out; printf err >&2; exit 7';

/** Lines of /proc/PID/status that a child has from its parent, or from how it was started. */
const STATUS =
  /^(?:Umask|Uid|Gid|Groups|NoNewPrivs|Seccomp|CapInh|CapPrm|CapEff|CapBnd|CapAmb|SigQ|SigBlk|SigIgn|SigCgt|Cpus_allowed):/;

export interface Observation {
  /** What the kernel says of the child: from /proc. */
  readonly child: Record<string, unknown>;
  /** Each descriptor and what it is. */
  readonly descriptors: Record<number, string>;
  /** What the parent saw. */
  readonly parent: Record<string, unknown>;
}

/** Starts the script with `options`, looks at the child and lets it end. */
export async function observe(
  spawn: Spawn,
  args: readonly string[],
  options: SpawnOptions,
): Promise<Observation> {
  const file = options.shell ? `set ${args[0]}; ${SCRIPT}` : '/bin/sh';
  const list = options.shell ? [] : ['-c', SCRIPT, 'name', ...args];
  const process_ = spawn(file, list, options);
  const events: unknown[] = [];
  for (const name of ['spawn', 'error', 'exit', 'disconnect'] as const) {
    process_.on(name, (...values: unknown[]) => events.push([name, ...values]));
  }
  const closed = new Promise<void>((resolve) => {
    process_.on('close', (...values) => {
      events.push(['close', ...values]);
      resolve();
    });
  });
  const { pid } = process_;
  if (pid === undefined) throw new Error('the child was not started');
  await stopped(pid);
  const child = describe(pid);
  const descriptors = descriptorsOf(pid);
  const streams = process_.stdio.map((stream) =>
    stream == null
      ? null
      : [
          stream.constructor.name,
          'readable' in stream && stream.readable,
          'writable' in stream && stream.writable,
        ],
  );
  process_.stdin?.end('input');
  const output = [text(process_.stdout), text(process_.stderr)];
  process.kill(pid, 'SIGCONT');
  // Sockets above 2 go both ways, and stay open until we close ours.
  for (const stream of process_.stdio.slice(3)) (stream as { resume?(): void } | null)?.resume?.();
  await closed;
  return {
    child,
    descriptors,
    parent: {
      events,
      streams,
      output: await Promise.all(output),
      file: process_.spawnfile,
      args: process_.spawnargs,
      code: process_.exitCode,
      signal: process_.signalCode,
    },
  };
}

/** Waits until a process has stopped itself. */
async function stopped(pid: number): Promise<void> {
  while (!/\) T /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function describe(pid: number): Record<string, unknown> {
  const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, 'latin1');
  const [, group, session, terminal] = read('stat').split(') ')[1]?.split(' ').slice(1) ?? [];
  const self = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ') ?? [];
  return {
    status: read('status')
      .split('\n')
      .filter((line) => STATUS.test(line) && !line.startsWith('SigQ')),
    arguments: read('cmdline'),
    environment: read('environ'),
    limits: read('limits'),
    oomScoreAdjustment: read('oom_score_adj'),
    nice: read('stat').split(') ')[1]?.split(' ')[16],
    program: readlinkSync(`/proc/${pid}/exe`),
    directory: readlinkSync(`/proc/${pid}/cwd`),
    leadsGroup: group === String(pid),
    leadsSession: session === String(pid),
    sharesGroup: group === self[2],
    terminal,
  };
}

/** The number, kind, access mode and blocking mode of each descriptor of a process. */
function descriptorsOf(pid: number): Record<number, string> {
  const found: Record<number, string> = {};
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1];
    const bits = Number.parseInt(flags ?? '0', 8);
    found[Number(fd)] = `${target} ${bits & 3} ${bits & 0o4000 ? 'non-blocking' : 'blocking'}`;
  }
  return found;
}
