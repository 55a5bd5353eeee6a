import type { IoLimit, NewCgroup } from '../../controls/cgroup.js';
import { UsageError } from '../usage.js';
import type { FlagGroup } from './flag-group.js';

/** Flags of a group that is made, and what each sets. */
const LIMITS = {
  'memory-max': 'memoryMax',
  'memory-high': 'memoryHigh',
  'memory-swap-max': 'memorySwapMax',
  'pids-max': 'pidsMax',
  'cpu-max': 'cpuMax',
  'cpu-weight': 'cpuWeight',
} as const;

const string = { type: 'string' } as const;

/** Keys of io.max, and what each sets. */
const IO = { rbps: 'readBytes', wbps: 'writeBytes', riops: 'reads', wiops: 'writes' } as const;

export const CGROUP_FLAGS: FlagGroup = {
  options: {
    cgroup: string,
    'cgroup-parent': string,
    'cgroup-name': string,
    'cgroup-keep': { type: 'boolean' },
    'io-max': { type: 'string', multiple: true },
    ...Object.fromEntries(Object.keys(LIMITS).map((flag) => [flag, string])),
  },
  help: `
Control group (version 2):
  --cgroup DIR          starts the command in this group
  --cgroup-parent DIR   makes a group for the command below this one; default: safeexec's own
  --memory-max SIZE, --memory-high SIZE, --memory-swap-max SIZE, --pids-max N,
  --cpu-max CPUS, --cpu-weight N
                        limits of a group that is made; 'max' is none; CPUS may be
                        QUOTA:PERIOD, in microseconds
  --io-max DEVICE,KEY=VALUE...
                        for a block device, as 8:0,rbps=10MiB,wiops=100; keys rbps, wbps, riops, wiops;
                        any number of times
  --cgroup-name NAME    name of a group that is made; default: a new one
  --cgroup-keep         leaves a group that was made, and what is still in it, when the command ends
`,
  read(values) {
    const made: Record<string, unknown> = {};
    for (const [flag, name] of Object.entries(LIMITS)) {
      if (values[flag] !== undefined) made[name] = amount(String(values[flag]));
    }
    const ioMax = (values['io-max'] as string[] | undefined)?.map(ioLimit);
    Object.assign(made, {
      ...given('parent', values['cgroup-parent']),
      ...given('name', values['cgroup-name']),
      ...given('ioMax', ioMax),
      ...given('onExit', values['cgroup-keep'] === true ? 'keep' : undefined),
    });
    const isNew = Object.keys(made).length > 0;
    if (values.cgroup === undefined) return isNew ? { cgroup: made as NewCgroup } : {};
    if (isNew) throw new UsageError('--cgroup names a group that is there: it takes no settings');
    return { cgroup: values.cgroup as string };
  },
};

function given(name: keyof NewCgroup, value: unknown): Partial<NewCgroup> {
  return value === undefined ? {} : { [name]: value };
}

function amount(text: string): number | string | { quota: number; period: number } {
  const [, quota, period] = /^(\d+):(\d+)$/.exec(text) ?? [];
  if (period !== undefined) return { quota: Number(quota), period: Number(period) };
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function ioLimit(text: string): IoLimit {
  const [device = '', ...fields] = text.split(',');
  const limits = fields.map((field) => {
    const [, key = '', value = ''] = /^(.*?)=(.*)$/.exec(field) ?? [];
    if (!Object.hasOwn(IO, key) || value === '') {
      throw new UsageError(`--io-max wants DEVICE,KEY=VALUE..., not '${text}'`);
    }
    return [IO[key as keyof typeof IO], amount(value)];
  });
  return { device, ...Object.fromEntries(limits) };
}
