import { CGROUP_STEPS, type CgroupStep } from './cgroup.js';
import { CREDENTIAL_STEPS, type CredentialStep } from './credentials.js';
import type { Emitter } from './emitter.js';
import { FILE_STEPS, type FileStep } from './files.js';
import type { StepKind, StepKinds } from './kind.js';
import { MOUNT_STEPS, type MountStep } from './mounts.js';
import { NAMESPACE_STEPS, type NamespaceStep } from './namespaces.js';
import { PID_NAMESPACE_STEPS, type PidNamespaceStep } from './pid-namespace.js';
import { PROCESS_STEPS, type ProcessStep } from './process.js';
import { SECCOMP_STEPS, type SeccompStep } from './seccomp.js';
import { SIGNAL_STEPS, type SignalStep } from './signals.js';
import { USER_NAMESPACE_STEPS, type UserNamespaceStep } from './user-namespace.js';

/** A step of a plan. */
export type Step =
  | ProcessStep
  | CgroupStep
  | FileStep
  | CredentialStep
  | SignalStep
  | SeccompStep
  | NamespaceStep
  | UserNamespaceStep
  | PidNamespaceStep
  | MountStep;

const KINDS: StepKinds<Step> = {
  ...PROCESS_STEPS,
  ...CGROUP_STEPS,
  ...FILE_STEPS,
  ...CREDENTIAL_STEPS,
  ...SIGNAL_STEPS,
  ...SECCOMP_STEPS,
  ...NAMESPACE_STEPS,
  ...USER_NAMESPACE_STEPS,
  ...PID_NAMESPACE_STEPS,
  ...MOUNT_STEPS,
};

/** The types of all steps there are. */
export const STEP_TYPES = Object.keys(KINDS) as readonly Step['type'][];

/** What is known of a step's kind. */
export function kindOf(step: Step): StepKind<Step> {
  return KINDS[step.type] as StepKind<Step>;
}

export function emitStep(step: Step, emitter: Emitter): void {
  kindOf(step).emit(step, emitter);
}
