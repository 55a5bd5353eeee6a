import type { Mount } from '../../controls/mount-options.js';
import type { Root } from '../../controls/root.js';
import { UsageError } from '../usage.js';
import type { FlagGroup, FlagValues } from './flag-group.js';

const string = { type: 'string' } as const;
const boolean = { type: 'boolean' } as const;
const list = { type: 'string', multiple: true } as const;

/** Flags of the root: its setting, and the kinds of root that have it. */
const OF_ROOT: Readonly<Record<string, readonly [name: string, ...kinds: string[]]>> = {
  'root-read-only': ['readOnly', 'root', 'tmpfs-root'],
  'root-nosuid': ['nosuid', 'root'],
  'root-nodev': ['nodev', 'root'],
  'tmpfs-root-size': ['size', 'tmpfs-root'],
  'tmpfs-root-mode': ['mode', 'tmpfs-root'],
};

/** Flags of one mount, as bwrap(1) calls them, and what each stands for. */
const SHORT: Readonly<Record<string, (value: string) => Record<string, unknown>>> = {
  bind: (value) => ({ type: 'bind', ...places(value) }),
  'ro-bind': (value) => ({ type: 'bind', ...places(value), readOnly: true }),
  'dev-bind': (value) => ({ type: 'bind', ...places(value), nodev: false }),
  tmpfs: (target) => ({ type: 'tmpfs', target }),
  proc: (target) => ({ type: 'proc', target }),
  dev: (target) => ({ type: 'dev', target }),
};

export const MOUNT_FLAGS: FlagGroup = {
  options: {
    root: string,
    chroot: string,
    'tmpfs-root': boolean,
    'tmpfs-root-size': string,
    'tmpfs-root-mode': string,
    'root-read-only': boolean,
    'root-nosuid': boolean,
    'root-nodev': boolean,
    mount: list,
    ...Object.fromEntries(Object.keys(SHORT).map((flag) => [flag, list])),
  },
  help: `
Mounts and the root, each in a new mount namespace:
  --root DIR            makes a directory the root: pivot_root(2)
  --tmpfs-root          an empty root, for the mounts
  --tmpfs-root-size SIZE, --tmpfs-root-mode OCTAL
                        of that one; default: half of the memory, 755
  --chroot DIR          the same as --root by chroot(2), without a namespace
  --root-read-only      nothing but what is mounted can be written to
  --root-nosuid, --root-nodev
                        of --root: no set-user-ID bits, no devices
  --bind SRC[:DEST], --ro-bind SRC[:DEST], --dev-bind SRC[:DEST],
  --tmpfs DEST, --proc DEST, --dev DEST
                        mounts, any number of times; those of higher directories come first
  --mount TYPE[,NAME=VALUE]...
                        any mount, behind those and in the order given:
                        --mount overlay,lower=/a:/b,target=/c
`,
  read(values) {
    const short = Object.entries(SHORT).flatMap(([flag, read]) =>
      ((values[flag] ?? []) as string[]).map(read),
    );
    const depth = ({ source, target = source }: Record<string, unknown>): number =>
      String(target).split('/').filter(Boolean).length;
    const mounts = [
      ...short.toSorted((a, b) => depth(a) - depth(b)),
      ...((values.mount ?? []) as string[]).map(parseMount),
    ];
    const root = rootOf(values);
    return {
      ...(mounts.length === 0 ? {} : { mounts: mounts as unknown as Mount[] }),
      ...(root === undefined ? {} : { root }),
    };
  },
};

/** `SRC:DEST`, or a path that is both. */
function places(value: string): Record<string, string> {
  const [, source = value, target] = /^(.*?):(.*)$/.exec(value) ?? [];
  return target === undefined ? { source } : { source, target };
}

/** `type,name=value,name`: what has no value is true. */
function parseMount(given: string): Record<string, unknown> {
  const [type, ...fields] = given.split(',');
  const mount: Record<string, unknown> = { type };
  for (const field of fields) {
    const [, name = field, value] = /^(.*?)=(.*)$/.exec(field) ?? [];
    if (name === 'mode') mount[name] = octal(value);
    else if (name === 'lower') mount[name] = value?.split(':');
    else mount[name] = value === undefined || value === 'true' ? true : value;
    if (value === 'false') mount[name] = false;
  }
  return mount;
}

function rootOf(values: FlagValues): Root | undefined {
  const given = ['root', 'chroot', 'tmpfs-root'].filter((kind) => values[kind] !== undefined);
  if (given.length > 1) {
    throw new UsageError('there is one root: --root, --chroot or --tmpfs-root');
  }
  const [kind] = given;
  const settings: Record<string, unknown> = {};
  for (const [flag, [name, ...kinds]] of Object.entries(OF_ROOT)) {
    const value = values[flag];
    if (value === undefined) continue;
    if (!kinds.includes(kind ?? '')) {
      throw new UsageError(`--${flag} is for ${kinds.map((each) => `--${each}`).join(' and ')}`);
    }
    settings[name] = name === 'mode' ? octal(String(value)) : value;
  }
  if (kind === 'tmpfs-root') return { type: 'tmpfs', ...settings };
  if (kind === 'root') return { path: values.root as string, ...settings };
  return kind === undefined ? undefined : { path: values.chroot as string, type: 'chroot' };
}

/** The bits of a mode. */
function octal(text: string | undefined): number {
  if (/^[0-7]+$/.test(text ?? '')) return Number.parseInt(text as string, 8);
  throw new UsageError('the mode of a mount is octal');
}
