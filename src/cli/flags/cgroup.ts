import type { NewCgroup } from '../../controls/cgroup.js';
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

export const CGROUP_FLAGS: FlagGroup = {
  options: {
    cgroup: string,
    'cgroup-parent': string,
    ...Object.fromEntries(Object.keys(LIMITS).map((flag) => [flag, string])),
  },
  help: `
Control group (version 2):
  --cgroup DIR          starts the command in this group
  --cgroup-parent DIR   makes a group for the command below this one; default: safeexec's own
  --memory-max SIZE, --memory-high SIZE, --memory-swap-max SIZE, --pids-max N,
  --cpu-max CPUS, --cpu-weight N
                        limits of a group that is made; 'max' is none
`,
  read(values) {
    const limits: Record<string, unknown> = {};
    for (const [flag, name] of Object.entries(LIMITS)) {
      const text = values[flag];
      if (text === undefined) continue;
      const number = typeof text === 'string' && /^\d+(\.\d+)?$/.test(text);
      limits[name] = number ? Number(text) : text;
    }
    const parent = values['cgroup-parent'];
    const isNew = parent !== undefined || Object.keys(limits).length > 0;
    if (values.cgroup === undefined)
      return isNew ? { cgroup: { parent, ...limits } as NewCgroup } : {};
    if (isNew) throw new UsageError('--cgroup names a group that is there: it takes no limits');
    return { cgroup: values.cgroup as string };
  },
};
