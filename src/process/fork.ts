import { channelError, invalidArgValue } from '../errors.js';
import { cStrings, listOf, ownOptions, validateNoNul, validateObject } from '../validate.js';
import type { ChildProcess } from './child-process.js';
import { pathOf, type SpawnOptions, type StdioOption, spawn } from './spawn.js';

/** Options of fork(): those of spawn() but for the shell, and three of its own. */
export interface ForkOptions extends Omit<SpawnOptions, 'shell'> {
  /** The program. Default: the one that runs this process. */
  execPath?: string | undefined;
  /** Arguments for it, before the module. Default: those of this process. */
  execArgv?: readonly string[] | undefined;
  /** Pipes in place of this process's streams. Default false. */
  silent?: boolean | undefined;
}

/**
 * Runs a module in a process of its own that has a channel to this one, as `node:child_process`'s
 * function of that name: `send`, `message`, `disconnect`. It does not fork, and never did.
 */
export function fork(
  modulePath: string | URL,
  args: readonly string[] | ForkOptions | null = [],
  options?: ForkOptions | null,
): ChildProcess {
  const module = pathOf(modulePath, 'modulePath');
  let list: readonly string[] = [];
  if (args !== null) {
    if (typeof args === 'object' && !Array.isArray(args)) options = args as ForkOptions;
    else {
      list = listOf(args, 'args') as readonly string[];
    }
  }
  if (options !== undefined && options !== null) validateObject(options, 'options');
  const given = ownOptions(options);
  const execPath = given.execPath || process.execPath;
  validateNoNul(execPath, 'options.execPath');
  const execArgv = cStrings(given.execArgv || ownArguments(), 'options.execArgv');
  const stdio = withChannel(given);
  const { silent: _, execPath: __, execArgv: ___, ...rest } = given;
  return spawn(execPath, [...execArgv, module, ...list], { ...rest, stdio, shell: false });
}

/** This process's own arguments, without the script of `node -e`: the child has another. */
function ownArguments(): readonly string[] {
  const { execArgv } = process;
  const script = (process as { _eval?: string })._eval;
  const at = script == null ? -1 : execArgv.lastIndexOf(script);
  return at > 0 ? [...execArgv.slice(0, at - 1), ...execArgv.slice(at + 1)] : execArgv;
}

function withChannel({ stdio, silent }: ForkOptions): readonly StdioOption[] {
  if (Array.isArray(stdio)) {
    const list = listOf(stdio, 'options.stdio') as readonly StdioOption[];
    if (list.includes('ipc')) return list;
    throw channelError('ERR_CHILD_PROCESS_IPC_REQUIRED');
  }
  const word = typeof stdio === 'string' ? stdio : silent ? 'pipe' : 'inherit';
  switch (word) {
    case 'inherit':
      return [0, 1, 2, 'ipc'];
    case 'pipe':
    case 'ignore':
    case 'overlapped':
      return [word, word, word, 'ipc'];
    default:
      throw invalidArgValue('stdio', word);
  }
}
