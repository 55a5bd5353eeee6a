import type { ControlOptions } from '../../controls/index.js';
import type { Limits } from '../../controls/limits.js';
import type { Scheduling } from '../../controls/scheduling.js';
import { UsageError } from '../usage.js';
import type { FlagGroup, FlagValues } from './flag-group.js';
import { signalOf } from './values.js';

const string = { type: 'string' } as const;
const boolean = { type: 'boolean' } as const;

/** Flags that take one number, and their options. */
const NUMBERS = {
  setpgid: 'setpgid',
  'controlling-terminal': 'controllingTerminal',
  foreground: 'foreground',
  nice: 'nice',
  'oom-score-adjust': 'oomScoreAdjust',
  'timer-slack': 'timerSlack',
  'cwd-fd': 'cwdFd',
} as const;

/** Flags that take a list of signals, and their options. */
const SIGNAL_LISTS = {
  'signal-mask': 'signalMask',
  'ignored-signals': 'ignoredSignals',
  'signal-defaults': 'signalDefaults',
} as const;

/** Flags that are an option's value, and that value. */
const SWITCHES = {
  'transparent-huge-pages': { transparentHugePages: true },
  'no-transparent-huge-pages': { transparentHugePages: false },
  'address-randomization': { addressRandomization: true },
  'no-address-randomization': { addressRandomization: false },
  'no-dumpable': { dumpable: false },
} as const;

/** Session, scheduling, memory, limits, signals, descriptors. */
export const PROCESS_FLAGS: FlagGroup = {
  options: {
    umask: string,
    setsid: boolean,
    ...Object.fromEntries(Object.keys(NUMBERS).map((flag) => [flag, string])),
    scheduling: string,
    cpus: string,
    'io-priority': string,
    limit: { type: 'string', multiple: true },
    'reset-on-fork': boolean,
    ...Object.fromEntries(Object.keys(SWITCHES).map((flag) => [flag, boolean])),
    ...Object.fromEntries(Object.keys(SIGNAL_LISTS).map((flag) => [flag, string])),
    'exec-fd': string,
    'exec-fd-keep-open': boolean,
  },
  help: `
Process:
  --umask OCTAL         file mode creation mask
  --setsid              a new session
  --setpgid PGID        joins a process group, or makes one (0)
  --controlling-terminal FD
                        the terminal of the new session; needs --setsid
  --foreground FD       makes its group the foreground group of this terminal
  --nice N              nice value itself, -20 to 19: --nice=-5
  --scheduling POLICY   other, batch, idle, fifo:PRIORITY, rr:PRIORITY,
                        deadline:RUNTIME:DEADLINE[:PERIOD] in nanoseconds
  --reset-on-fork       its children have the usual policy; goes with --scheduling
  --cpus LIST           CPUs it may run on, as 0-3,5
  --io-priority CLASS   none, idle, best-effort[:LEVEL], realtime[:LEVEL]; 0 to 7
  --timer-slack NS      nanoseconds by which timers may be late
  --oom-score-adjust N  -1000 to 1000: how soon it is ended when memory is short
  --no-transparent-huge-pages, --no-address-randomization
  --transparent-huge-pages, --address-randomization
                        take these back where they are inherited
  --no-dumpable         is refused: exec makes a program dumpable, whatever was set
  --limit NAME=VALUE    resource limit, by its name in prlimit(1): as=2GiB, nofile=64:128
                        (soft:hard), core=0:, cpu=unlimited; any number of times
  --signal-mask LIST    signals that are blocked, as TERM,INT
  --ignored-signals LIST
  --signal-defaults LIST
                        signals with their default action; default: all
  --cwd-fd FD           directory, by a descriptor of safeexec
  --exec-fd FD          program, by a descriptor of safeexec; COMMAND is argv[0]
  --exec-fd-keep-open   leaves it open in the program: scripts need that
`,
  read(values) {
    const options: Record<string, unknown> = {};
    for (const [flag, name] of Object.entries(NUMBERS)) {
      if (values[flag] !== undefined) options[name] = integer(values[flag], flag);
    }
    for (const [flag, name] of Object.entries(SIGNAL_LISTS)) {
      if (values[flag] !== undefined) options[name] = signals(String(values[flag]), name);
    }
    if (values.umask !== undefined) options.umask = octal(String(values.umask));
    if (values.setsid) options.setsid = true;
    if (values.scheduling !== undefined) options.scheduling = scheduling(values);
    else if (values['reset-on-fork'])
      throw new UsageError('--reset-on-fork goes with --scheduling');
    if (values.cpus !== undefined) options.cpus = values.cpus;
    if (values['io-priority'] !== undefined) {
      const [name, level] = String(values['io-priority']).split(/:(.*)/s);
      options.ioPriority = {
        class: name,
        level: level === undefined ? undefined : integer(level, 'io-priority'),
      };
    }
    if (values.limit !== undefined) options.limits = limits(values.limit as string[]);
    for (const [flag, option] of Object.entries(SWITCHES)) {
      if (!values[flag]) continue;
      const [name] = Object.keys(option) as [string];
      if (name in options) throw new UsageError(`--${flag.replace(/^no-/, '')} is given both ways`);
      Object.assign(options, option);
    }
    if (values.cwd !== undefined && values['cwd-fd'] !== undefined) {
      throw new UsageError('--cwd and --cwd-fd do not go together');
    }
    Object.assign(options, program(values));
    return options as ControlOptions;
  },
};

