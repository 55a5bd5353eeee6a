import { CGROUP_STEPS, type CgroupStep } from './cgroup.js';
import { CREDENTIAL_STEPS, type CredentialStep } from './credentials.js';
import type { Emitter } from './emitter.js';
import { FILE_STEPS, type FileStep } from './files.js';
import type { StepKind, StepKinds } from './kind.js';
import { LANDLOCK_STEPS, type LandlockStep } from './landlock.js';
import { LIMIT_STEPS, type LimitStep } from './limits.js';
import { MOUNT_STEPS, type MountStep } from './mounts.js';
import { NAMESPACE_STEPS, type NamespaceStep } from './namespaces.js';
import { PID_NAMESPACE_STEPS, type PidNamespaceStep } from './pid-namespace.js';
import { PROCESS_STEPS, type ProcessStep } from './process.js';
import { SCHEDULING_STEPS, type SchedulingStep } from './scheduling.js';
import { SECCOMP_STEPS, type SeccompStep } from './seccomp.js';
import { SIGNAL_STEPS, type SignalStep } from './signals.js';
import { USER_NAMESPACE_STEPS, type UserNamespaceStep } from './user-namespace.js';

/** A step of a plan. */
export type Step =
  | CgroupStep
  | CredentialStep
  | FileStep
  | LandlockStep
  | LimitStep
  | MountStep
  | NamespaceStep
  | PidNamespaceStep
  | ProcessStep
  | SchedulingStep
  | SeccompStep
  | SignalStep
  | UserNamespaceStep;

const KINDS: StepKinds<Step> = {
  ...CGROUP_STEPS,
  ...CREDENTIAL_STEPS,
  ...FILE_STEPS,
  ...LANDLOCK_STEPS,
  ...LIMIT_STEPS,
  ...MOUNT_STEPS,
  ...NAMESPACE_STEPS,
  ...PID_NAMESPACE_STEPS,
  ...PROCESS_STEPS,
  ...SCHEDULING_STEPS,
  ...SECCOMP_STEPS,
  ...SIGNAL_STEPS,
  ...USER_NAMESPACE_STEPS,
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
