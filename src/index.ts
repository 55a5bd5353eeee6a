import { landlockInForce } from './controls/landlock.js';
import { SYSTEM_PATHS } from './controls/sandbox-options.js';
import { InternalError, LaunchError, UnsupportedError } from './errors.js';
import { ChildProcess } from './process/child-process.js';
import { exec, execFile, execFileSync, execSync, fork, spawn, spawnSync } from './process/forms.js';
import { launch } from './process/launch.js';
import { RunError, run } from './process/run.js';

// The names that those below do not have: callers of node:child_process import its types from it.
export type * from 'node:child_process';
export type { Capability } from './controls/capabilities.js';
export type { CgroupOptions, CgroupSize, IoLimit, NewCgroup } from './controls/cgroup.js';
export type { Cgroup, CgroupUsage } from './controls/cgroup-group.js';
export type {
  CapabilityOptions,
  CapabilitySet,
  CredentialOptions,
  Securebit,
} from './controls/credentials.js';
export type { ExecDescriptor } from './controls/exec.js';
export type { ControlOptions } from './controls/index.js';
export { type LandlockInForce, landlockInForce } from './controls/landlock.js';
export type {
  LandlockAccess,
  LandlockLog,
  LandlockScope,
  LandlockSupport,
} from './controls/landlock-abi.js';
export type {
  LandlockOptions,
  LandlockPath,
  LandlockShorthand,
} from './controls/landlock-options.js';
export type { LimitPair, Limits, LimitValue } from './controls/limits.js';
export type { Mount, MountAttributes } from './controls/mount-options.js';
export type {
  JoinedNamespace,
  Namespaces,
  TimeNamespace,
  UtsNamespace,
} from './controls/namespaces.js';
export type { ParentExitOptions } from './controls/parent-exit.js';
export type { Root } from './controls/root.js';
export type { SandboxInForce } from './controls/sandbox.js';
export {
  type SandboxOptions,
  type SandboxSettings,
  SYSTEM_PATHS,
} from './controls/sandbox-options.js';
export type { IoPriority, Scheduling } from './controls/scheduling.js';
export type {
  SeccompAction,
  SeccompArgument,
  SeccompOptions,
  SeccompPolicy,
  SeccompProgram,
  SeccompRule,
} from './controls/seccomp.js';
export type { SignalList } from './controls/signals.js';
export type { IdRange, UserNamespace } from './controls/user-namespace.js';
export { InternalError, LaunchError, UnsupportedError } from './errors.js';
export type { Executor } from './launch/executor.js';
export type { FileAction } from './plan/plan.js';
export { ChildProcess, type SpawnError } from './process/child-process.js';
export type { EnvironmentOption } from './process/environment.js';
export type {
  ExecCallback,
  ExecError,
  ExecFileOptions,
  ExecOptions,
} from './process/exec-file.js';
export type { Exit, ResourceUsage } from './process/exit.js';
export type { ForkOptions } from './process/fork.js';
export {
  type ChildProcessByStdio,
  type ChildProcessWithoutNullStreams,
  exec,
  execFile,
  execFileSync,
  execSync,
  fork,
  type SpawnOptionsWithoutStdio,
  type SpawnOptionsWithStdioTuple,
  spawn,
  spawnSync,
} from './process/forms.js';
export { type LaunchedProcess, launch } from './process/launch.js';
export type { LaunchOptions } from './process/launch-options.js';
export { RunError, type RunOptions, type RunResult, run } from './process/run.js';
export type { SpawnOptions, StdioOption } from './process/spawn.js';
export type {
  ExecSyncOptions,
  SpawnSyncOptions,
  SpawnSyncResult,
} from './process/spawn-sync.js';

/** All of it in one object, for those who import `node:child_process` as such. */
export default {
  ChildProcess,
  InternalError,
  LaunchError,
  RunError,
  SYSTEM_PATHS,
  UnsupportedError,
  exec,
  execFile,
  execFileSync,
  execSync,
  fork,
  landlockInForce,
  launch,
  run,
  spawn,
  spawnSync,
};
