import { invalidArgType, invalidArgValue } from '../errors.js';
import {
  validateBoolean,
  validateDescriptor,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import type { Contribution, Control } from './control.js';

/** A program by its descriptor. */
export interface ExecDescriptor {
  readonly fd: number;
  /**
   * Leaves the descriptor open in the program, under a number above those that it was given. A
   * script (`#!`) needs that: its interpreter opens it as /dev/fd/N. Default false.
   */
  readonly keepOpen?: boolean | undefined;
}

/** Directory and program by descriptor. */
export interface ExecOptions {
  /**
   * The working directory, by a descriptor of this process: fchdir(2). Relative paths of the
   * program start there. Not with `cwd`. For launch(): by the number that it has after `actions`.
   */
  readonly cwdFd?: number | undefined;
  /**
   * The program, by a descriptor of this process, in place of a path: AT_EMPTY_PATH of execveat(2).
   * Nothing is looked up then; `file` is argv[0] and stands in errors. For launch(): by the number
   * that it has after `actions`. Not with `shell`.
   */
  readonly execFd?: number | ExecDescriptor | undefined;
}

export const EXEC: Control<ExecOptions> = { names: ['cwdFd', 'execFd'], prepare };

function prepare(
  options: ExecOptions & { readonly cwd?: unknown; readonly shell?: unknown },
): Contribution {
  const { cwdFd, execFd, cwd, shell } = options;
  if (cwdFd !== undefined) {
    validateDescriptor(cwdFd, 'options.cwdFd');
    if (cwd != null) {
      throw invalidArgValue('options.cwdFd', cwdFd, 'must not be given with options.cwd');
    }
  }
  if (execFd === undefined) return { steps: {}, cwdFd };
  if (shell) throw invalidArgValue('options.execFd', execFd, 'must not be given with a shell');
  if (typeof execFd === 'number') {
    validateDescriptor(execFd, 'options.execFd');
    return { steps: {}, cwdFd, execFd: { fd: execFd, keepOpen: false } };
  }
  if (execFd === null || typeof execFd !== 'object') {
    throw invalidArgType('options.execFd', 'of type number or object', execFd);
  }
  validateObject(execFd, 'options.execFd');
  validateOptionNames(execFd, ['fd', 'keepOpen'], 'options.execFd');
  const { fd, keepOpen = false } = execFd;
  validateDescriptor(fd, 'options.execFd.fd');
  validateBoolean(keepOpen, 'options.execFd.keepOpen');
  return { steps: {}, cwdFd, execFd: { fd, keepOpen } };
}
