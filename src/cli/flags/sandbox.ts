import type { SandboxSettings } from '../../controls/sandbox-options.js';
import { UsageError } from '../usage.js';
import type { FlagGroup } from './flag-group.js';

const boolean = { type: 'boolean' } as const;
const string = { type: 'string' } as const;
const list = { type: 'string', multiple: true } as const;

/** Flags that say something only of a sandbox. */
const SETTINGS = {
  read: list,
  write: list,
  net: boolean,
  tmp: string,
  processes: string,
  memory: string,
  'best-effort': boolean,
} as const;

export const SANDBOX_FLAGS: FlagGroup = {
  options: { sandbox: boolean, ...SETTINGS },
  help: `
Sandbox:
  --sandbox             runs the command with nothing but what the next ones name; no root needed
  --read PATH           may be read and run, any number of times; default: the system's directories
  --write PATH          may be read, changed and run, any number of times; default: none
  --net                 may use the network
  --tmp SIZE            size of its own /tmp; default 256MiB, 0 for none
  --processes N         processes and threads it may have; default 1024
  --memory SIZE         data that each of its processes may have
  --best-effort         goes on with what this kernel allows, where it does not allow all of that
`,
  read(values) {
    const used = Object.keys(SETTINGS).find((flag) => values[flag] !== undefined);
    if (!values.sandbox) {
      if (used !== undefined) throw new UsageError(`--${used} is of --sandbox`);
      return {};
    }
    const { read, write, net, tmp, processes, memory } = values;
    const settings: Record<keyof SandboxSettings, unknown> = {
      read,
      write,
      net,
      tmp: tmp === '0' ? false : number(tmp),
      processes: number(processes),
      memory: number(memory),
      bestEffort: values['best-effort'],
    };
    return { sandbox: settings as SandboxSettings };
  },
};

/** Sizes have units, or are numbers. */
function number(value: unknown): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
}
