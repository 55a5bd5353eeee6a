import { invalidArgType, invalidArgValue, outOfRange } from '../errors.js';
import {
  validateArray,
  validateCString,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import { acquireCgroup } from './cgroup-launch.js';
import type { Contribution, Control } from './control.js';
import { sizeInBytes } from './size.js';

/** Bytes, as a number or with a unit (`512MiB`), or `max` for no limit. */
export type CgroupSize = number | string;

/** Limits of one block device, per second; `max` or nothing for none. */
export interface IoLimit {
  /** `major:minor`, as in /proc/partitions. */
  readonly device: string;
  readonly readBytes?: CgroupSize | undefined;
  readonly writeBytes?: CgroupSize | undefined;
  readonly reads?: number | 'max' | undefined;
  readonly writes?: number | 'max' | undefined;
}

/** A control group that is made for the process, below `parent`. */
export interface NewCgroup {
  /** Directory of the group above. Default: this process's own, which must have been delegated. */
  readonly parent?: string | undefined;
  /** Default: a name that is new. */
  readonly name?: string | undefined;
  /** memory.max: above it the kernel reclaims, then kills. */
  readonly memoryMax?: CgroupSize | undefined;
  /** memory.high: above it the processes are throttled and reclaimed from. */
  readonly memoryHigh?: CgroupSize | undefined;
  /** memory.swap.max. */
  readonly memorySwapMax?: CgroupSize | undefined;
  /** pids.max: processes and threads. */
  readonly pidsMax?: number | 'max' | undefined;
  /** cpu.max: CPUs' worth of time (0.5, 2), or microseconds of each period of microseconds. */
  readonly cpuMax?:
    | number
    | 'max'
    | { readonly quota: number; readonly period: number }
    | undefined;
  /** cpu.weight, 1 to 10000. Default 100. */
  readonly cpuWeight?: number | undefined;
  /** io.max. */
  readonly ioMax?: readonly IoLimit[] | undefined;
  /**
   * What becomes of processes that are left in the group when the one that was started has ended:
   * `kill` (default) ends them, and the group is removed; `keep` leaves both.
   */
  readonly onExit?: 'kill' | 'keep' | undefined;
}

export interface CgroupOptions {
  /**
   * Starts the process in a control group of version 2; cgroups(7). The directory of one that is
   * there, or one that is made for it. The child's `cgroup` has its counters, and kills all in it.
   * Linux 4.5; started directly in it with 5.7, and joined by the helper before that.
   */
  cgroup?: string | NewCgroup | undefined;
}

/** A group to start in, checked: which it is, or what to write into which of its files. */
export interface CgroupRequest {
  readonly path: string | null;
  readonly parent: string | null;
  readonly name: string | null;
  readonly settings: readonly { readonly file: string; readonly text: string }[];
  readonly kill: boolean;
}

export const CGROUP: Control<CgroupOptions> = {
  names: ['cgroup'],
  prepare({ cgroup }): Contribution | null {
    if (cgroup == null) return null;
    const request = cgroupRequest(cgroup);
    return { steps: {}, acquire: (launcher) => acquireCgroup(launcher, request) };
  },
};

/** Checks the option, and says which group it is, or what to write into which file. */
export function cgroupRequest(cgroup: string | NewCgroup): CgroupRequest {
  return typeof cgroup === 'string' ? existing(cgroup) : fresh(cgroup);
}

function existing(path: string): CgroupRequest {
  checkPath(path, 'options.cgroup');
  return { path, parent: null, name: null, settings: [], kill: false };
}

const NAMES: readonly (keyof NewCgroup)[] = [
  'parent',
  'name',
  'memoryMax',
  'memoryHigh',
  'memorySwapMax',
  'pidsMax',
  'cpuMax',
  'cpuWeight',
  'ioMax',
  'onExit',
];

function fresh(group: NewCgroup): CgroupRequest {
  const where = 'options.cgroup';
  if (typeof group !== 'object') throw invalidArgType(where, 'of type string or object', group);
  validateObject(group, where);
  validateOptionNames(group, NAMES);
  const { parent, name, onExit = 'kill' } = group;
  if (parent !== undefined) checkPath(parent, `${where}.parent`);
  if (name !== undefined) {
    validateCString(name, `${where}.name`);
    if (!/^(?!\.\.?$)[^/\n]{1,255}$/.test(name)) {
      throw invalidArgValue(`${where}.name`, name, 'must be the name of a directory');
    }
  }
  if (onExit !== 'kill' && onExit !== 'keep') {
    throw invalidArgValue(`${where}.onExit`, onExit, 'must be one of: kill, keep');
  }
  const settings: { file: string; text: string }[] = [];
  const set = (file: string, text: string | undefined): void => {
    if (text !== undefined) settings.push({ file, text });
  };
  set('memory.max', size(group.memoryMax, `${where}.memoryMax`));
  set('memory.high', size(group.memoryHigh, `${where}.memoryHigh`));
  set('memory.swap.max', size(group.memorySwapMax, `${where}.memorySwapMax`));
  set('pids.max', count(group.pidsMax, `${where}.pidsMax`));
  set('cpu.max', cpu(group.cpuMax, `${where}.cpuMax`));
  set('cpu.weight', weight(group.cpuWeight, `${where}.cpuWeight`));
  if (group.ioMax !== undefined) {
    validateArray(group.ioMax, `${where}.ioMax`);
    // One line a write: the kernel takes no more.
    for (const [i, limit] of group.ioMax.entries()) {
      set('io.max', io(limit as IoLimit, `${where}.ioMax[${i}]`));
    }
  }
  return {
    path: null,
    parent: parent ?? null,
    name: name ?? null,
    settings,
    kill: onExit === 'kill',
  };
}

function checkPath(path: unknown, name: string): void {
  validateCString(path, name);
  if (path === '') throw invalidArgValue(name, path, 'cannot be empty');
}

function size(value: unknown, name: string): string | undefined {
  if (value === undefined || value === 'max') return value;
  return String(sizeInBytes(value, name));
}

function count(value: unknown, name: string): string | undefined {
  if (value === undefined || value === 'max') return value;
  validateInteger(value, name, 0);
  return String(value);
}

/** Microseconds; the kernel takes periods from 1 ms to 1 s, and quotas from 1 ms. */
const PERIOD = 100_000;

function cpu(value: unknown, name: string): string | undefined {
  if (value === undefined || value === 'max') return value;
  if (typeof value === 'number') {
    if (!(value >= 0.01 && value <= 1e6)) throw outOfRange(name, '>= 0.01 CPUs', value);
    return `${Math.round(value * PERIOD)} ${PERIOD}`;
  }
  validateObject(value, name);
  validateOptionNames(value, ['quota', 'period']);
  const { quota, period } = value as { quota: unknown; period: unknown };
  validateInteger(quota, `${name}.quota`, 1000);
  validateInteger(period, `${name}.period`, 1000, 1_000_000);
  return `${quota} ${period}`;
}

function weight(value: unknown, name: string): string | undefined {
  if (value === undefined) return undefined;
  validateInteger(value, name, 1, 10000);
  return String(value);
}

function io(limit: IoLimit, name: string): string {
  validateObject(limit, name);
  validateOptionNames(limit, ['device', 'readBytes', 'writeBytes', 'reads', 'writes']);
  const { device } = limit;
  if (typeof device !== 'string' || !/^\d+:\d+$/.test(device)) {
    throw invalidArgValue(`${name}.device`, device, 'must be major:minor of a block device');
  }
  const parts = [
    ['rbps', size(limit.readBytes, `${name}.readBytes`)],
    ['wbps', size(limit.writeBytes, `${name}.writeBytes`)],
    ['riops', count(limit.reads, `${name}.reads`)],
    ['wiops', count(limit.writes, `${name}.writes`)],
  ].filter(([, value]) => value !== undefined);
  return [device, ...parts.map((part) => part.join('='))].join(' ');
}