function program(values: FlagValues): ControlOptions {
  const keepOpen = values['exec-fd-keep-open'] === true;
  if (values['exec-fd'] === undefined) {
    if (keepOpen) throw new UsageError('--exec-fd-keep-open goes with --exec-fd');
    return {};
  }
  return { execFd: { fd: integer(values['exec-fd'], 'exec-fd'), keepOpen } };
}

function integer(text: FlagValues[string], flag: string): number {
  if (typeof text === 'string' && /^-?\d+$/.test(text)) return Number(text);
  throw new UsageError(`--${flag} wants a number, not '${text}'`);
}

function octal(text: string): number {
  if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  throw new UsageError(`--umask wants octal digits, not '${text}'`);
}

/** Names with SIG or without, or numbers. */
function signals(text: string, name: string): 'all' | (string | number)[] {
  if (text === 'all' && name === 'signalDefaults') return text;
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => {
      if (/^\d+$/.test(name)) return Number(name);
      return signalOf(name);
    });
}

function scheduling(values: FlagValues): Scheduling {
  const text = String(values.scheduling);
  const [policy, ...rest] = text.split(':');
  const numbers = rest.map((number) => integer(number, 'scheduling'));
  const names = policy === 'deadline' ? ['runtime', 'deadline', 'period'] : ['priority'];
  if (numbers.length > names.length) throw new UsageError(`--scheduling is too long: '${text}'`);
  const given = numbers.map((number, i) => [names[i], number]);
  const reset = values['reset-on-fork'] ? { resetOnFork: true } : {};
  return { policy, ...Object.fromEntries(given), ...reset } as Scheduling;
}

/** As prlimit(1) has them: `VALUE`, `SOFT:HARD`, `SOFT:`, `:HARD`. */
function limits(texts: readonly string[]): Limits {
  const all: Record<string, unknown> = {};
  for (const text of texts) {
    const [, name, value] = /^(\w+)=(.+)$/.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(`--limit wants NAME=VALUE, not '${text}'`);
    }
    const [soft, hard] = value.split(/:(.*)/s);
    all[name] =
      hard === undefined
        ? limit(value)
        : { ...(soft ? { soft: limit(soft) } : {}), ...(hard ? { hard: limit(hard) } : {}) };
  }
  return all as Limits;
}

function limit(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}
