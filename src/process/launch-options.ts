import { MAX_ID } from '../controls/credentials.js';
import { CONTROL_NAMES, type ControlOptions } from '../controls/index.js';
import { invalidArgType, invalidArgValue, LaunchError } from '../errors.js';
import { EXECUTORS, type Executor } from '../launch/executor.js';
import { ENAMETOOLONG, PATH_MAX } from '../plan/constants.js';
import type { FileAction } from '../plan/plan.js';
import {
  listOf,
  ownOptions,
  validateArray,
  validateBoolean,
  validateCString,
  validateDescriptor,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import type { EnvironmentOption } from './environment.js';

/** Options of launch(). */
export interface LaunchOptions extends ControlOptions {
  /** The program: a path, or with `search` a name that is looked up in the child's PATH. */
  readonly path: string;
  /** argv, with argv[0]; at least one string. Default: [path]. */
  readonly argv?: readonly string[] | undefined;
  /** Environment. Default: this process's. */
  readonly env?: EnvironmentOption | null | undefined;
  /** Looks `path` up in PATH, and has /bin/sh run what the kernel cannot: execvp(3). Default false. */
  readonly search?: boolean | undefined;
  /**
   * What happens to descriptors and directories, in this order. Paths are those of this process's
   * root, whatever the child's root is.
   */
  readonly actions?: readonly FileAction[] | undefined;
  /**
   * The working directory, at last: in the child's root, and if it is relative, from where
   * `actions` and `root` have led. Default: there.
   */
  readonly cwd?: string | undefined;
  /**
   * Closes what was not given to the child: all but 0 to 2 and what `actions` open. Default true.
   * With false the child has, as after posix_spawn(3), also every other descriptor that is not
   * close-on-exec.
   */
  readonly closeOthers?: boolean | undefined;
  /** What runs the plan. Default `image`, and `direct` where memory must not be executed. */
  readonly executor?: Executor | undefined;
}

/** Names of launch()'s options. */
export const LAUNCH_OPTIONS: readonly (keyof LaunchOptions)[] = [
  'path',
  'argv',
  'env',
  'search',
  'actions',
  'cwd',
  'closeOthers',
  'executor',
  ...CONTROL_NAMES,
];

/** The options, checked, in lists and records that are nobody else's. */
export function checkedOptions(all: LaunchOptions): LaunchOptions {
  const given = ownOptions(all);
  const argv = given.argv === undefined ? undefined : listOf(given.argv, 'options.argv');
  const list = given.actions === undefined ? undefined : listOf(given.actions, 'options.actions');
  const actions = list?.map((action, i) => {
    validateObject(action, `options.actions[${i}]`);
    const own = ownOptions(action as Record<string, unknown>);
    if (own.fds !== undefined) own.fds = listOf(own.fds, `options.actions[${i}].fds`);
    return own;
  });
  const options = ownOptions({ ...given, argv, actions } as LaunchOptions);
  validate(options);
  return options;
}

function validate(options: LaunchOptions): void {
  validateOptionNames(options, LAUNCH_OPTIONS);
  const { path, argv, actions, cwd, executor } = options;
  validatePath(path, 'options.path', 'exec');
  if (path === '') throw invalidArgValue('options.path', path, 'cannot be empty');
  if (cwd !== undefined) validatePath(cwd, 'options.cwd', 'chdir');
  if (argv !== undefined) {
    if (argv.length === 0) throw invalidArgValue('options.argv', argv, 'needs at least argv[0]');
    argv.forEach((argument, i) => {
      validateCString(argument, `options.argv[${i}]`);
    });
  }
  for (const name of ['search', 'closeOthers'] as const) {
    if (options[name] !== undefined) validateBoolean(options[name], `options.${name}`);
  }
  if (options.env != null) {
    validateObject(options.env, 'options.env');
    // Each element would be a variable.
    if (ArrayBuffer.isView(options.env)) {
      throw invalidArgType('options.env', 'of type object', options.env);
    }
  }
  // spawn() takes negative ones too, as Node's does.
  for (const name of ['uid', 'gid'] as const) {
    if (options[name] !== undefined) validateInteger(options[name], `options.${name}`, 0, MAX_ID);
  }
  if (executor !== undefined && !EXECUTORS.includes(executor)) {
    throw invalidArgValue('options.executor', executor, `must be one of: ${EXECUTORS.join(', ')}`);
  }
  actions?.forEach((action, i) => {
    validateAction(action, `options.actions[${i}]`);
  });
}

/** Fields of each file action besides its type; a question mark for those that may be missing. */
const ACTION_FIELDS: Readonly<Record<FileAction['type'], readonly string[]>> = {
  open: ['fd', 'path', 'flags?', 'mode?'],
  close: ['fd'],
  dup2: ['from', 'to'],
  chdir: ['path'],
  fchdir: ['fd'],
  closeFrom: ['fd'],
  closeAllBut: ['fds'],
  tcsetpgrp: ['fd'],
};

/** A path that can be one: the kernel would say the same of it, but it would have to get there. */
function validatePath(path: unknown, name: string, step: string): void {
  validateCString(path, name);
  if (path.length >= PATH_MAX) {
    const syscall = { open: 'openat', exec: 'execve' }[step] ?? step;
    throw new LaunchError({ errno: ENAMETOOLONG, syscall, step, path });
  }
}

function validateAction(action: unknown, name: string): asserts action is FileAction {
  validateObject(action, name);
  const record = action as Record<string, unknown>;
  const { type } = record;
  if (typeof type !== 'string' || !Object.hasOwn(ACTION_FIELDS, type)) {
    const known = Object.keys(ACTION_FIELDS).join(', ');
    throw invalidArgValue(`${name}.type`, type, `must be one of: ${known}`);
  }
  const fields = ACTION_FIELDS[type as FileAction['type']];
  const plain = fields.map((field) => field.replace('?', ''));
  validateOptionNames(record, ['type', ...plain], name);
  for (const [i, field] of plain.entries()) {
    const value = record[field];
    const where = `${name}.${field}`;
    if (value === undefined && fields[i] !== field) continue;
    if (field === 'path') validatePath(value, where, type);
    else if (field === 'fds') {
      validateArray(value, where);
      for (const [n, fd] of value.entries()) validateDescriptor(fd, `${where}[${n}]`);
    } else if (field === 'flags' || field === 'mode') validateInteger(value, where, 0, 0x7fffffff);
    else if (value === undefined) throw invalidArgType(where, 'of type number', value);
    else validateDescriptor(value, where);
  }
}
