import { existsSync } from 'node:fs';
import { invalidArgType, invalidArgValue, outOfRange, UnsupportedError } from '../errors.js';
import type { Step } from '../plan/plan.js';
import { NAMESPACE_FLAGS, type NamespaceKind } from '../plan/steps/namespaces.js';
import {
  validateBoolean,
  validateCString,
  validateDescriptor,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import type { Contribution, Control } from './control.js';
import { needsLinux } from './kernel-version.js';
import type { MountOptions } from './mount-options.js';
import { checkMounts } from './mounts.js';
import { type UserNamespace, userNamespace } from './user-namespace.js';

/** A namespace that is there: a descriptor of /proc/PID/ns, or a pidfd (Linux 5.8); setns(2). */
export interface JoinedNamespace {
  /** A descriptor of this process's. */
  readonly join: number;
}

/** Names in a new uts namespace: uts_namespaces(7). Default: those of the namespace outside. */
export interface UtsNamespace {
  readonly hostname?: string | undefined;
  readonly domainname?: string | undefined;
}

/** Clocks of a new time namespace, in seconds that are added: time_namespaces(7). Default 0. */
export interface TimeNamespace {
  /** CLOCK_MONOTONIC. */
  readonly monotonic?: number | undefined;
  /** CLOCK_BOOTTIME. */
  readonly boottime?: number | undefined;
}

/**
 * Namespaces of the process, each new (`true`, or with settings) or one that is joined; those that
 * are not named are this process's. namespaces(7).
 */
export interface Namespaces {
  /**
   * Where user and group ids mean something else, and where the process has all capabilities until
   * it execs: no privilege is needed for it, or for the others beside it. user_namespaces(7).
   * `true`: this process's ids are the same inside.
   */
  readonly user?: boolean | UserNamespace | JoinedNamespace | undefined;
  /** A mount tree of its own, private. */
  readonly mount?: boolean | JoinedNamespace | undefined;
  /**
   * Process ids of its own. `pid` is then that of a monitor outside, which passes on signals, has
   * the target's exit code or signal, and with which all in the namespace ends. pid_namespaces(7).
   */
  readonly pid?: boolean | JoinedNamespace | undefined;
  /** Network devices, addresses and ports of its own: a loopback interface, which is up. */
  readonly network?: boolean | JoinedNamespace | undefined;
  /** System V objects and POSIX message queues. */
  readonly ipc?: boolean | JoinedNamespace | undefined;
  /** Host name and domain name. */
  readonly uts?: boolean | UtsNamespace | JoinedNamespace | undefined;
  /** The control group the process is in is the root of all it sees: cgroup_namespaces(7). */
  readonly cgroup?: boolean | JoinedNamespace | undefined;
  /** Offsets of the monotonic and the boot-time clock. Linux 5.6; without `pid` Linux 6.2. */
  readonly time?: boolean | TimeNamespace | JoinedNamespace | undefined;
}

export interface NamespaceOptions extends MountOptions {
  /** New namespaces, and joined ones. Default: this process's own. Only with the image executor. */
  namespaces?: Namespaces | undefined;
}

export const NAMESPACES: Control<NamespaceOptions> = {
  names: ['namespaces', 'mounts', 'root'],
  prepare(options: NamespaceOptions & { readonly groups?: unknown }): Contribution | null {
    const { namespaces = {} } = options;
    validateObject(namespaces, WHERE);
    validateOptionNames(namespaces, KINDS);
    const wanted = new Map<NamespaceKind, unknown>();
    for (const kind of KINDS) {
      const value: unknown = namespaces[kind];
      if (value === undefined || value === false) continue;
      checkKind(kind, value);
      wanted.set(kind, value);
    }
    const tree = checkMounts(options, wanted.get('pid') === true);
    if (tree?.needsNamespace) {
      const mount = wanted.get('mount');
      if (namespaces.mount === false || joins(mount)) {
        const reason = 'must be new where mounts or root are given: others must not see them';
        throw invalidArgValue(`${WHERE}.mount`, mount ?? false, reason);
      }
      wanted.set('mount', true);
    }
    const steps = namespaceSteps(wanted, options.groups !== undefined);
    const init = pidSteps(wanted);
    if (steps.length === 0 && tree === null) return null;
    return {
      steps: {
        namespaces: steps,
        init: init.fork,
        mounts: tree?.steps ?? [],
        restrictions: init.restrictions,
      },
      ...(tree?.changesRoot || joins(wanted.get('mount')) ? { changesRoot: true } : {}),
    };
  },
};

const WHERE = 'options.namespaces';
/** In the order in which new ones are made: with the first come the rights to the others. */
const KINDS = Object.keys(NAMESPACE_FLAGS) as readonly NamespaceKind[];

/** Names of the kinds in /proc/PID/ns, where they are others. */
const FILES: Partial<Record<NamespaceKind, string>> = { mount: 'mnt', network: 'net' };

/** What the settings of a new namespace may be named. */
const SETTINGS: Partial<Record<NamespaceKind, readonly string[]>> = {
  user: ['uid', 'gid', 'uidMap', 'gidMap'],
  uts: ['hostname', 'domainname'],
  time: ['monotonic', 'boottime'],
};

/**
 * Whether the launched process is a monitor of the target: then what binds it to its parent, the
 * parent-death signal say, is for the monitor, before the stage `init`; the rest follows.
 */
export function hasMonitor({ namespaces }: NamespaceOptions): boolean {
  const pid = namespaces?.pid;
  return pid !== undefined && pid !== false;
}

function joins(value: unknown): value is JoinedNamespace {
  return typeof value === 'object' && value !== null && 'join' in value;
}

function checkKind(kind: NamespaceKind, value: unknown): void {
  const name = `${WHERE}.${kind}`;
  if (typeof value !== 'boolean') {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw invalidArgType(name, 'of type boolean or object', value);
    }
    if (joins(value)) {
      validateOptionNames(value, ['join']);
      validateDescriptor(value.join, `${name}.join`);
    } else validateOptionNames(value, [...(SETTINGS[kind] ?? []), 'join']);
  } else validateBoolean(value, name);
  const folder = '/proc/self/ns';
  // Elsewhere nothing is started, and without /proc nothing can be told.
  if (process.platform !== 'linux' || !existsSync(folder)) return;
  if (!existsSync(`${folder}/${FILES[kind] ?? kind}`)) {
    throw new UnsupportedError(`this kernel has no ${kind} namespaces`, `${kind} namespace`);
  }
}

