import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { LaunchError, UnsupportedError } from '../errors.js';
import type { Launcher } from '../launch/launcher.js';
import { CGROUP2_SUPER_MAGIC, ENOTDIR } from '../plan/constants.js';
import type { CgroupRequest } from './cgroup.js';
import { Cgroup } from './cgroup-group.js';
import type { Resource } from './control.js';

let made = 0;

/** Opens the group of a launch, or makes it. */
export function acquireCgroup(launcher: Launcher, request: CgroupRequest): Resource {
  const group = request.path === null ? make(request) : new Cgroup(request.path, false);
  const undo = (): void => {
    if (group.created) group.end();
  };
  let fd = -1;
  try {
    fd = attempt('open', group.path, () => openDirectory(group.path));
    // A frozen group would hold the thread that clones into it until it is thawed.
    const direct = launcher.startsInCgroup && !isFrozen(group.path);
    const join = { type: 'joinCgroup', fd, path: group.path } as const;
    return {
      group,
      steps: direct ? {} : { cgroup: [join] },
      cgroup: direct ? fd : undefined,
      launched: () => closeSync(fd),
      failed: undo,
      ended() {
        if (group.created && request.kill) group.end();
        else group.usage();
      },
    };
  } catch (error) {
    if (fd >= 0) closeSync(fd);
    undo();
    throw error;
  }
}

function openDirectory(path: string): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  if (fstatSync(fd).isDirectory() && statfsSync(path).type === CGROUP2_SUPER_MAGIC) return fd;
  closeSync(fd);
  throw new LaunchError({ errno: ENOTDIR, syscall: 'statfs', step: 'cgroup', path });
}

function isFrozen(path: string): boolean {
  return /^frozen 1$/m.test(readFileSync(join(path, 'cgroup.events'), 'utf8'));
}

function make({ parent: given, name, settings }: CgroupRequest): Cgroup {
  const parent = given ?? ownGroup();
  const path = join(parent, name ?? `safeexec-${process.pid}-${++made}`);
  const controllers = new Set(settings.map(({ file }) => file.slice(0, file.indexOf('.'))));
  enable(parent, controllers);
  attempt('mkdir', path, () => mkdirSync(path));
  try {
    if (words(join(path, 'cgroup.type')).includes('invalid')) throw crowded(parent, 'cgroup');
    for (const { file, text } of settings) {
      const where = join(path, file);
      attempt('write', where, () => writeFileSync(where, text));
    }
  } catch (error) {
    rmdirSync(path);
    throw error;
  }
  return new Cgroup(path, true);
}

/** Has `parent` give controllers to the groups below it, if it does not yet. */
function enable(parent: string, controllers: ReadonlySet<string>): void {
  if (controllers.size === 0) return;
  const control = join(parent, 'cgroup.subtree_control');
  const enabled = words(control);
  const missing = [...controllers].filter((name) => !enabled.includes(name));
  if (missing.length === 0) return;
  const available = words(join(parent, 'cgroup.controllers'));
  for (const name of missing) {
    if (available.includes(name)) continue;
    const reason = 'it is not delegated to that group, or in use by version 1';
    throw new UnsupportedError(`${parent} has no controller '${name}': ${reason}`, name);
  }
  // The kernel refuses some then (EBUSY), and with others starts nothing in the groups below. But
  // for its root, which alone has no type.
  const isRoot = !existsSync(join(parent, 'cgroup.type'));
  if (!isRoot && words(join(parent, 'cgroup.procs')).length > 0) {
    throw crowded(parent, missing[0] as string);
  }
  attempt('write', control, () => {
    writeFileSync(control, missing.map((name) => `+${name}`).join(' '));
  });
}

/** The words of a file of a group. */
function words(file: string): string[] {
  const text = attempt('read', file, () => readFileSync(file, 'utf8'));
  return text.split(/\s+/).filter(Boolean);
}

function crowded(parent: string, missing: string): UnsupportedError {
  const reason = 'a group that has processes of its own gives no controllers to groups below it';
  return new UnsupportedError(`${parent} cannot be the parent: ${reason}`, missing);
}

/** The directory of this process's own group. Throws UnsupportedError where there is none. */
export function ownGroup(): string {
  let mounts: string[];
  try {
    mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  } catch (error) {
    const reason = 'which control group this process is in, only /proc can tell';
    throw new UnsupportedError(reason, '/proc/self/mountinfo', error);
  }
  const mount = mounts.find((line) => line.includes(' - cgroup2 '));
  const point = mount?.split(' ')[4];
  if (point === undefined) {
    throw new UnsupportedError(
      'no file system of control groups (version 2) is mounted',
      'cgroup2',
    );
  }
  const [, own = '/'] = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8')) ?? [];
  return join(point, own);
}

/** The result, or what failed as an error of the launch. */
function attempt<T>(syscall: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    throw new LaunchError({ errno: -errno, syscall, step: 'cgroup', path });
  }
}
