import type { Mount } from '../../controls/mount-options.js';
import type { Root } from '../../controls/root.js';
import { UsageError } from '../usage.js';
import type { FlagGroup, FlagValues } from './flag-group.js';

const string = { type: 'string' } as const;
const list = { type: 'string', multiple: true } as const;

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
    'tmpfs-root': { type: 'boolean' },
    'root-read-only': { type: 'boolean' },
    mount: list,
    ...Object.fromEntries(Object.keys(SHORT).map((flag) => [flag, list])),
  },
  help: `
Mounts and the root, each in a new mount namespace:
  --root DIR            makes a directory the root: pivot_root(2)
  --tmpfs-root          an empty root, for the mounts
  --chroot DIR          the same as --root by chroot(2), without a namespace
  --root-read-only      nothing but what is mounted can be written to
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
    if (name === 'mode') {
      if (!/^[0-7]+$/.test(value ?? '')) throw new UsageError('the mode of a mount is octal');
      mount[name] = Number.parseInt(value as string, 8);
    } else if (name === 'lower') mount[name] = value?.split(':');
    else mount[name] = value === undefined || value === 'true' ? true : value;
    if (value === 'false') mount[name] = false;
  }
  return mount;
}

function rootOf(values: FlagValues): Root | undefined {
  const { root, chroot, 'tmpfs-root': empty, 'root-read-only': readOnly = false } = values;
  if ([root, chroot, empty].filter((each) => each !== undefined).length > 1) {
    throw new UsageError('there is one root: --root, --chroot or --tmpfs-root');
  }
  if (empty) return { type: 'tmpfs', readOnly: readOnly as boolean };
  if (root !== undefined) return { path: root as string, readOnly: readOnly as boolean };
  if (readOnly) throw new UsageError('--root-read-only is for --root and --tmpfs-root');
  return chroot === undefined ? undefined : { path: chroot as string, type: 'chroot' };
}
