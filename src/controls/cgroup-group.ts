import { readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers';
import { UnsupportedError } from '../errors.js';

/** Counters of a control group; null for those whose controller is not enabled in it. */
export interface CgroupUsage {
  /** CPU time, microseconds: all, in user mode, in the kernel, and how long it was throttled. */
  readonly cpuTime: number | null;
  readonly userCPUTime: number | null;
  readonly systemCPUTime: number | null;
  readonly cpuThrottledTime: number | null;
  /** Bytes: now, and at the highest (Linux 5.19). */
  readonly memoryCurrent: number | null;
  readonly memoryPeak: number | null;
  readonly swapPeak: number | null;
  /** How often the limit was reached, and how many processes were killed for it. */
  readonly memoryMaxEvents: number | null;
  readonly oomKills: number | null;
  /** Processes and threads: now, at the highest (Linux 6.1), and how often a fork was refused. */
  readonly pidsCurrent: number | null;
  readonly pidsPeak: number | null;
  readonly pidsMaxEvents: number | null;
  /** Of all block devices. */
  readonly ioReadBytes: number | null;
  readonly ioWriteBytes: number | null;
}

/** Milliseconds between attempts to remove a group whose processes are still ending. */
const RETRY = 10;
const ATTEMPTS = 500;

/** The control group in which a process was started. */
export class Cgroup {
  /** Its directory. */
  readonly path: string;
  /** Whether it was made for the process. */
  readonly created: boolean;
  #last: CgroupUsage | null = null;
  #removed = false;

  constructor(path: string, created: boolean) {
    this.path = path;
    this.created = created;
  }

  /** Its counters; after it was removed, those of its end. */
  usage(): CgroupUsage {
    if (!this.#removed || this.#last === null) this.#last = readUsage(this.path);
    return this.#last;
  }

  /** Processes in it. None after it was removed. */
  processes(): number[] {
    return (read(this.path, 'cgroup.procs') ?? '').split('\n').filter(Boolean).map(Number);
  }

  /** Ends every process in it and below: cgroup.kill, Linux 5.14. */
  kill(): void {
    if (this.#removed) return;
    try {
      writeFileSync(`${this.path}/cgroup.kill`, '1');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      if (read(this.path, 'cgroup.procs') === null) return;
      throw new UnsupportedError('killing a control group needs Linux 5.14', 'cgroup.kill', error);
    }
  }

  /** Stops, or continues, every process in it and below: cgroup.freeze, Linux 5.2. */
  freeze(frozen = true): void {
    writeFileSync(`${this.path}/cgroup.freeze`, frozen ? '1' : '0');
  }

  /** Keeps its counters, and removes it; ends what is left in it. For a group that was made. */
  end(): void {
    this.usage();
    try {
      this.kill();
    } catch {
      // What is left stays, and so does the group.
    }
    this.#remove(ATTEMPTS);
  }

  /** Processes that were killed are in it until they are gone. */
  #remove(attempts: number): void {
    try {
      rmdirSync(this.path);
      this.#removed = true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') this.#removed = true;
      else if (attempts > 0) setTimeout(() => this.#remove(attempts - 1), RETRY);
    }
  }
}

/** A file of a group; null if it is not there. */
function read(path: string, file: string): string | null {
  try {
    return readFileSync(`${path}/${file}`, 'utf8');
  } catch {
    return null;
  }
}

function readUsage(path: string): CgroupUsage {
  const single = (file: string): number | null => {
    const text = read(path, file);
    return text === null ? null : Number(text);
  };
  const keyed = (file: string): ((key: string) => number | null) => {
    const text = read(path, file) ?? '';
    const values = new Map(
      text.split('\n').map((line) => line.split(' ') as [string, string | undefined]),
    );
    return (key) => (values.get(key) === undefined ? null : Number(values.get(key)));
  };
  const cpu = keyed('cpu.stat');
  const memory = keyed('memory.events');
  const io = read(path, 'io.stat');
  const ioSum = (key: string): number | null => {
    if (io === null) return null;
    let sum = 0;
    for (const [, value] of io.matchAll(new RegExp(`\\b${key}=(\\d+)`, 'g'))) sum += Number(value);
    return sum;
  };
  return {
    cpuTime: cpu('usage_usec'),
    userCPUTime: cpu('user_usec'),
    systemCPUTime: cpu('system_usec'),
    cpuThrottledTime: cpu('throttled_usec'),
    memoryCurrent: single('memory.current'),
    memoryPeak: single('memory.peak'),
    swapPeak: single('memory.swap.peak'),
    memoryMaxEvents: memory('max'),
    oomKills: memory('oom_kill'),
    pidsCurrent: single('pids.current'),
    pidsPeak: single('pids.peak'),
    pidsMaxEvents: keyed('pids.events')('max'),
    ioReadBytes: ioSum('rbytes'),
    ioWriteBytes: ioSum('wbytes'),
  };
}
