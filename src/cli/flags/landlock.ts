import type { ControlOptions } from '../../controls/index.js';
import type { LandlockAccess, LandlockLog, LandlockScope } from '../../controls/landlock-abi.js';
import type { LandlockOptions, LandlockPath } from '../../controls/landlock-options.js';
import { UsageError } from '../usage.js';
import type { FlagGroup, FlagValues } from './flag-group.js';
import { listOf, numberOf } from './values.js';

const SHORTHANDS = ['read', 'write', 'execute'] as const;

export const LANDLOCK_FLAGS: FlagGroup = {
  options: {
    'landlock-path': { type: 'string', multiple: true },
    'landlock-path-try': { type: 'string', multiple: true },
    'landlock-standard-streams': { type: 'boolean' },
    'landlock-handled': { type: 'string' },
    'landlock-tcp-bind': { type: 'string' },
    'landlock-tcp-connect': { type: 'string' },
    'landlock-scopes': { type: 'string' },
    'landlock-log': { type: 'string' },
    'landlock-best-effort': { type: 'boolean' },
  },
  help: `
Landlock; what is restricted is denied, but for what is named:
  --landlock-path ACCESS:PATH
                        what may be done beneath a path: read, execute (reads too), write (the
                        same), or rights as read_file,execute; any number of times; none for no path
  --landlock-path-try ACCESS:PATH
                        the same, if the path is there
  --landlock-standard-streams
                        standard streams may be opened by name, as /dev/stderr
  --landlock-handled LIST
                        the rights on files that are restricted; default all
  --landlock-tcp-bind LIST, --landlock-tcp-connect LIST
                        the only TCP ports that may be used; or none
  --landlock-scopes LIST
                        what must not reach out: signal, abstract_unix_socket
  --landlock-log LIST   for the audit log: same_exec_off, new_exec_on, subdomains_off
  --landlock-best-effort
                        leaves out what this kernel lacks
`,
  read: (values): ControlOptions => {
    const landlock: LandlockOptions = {
      paths: paths(values),
      standardStreams: values['landlock-standard-streams'] === true ? true : undefined,
      handled: listOf(values, 'landlock-handled') as LandlockAccess[] | undefined,
      tcpBind: ports(values, 'landlock-tcp-bind'),
      tcpConnect: ports(values, 'landlock-tcp-connect'),
      scopes: listOf(values, 'landlock-scopes') as LandlockScope[] | undefined,
      log: listOf(values, 'landlock-log') as LandlockLog[] | undefined,
      bestEffort: values['landlock-best-effort'] === true ? true : undefined,
    };
    return Object.values(landlock).every((value) => value === undefined) ? {} : { landlock };
  },
};

function paths(values: FlagValues): LandlockPath[] | undefined {
  const given = [
    ...words(values, 'landlock-path').map((text) => ({ text, optional: undefined })),
    ...words(values, 'landlock-path-try').map((text) => ({ text, optional: true })),
  ];
  if (given.length === 0) return undefined;
  return given.flatMap(({ text, optional }) => {
    if (text === 'none') return [];
    const end = text.indexOf(':');
    if (end < 1) throw new UsageError(`--landlock-path wants ACCESS:PATH, not '${text}'`);
    const name = text.slice(0, end);
    const access = isShorthand(name) ? name : (name.split(',') as LandlockAccess[]);
    return [{ path: text.slice(end + 1), access, optional }];
  });
}

function isShorthand(name: string): name is (typeof SHORTHANDS)[number] {
  return (SHORTHANDS as readonly string[]).includes(name);
}

function words(values: FlagValues, name: string): readonly string[] {
  const given = values[name];
  return Array.isArray(given) ? given : [];
}

function ports(values: FlagValues, name: string): number[] | undefined {
  return listOf(values, name)?.map((text) => numberOf(text, `--${name}`, 65_535));
}
