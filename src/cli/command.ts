import { type ControlOptions, prepareControls } from '../controls/index.js';
import { EXECUTORS, type Executor } from '../launch/executor.js';
import type { EnvironmentOption } from '../process/environment.js';
import type { FlagValues } from './flags/flag-group.js';
import { CONTROL_FLAGS, readControls } from './flags/index.js';
import { UsageError } from './usage.js';

/** The options that `run` and `explain` have in common. */
export const COMMAND_OPTIONS = {
  cwd: { type: 'string' },
  env: { type: 'string', multiple: true },
  'clear-env': { type: 'boolean' },
  argv0: { type: 'string' },
  executor: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What `parseOptions` makes of them. */
export interface CommandValues {
  readonly cwd?: string | undefined;
  readonly env?: string[] | undefined;
  readonly 'clear-env'?: boolean | undefined;
  readonly argv0?: string | undefined;
  readonly executor?: string | undefined;
}

/** A command, and how it is to be started. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string | undefined;
  /** undefined: this process's environment. */
  readonly env: EnvironmentOption | undefined;
  readonly argv0: string | undefined;
  /** undefined: the first that works. */
  readonly executor: Executor | undefined;
  readonly controls: ControlOptions;
}

export function readCommand(values: CommandValues, words: readonly string[]): Command {
  const [file, ...args] = words;
  if (file === undefined) throw new UsageError('which command?');
  if (file === '') throw new UsageError('the name of the command is empty');
  const { executor, cwd, argv0 } = values;
  if (executor !== undefined && !isExecutor(executor)) {
    throw new UsageError(`--executor is one of ${EXECUTORS.join(', ')}, not '${executor}'`);
  }
  if (cwd === '') throw new UsageError('--cwd is empty');
  const controls = controlsOf(values as FlagValues);
  return { file, args, cwd, argv0, executor, controls, env: environmentOf(values) };
}

/** Those of a subcommand, and the flags of control options, which readCommand() reads. */
export function withControls<T extends object>(options: T): T {
  return { ...CONTROL_FLAGS, ...options };
}

function controlsOf(values: FlagValues): ControlOptions {
  const controls = readControls(values);
  try {
    prepareControls(controls);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message);
    }
    throw error;
  }
  return controls;
}

function isExecutor(name: string): name is Executor {
  return (EXECUTORS as readonly string[]).includes(name);
}

function environmentOf({ env = [], 'clear-env': clear = false }: CommandValues) {
  if (env.length === 0 && !clear) return undefined;
  const variables: Record<string, string | undefined> = clear ? {} : { ...process.env };
  for (const pair of env) {
    const end = pair.indexOf('=');
    if (end < 1) throw new UsageError(`--env wants NAME=VALUE, not '${pair}'`);
    variables[pair.slice(0, end)] = pair.slice(end + 1);
  }
  return variables;
}
