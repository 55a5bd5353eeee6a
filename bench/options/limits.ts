import { readFileSync } from 'node:fs';
import { type Probe, statusSet } from './observation.js';

// Root in a container may lack CAP_SYS_RESOURCE, and these are 0 as a rule: then they stay so.
const canRaise = (effectiveCapabilities() & (1n << 24n)) !== 0n;

/** Soft and hard values of the row `limits`: none is usual, and no two are the same. */
export const LIMITS: Readonly<Record<string, readonly [number, number]>> = {
  as: [2 ** 33, 2 ** 34],
  core: [4096, 8192],
  cpu: [1001, 1002],
  data: [2 ** 31, 2 ** 32],
  fsize: [10_001_000, 10_002_000],
  locks: [1003, 1004],
  memlock: [65_536, 131_072],
  msgqueue: [40_960, 81_920],
  nice: canRaise ? [5, 6] : [0, 0],
  nofile: [501, 502],
  nproc: [5001, 5002],
  rss: [1_048_576, 2_097_152],
  rtprio: canRaise ? [7, 8] : [0, 0],
  rttime: [900_001, 900_002],
  sigpending: [601, 602],
  stack: [4_194_304, 8_388_608],
};

const LIMIT_NAMES: Readonly<Record<string, string>> = {
  as: 'address space',
  core: 'core file size',
  cpu: 'cpu time',
  data: 'data size',
  fsize: 'file size',
  locks: 'file locks',
  memlock: 'locked memory',
  msgqueue: 'msgqueue size',
  nice: 'nice priority',
  nofile: 'open files',
  nproc: 'processes',
  rss: 'resident set',
  rtprio: 'realtime priority',
  rttime: 'realtime timeout',
  sigpending: 'pending signals',
  stack: 'stack size',
};

function effectiveCapabilities(): bigint {
  return statusSet({ status: readFileSync('/proc/self/status', 'latin1') }, 'CapEff');
}

/** Whether a process has them. */
export function hasLimits({ limits }: Probe): boolean {
  return Object.entries(LIMITS).every(([name, [soft, hard]]) =>
    new RegExp(`^Max ${LIMIT_NAMES[name]}\\s+${soft}\\s+${hard}\\s`, 'm').test(limits),
  );
}
