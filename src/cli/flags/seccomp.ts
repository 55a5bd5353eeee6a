import { readFileSync } from 'node:fs';
import type { ControlOptions } from '../../controls/index.js';
import type { SeccompPolicy } from '../../controls/seccomp.js';
import { UsageError } from '../usage.js';
import type { FlagGroup } from './flag-group.js';

export const SECCOMP_FLAGS: FlagGroup = {
  options: {
    seccomp: { type: 'string' },
    'seccomp-deny': { type: 'string', multiple: true },
  },
  help: `
System calls:
  --seccomp POLICY      filters system calls: default, or a file with a policy as JSON
  --seccomp-deny NAMES  system calls that fail with EPERM; any number of times
`,
  read(values): ControlOptions {
    const policy = values.seccomp as string | undefined;
    const names = ((values['seccomp-deny'] ?? []) as string[]).flatMap((list) => list.split(','));
    if (policy === undefined && names.length === 0) return {};
    const seccomp = policy === undefined ? undefined : policy === 'default' ? policy : read(policy);
    if (names.length === 0) return { seccomp } as ControlOptions;
    return { seccomp: denying(names, seccomp) };
  },
};

/** What is denied comes before all other rules. */
function denying(syscalls: string[], seccomp: unknown): SeccompPolicy {
  const denied = { syscalls, action: { errno: 'EPERM' } } as const;
  if (seccomp === undefined) return { default: 'allow', rules: [denied] };
  if (seccomp === 'default') return { base: 'default', rules: [denied] };
  const policy = seccomp as Partial<SeccompPolicy> | null;
  if (policy === null || typeof policy !== 'object' || 'program' in policy) {
    throw new UsageError('--seccomp-deny adds to a policy, and the file of --seccomp has none');
  }
  const { rules = [] } = policy;
  return { ...policy, rules: Array.isArray(rules) ? [denied, ...rules] : rules };
}

function read(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--seccomp is default or a file: ${(error as Error).message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--seccomp ${file}: ${(error as Error).message}`);
  }
}