function namespaceSteps(wanted: ReadonlyMap<NamespaceKind, unknown>, setsGroups: boolean): Step[] {
  const steps: Step[] = [];
  // All kinds of one descriptor at once: the kernel knows in which order it may be done.
  const joined = new Map<number, NamespaceKind[]>();
  for (const [kind, value] of wanted) {
    if (joins(value)) joined.set(value.join, [...(joined.get(value.join) ?? []), kind]);
  }
  for (const [fd, kinds] of joined) steps.push({ type: 'joinNamespaces', fd, kinds });
  for (const kind of KINDS) {
    const value = wanted.get(kind);
    if (value === undefined || joins(value)) continue;
    if (kind === 'user') {
      steps.push(userNamespace(value as true | UserNamespace, `${WHERE}.user`, setsGroups));
      continue;
    }
    steps.push({ type: 'unshare', kind });
    if (kind === 'mount') steps.push({ type: 'privateMounts' });
    if (kind === 'network') steps.push({ type: 'loopback' });
    if (kind === 'uts' && value !== true) steps.push(...names(value as UtsNamespace));
    if (kind === 'time') {
      checkTime(wanted);
      if (value !== true) steps.push(...offsets(value as TimeNamespace));
    }
  }
  return steps;
}

function pidSteps(wanted: ReadonlyMap<NamespaceKind, unknown>) {
  const pid = wanted.get('pid');
  const fork: Step[] = [];
  const restrictions: Step[] = [];
  if (pid !== undefined) fork.push({ type: 'forkIntoPidNamespace', init: !joins(pid) });
  // A change of ids has cleared it since the fork.
  if (joins(pid)) restrictions.push({ type: 'endWithMonitor' });
  return { fork, restrictions };
}

/** Longest host name: uname(2). */
const NAME_LENGTH = 64;

function names({ hostname, domainname }: UtsNamespace): Step[] {
  const steps: Step[] = [];
  for (const [type, name] of [
    ['hostname', hostname],
    ['domainname', domainname],
  ] as const) {
    if (name === undefined) continue;
    validateCString(name, `${WHERE}.uts.${type}`);
    if (Buffer.byteLength(name) > NAME_LENGTH) {
      throw outOfRange(`${WHERE}.uts.${type}`, `at most ${NAME_LENGTH} bytes`, name);
    }
    steps.push({ type, name });
  }
  return steps;
}

/** Seconds that the kernel takes: what it adds must stay below half of what it can count. */
const OFFSET_LIMIT = 4_611_686_018;

function offsets(clocks: TimeNamespace): Step[] {
  let lines = '';
  for (const clock of ['monotonic', 'boottime'] as const) {
    const offset: unknown = clocks[clock];
    if (offset === undefined) continue;
    const name = `${WHERE}.time.${clock}`;
    if (typeof offset !== 'number') throw invalidArgType(name, 'of type number', offset);
    if (!(Math.abs(offset) < OFFSET_LIMIT)) {
      throw outOfRange(name, `between -${OFFSET_LIMIT} and ${OFFSET_LIMIT} seconds`, offset);
    }
    let seconds = Math.floor(offset);
    let nanoseconds = Math.round((offset - seconds) * 1e9);
    if (nanoseconds === 1e9) [seconds, nanoseconds] = [seconds + 1, 0];
    lines += `${clock} ${seconds} ${nanoseconds}\n`;
  }
  return lines === '' ? [] : [{ type: 'timeOffsets', offsets: lines }];
}

/** A time namespace is that of children; of the process itself after an exec since Linux 6.2. */
function checkTime(wanted: ReadonlyMap<NamespaceKind, unknown>): void {
  if (!wanted.has('pid')) needsLinux('6.2', 'a new time namespace without one of pids');
}
