export { InternalError, LaunchError, UnsupportedError } from './errors.js';
export type { Executor } from './launch/executor.js';
export type { FileAction } from './plan/plan.js';
export { ChildProcess, type SpawnError } from './process/child-process.js';
export type { EnvironmentOption } from './process/environment.js';
export {
  type ExecCallback,
  type ExecError,
  type ExecFileOptions,
  type ExecOptions,
  exec,
  execFile,
} from './process/exec-file.js';
export type { Exit, ResourceUsage } from './process/exit.js';
export { type ForkOptions, fork } from './process/fork.js';
export { type LaunchedProcess, type LaunchOptions, launch } from './process/launch.js';
export { RunError, type RunOptions, type RunResult, run } from './process/run.js';
export { type SpawnOptions, type StdioOption, spawn } from './process/spawn.js';
export {
  type ExecSyncOptions,
  execFileSync,
  execSync,
  type SpawnSyncOptions,
  type SpawnSyncResult,
  spawnSync,
} from './process/spawn-sync.js';
