import type { ControlOptions } from '../../controls/index.js';
import { CGROUP_FLAGS } from './cgroup.js';
import type { FlagGroup, FlagValues } from './flag-group.js';
import { MOUNT_FLAGS } from './mounts.js';
import { NAMESPACE_FLAGS } from './namespaces.js';
import { SECCOMP_FLAGS } from './seccomp.js';

const GROUPS: readonly FlagGroup[] = [CGROUP_FLAGS, NAMESPACE_FLAGS, MOUNT_FLAGS, SECCOMP_FLAGS];

/** Flags of all control options. */
export const CONTROL_FLAGS: FlagGroup['options'] = Object.assign(
  {},
  ...GROUPS.map(({ options }) => options),
);

export const CONTROL_HELP: string = GROUPS.map(({ help }) => help).join('');

/** The control options that flags stand for. */
export function readControls(values: FlagValues): ControlOptions {
  return Object.assign({}, ...GROUPS.map(({ read }) => read(values)));
}
