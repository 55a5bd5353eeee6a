import type { ControlOptions } from '../../controls/index.js';
import { CGROUP_FLAGS } from './cgroup.js';
import { CREDENTIAL_FLAGS } from './credentials.js';
import type { FlagGroup, FlagValues } from './flag-group.js';
import { LANDLOCK_FLAGS } from './landlock.js';
import { MOUNT_FLAGS } from './mounts.js';
import { NAMESPACE_FLAGS } from './namespaces.js';
import { PARENT_EXIT_FLAGS } from './parent-exit.js';
import { PROCESS_FLAGS } from './process.js';
import { SANDBOX_FLAGS } from './sandbox.js';
import { SECCOMP_FLAGS } from './seccomp.js';

const GROUPS: readonly FlagGroup[] = [
  SANDBOX_FLAGS,
  CGROUP_FLAGS,
  CREDENTIAL_FLAGS,
  LANDLOCK_FLAGS,
  MOUNT_FLAGS,
  NAMESPACE_FLAGS,
  PARENT_EXIT_FLAGS,
  PROCESS_FLAGS,
  SECCOMP_FLAGS,
];

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
