import type { CapabilityOptions, CapabilitySet, Securebit } from '../../controls/credentials.js';
import { MAX_ID } from '../../controls/credentials.js';
import type { ControlOptions } from '../../controls/index.js';
import { UsageError } from '../usage.js';
import type { FlagGroup, FlagValues } from './flag-group.js';
import { listOf, numberOf } from './values.js';

const SETS = ['bounding', 'inheritable', 'permitted', 'effective', 'ambient'] as const;

export const CREDENTIAL_FLAGS: FlagGroup = {
  options: {
    uid: { type: 'string' },
    gid: { type: 'string' },
    groups: { type: 'string' },
    ...Object.fromEntries(SETS.map((set) => [`cap-${set}`, { type: 'string' }] as const)),
    securebits: { type: 'string' },
    'no-new-privileges': { type: 'boolean' },
  },
  help: `
Credentials; a LIST is separated by commas, and none is the empty one:
  --uid ID              user id: real, effective and saved
  --gid ID              group id
  --groups LIST         supplementary groups by id; default none, if --uid or --gid is given
  --cap-bounding LIST   capabilities that the command can ever have, as net_raw; or all
  --cap-inheritable LIST, --cap-permitted LIST, --cap-effective LIST, --cap-ambient LIST
                        the other capability sets
  --securebits LIST     all securebits flags to be set, as noroot
  --no-new-privileges   nothing that is executed gives more privileges
`,
  read: (values): ControlOptions => ({
    uid: id(values, 'uid'),
    gid: id(values, 'gid'),
    groups: listOf(values, 'groups')?.map((text) => numberOf(text, '--groups', MAX_ID)),
    capabilities: capabilities(values),
    securebits: listOf(values, 'securebits') as Securebit[] | undefined,
    noNewPrivileges: values['no-new-privileges'] === true ? true : undefined,
  }),
};

function id(values: FlagValues, name: string): number | undefined {
  const text = values[name];
  return typeof text === 'string' ? numberOf(text, `--${name}`, MAX_ID) : undefined;
}

function capabilities(values: FlagValues): CapabilityOptions | undefined {
  const given = SETS.flatMap((set) => {
    const list = listOf(values, `cap-${set}`);
    if (list === undefined) return [];
    if (list.includes('all') && list.length > 1) {
      throw new UsageError(`--cap-${set} is all or a list`);
    }
    return [[set, list[0] === 'all' ? 'all' : (list as CapabilitySet)] as const];
  });
  return given.length === 0 ? undefined : Object.fromEntries(given);
}
