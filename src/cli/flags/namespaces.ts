import type { Namespaces } from '../../controls/namespaces.js';
import type { IdRange } from '../../controls/user-namespace.js';
import { UsageError } from '../usage.js';
import type { FlagGroup, FlagValues } from './flag-group.js';

const boolean = { type: 'boolean' } as const;
const string = { type: 'string' } as const;
const list = { type: 'string', multiple: true } as const;

/** Flags of new namespaces, as unshare(1) and bwrap(1) call them. */
const NEW = {
  'unshare-user': 'user',
  'unshare-mount': 'mount',
  'unshare-pid': 'pid',
  'unshare-net': 'network',
  'unshare-ipc': 'ipc',
  'unshare-uts': 'uts',
  'unshare-cgroup': 'cgroup',
  'unshare-time': 'time',
} as const;

type Kind = keyof Namespaces;
const KINDS: readonly Kind[] = Object.values(NEW);

/** Flags of settings: of which kind, and what they are called there. */
const SETTINGS = {
  'map-user': ['user', 'uid', number],
  'map-group': ['user', 'gid', number],
  'map-users': ['user', 'uidMap', ranges],
  'map-groups': ['user', 'gidMap', ranges],
  hostname: ['uts', 'hostname', text],
  domainname: ['uts', 'domainname', text],
  monotonic: ['time', 'monotonic', number],
  boottime: ['time', 'boottime', number],
} as const;

export const NAMESPACE_FLAGS: FlagGroup = {
  options: {
    ...Object.fromEntries(Object.keys(NEW).map((flag) => [flag, boolean])),
    'unshare-all': boolean,
    ...Object.fromEntries(
      Object.keys(SETTINGS).map((flag) => [flag, /s$/.test(flag) ? list : string]),
    ),
    join: list,
  },
  help: `
Namespaces:
  --unshare-user, --unshare-mount, --unshare-pid, --unshare-net, --unshare-ipc,
  --unshare-uts, --unshare-cgroup, --unshare-time
                        a new namespace of that kind
  --unshare-all         all of them but time
  --map-user ID, --map-group ID
                        what the own ids are in a new user namespace; default: the same
  --map-users INSIDE:OUTSIDE:SIZE, --map-groups INSIDE:OUTSIDE:SIZE
                        ranges of ids, any number of times
  --hostname NAME, --domainname NAME
                        names in a new uts namespace
  --monotonic SECONDS, --boottime SECONDS
                        what the clocks of a new time namespace are ahead
  --join KIND=FD        joins the namespace of a descriptor: user, mount, pid, network, ipc,
                        uts, cgroup or time
`,
  read(values) {
    const namespaces: Partial<Record<Kind, unknown>> = {};
    for (const [flag, kind] of Object.entries(NEW)) {
      if (values[flag] || (values['unshare-all'] && kind !== 'time')) namespaces[kind] = true;
    }
    for (const [flag, [kind, name, read]] of Object.entries(SETTINGS)) {
      const value = values[flag];
      if (value === undefined) continue;
      const settings = namespaces[kind];
      const others = typeof settings === 'object' ? settings : {};
      namespaces[kind] = { ...others, [name]: read(value, `--${flag}`) };
    }
    for (const joined of (values.join ?? []) as string[]) join(joined, namespaces);
    return Object.keys(namespaces).length === 0 ? {} : { namespaces: namespaces as Namespaces };
  },
};

function join(given: string, namespaces: Partial<Record<Kind, unknown>>): void {
  const [, name, fd] = /^(\w+)=(\d+)$/.exec(given) ?? [];
  const kind = KINDS.find((each) => each === name);
  if (kind === undefined) {
    throw new UsageError(`--join wants KIND=FD, KIND being one of ${KINDS.join(', ')}`);
  }
  if (typeof namespaces[kind] === 'object') {
    throw new UsageError(`--join ${kind} excludes the settings of a new one`);
  }
  namespaces[kind] = { join: Number(fd) };
}

type Value = NonNullable<FlagValues[string]>;

function text(value: Value): string {
  return String(value);
}

function number(value: Value, flag: string): number {
  const result = Number(value);
  if (value === '' || Number.isNaN(result)) throw new UsageError(`${flag} wants a number`);
  return result;
}

function ranges(value: Value, flag: string): IdRange[] {
  return (value as string[]).map((range) => {
    const [, inside, outside, size] = /^(\d+):(\d+):(\d+)$/.exec(range) ?? [];
    if (size === undefined) throw new UsageError(`${flag} wants INSIDE:OUTSIDE:SIZE`);
    return { inside: Number(inside), outside: Number(outside), size: Number(size) };
  });
}
