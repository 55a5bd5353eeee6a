import { isMainThread } from 'node:worker_threads';
import type { Environment } from '../launch/vectors.js';
import { MAX_ARG_STRLEN } from '../plan/constants.js';
import { cString, validateNoNul } from '../validate.js';
import { withPermissionFlags } from './permission.js';

/** What callers can pass as an environment. Values are converted to strings. */
export type EnvironmentOption = Readonly<Record<string, string | undefined>>;

const DEFAULT_PATH = '/bin:/usr/bin';

/**
 * The environment for a new process. Without `env` it is this process's own, which the kernel
 * reads from where libc keeps it: going through `process.env` takes longer than a whole launch.
 * `args` are those of the program.
 */
export function environment(
  env: EnvironmentOption | null | undefined,
  args: readonly unknown[] = [],
): Environment {
  if (process.permission !== undefined) {
    return withPermissionFlags(withCoverage(env ?? process.env), args);
  }
  if (!env) return ownIsLive() ? 'inherit' : pairs(process.env);
  return withCoverage(env);
}

function withCoverage(env: EnvironmentOption): string[] {
  const { NODE_V8_COVERAGE: coverage } = process.env;
  // As Node does: coverage goes on into children with an environment of their own.
  if (coverage && !Object.hasOwn(env, 'NODE_V8_COVERAGE')) {
    return [...pairs(env), `NODE_V8_COVERAGE=${coverage}`];
  }
  return pairs(env);
}

/** `NAME=value` for each variable, inherited properties included as in Node. */
export function pairs(env: EnvironmentOption): string[] {
  const list: string[] = [];
  for (const name in env) {
    const value = env[name];
    if (value === undefined) continue;
    const text =
      typeof value === 'string' ? value : cString(value, `options.env['${name.slice(0, 100)}']`);
    // Together they could be longer than any string.
    if (name.length + text.length > MAX_ARG_STRLEN) validatePair(name, text);
    const pair = `${name}=${text}`;
    if (pair.includes('\0')) validatePair(name, text);
    list.push(pair);
  }
  return list;
}

function validatePair(name: string, value: string): void {
  const shown = `options.env['${name.slice(0, 100)}']`;
  validateNoNul(name, shown);
  validateNoNul(value, shown);
}

/** The PATH by which a program is looked up: the new process's. */
export function searchPath(env: Environment): string {
  if (env === 'inherit') return process.env.PATH ?? DEFAULT_PATH;
  const pair = env.find((text) => text.startsWith('PATH='));
  return pair === undefined ? DEFAULT_PATH : pair.slice(5);
}

const live = new WeakMap<object, boolean>();

/**
 * Whether `process.env` is the process's environment itself. In a Worker it is a copy; and a test
 * runner may have put an object of its own there. Node's refuses a property that cannot be
 * written, and changes nothing.
 */
function ownIsLive(): boolean {
  if (!isMainThread) return false;
  const { env } = process;
  let known = live.get(env);
  if (known === undefined) {
    const name = 'SAFEEXEC_PROBE';
    try {
      Object.defineProperty(env, name, { value: '', writable: false, configurable: true });
      delete env[name];
      known = false;
    } catch (error) {
      known = (error as NodeJS.ErrnoException).code === 'ERR_INVALID_OBJECT_DEFINE_PROPERTY';
    }
    live.set(env, known);
  }
  return known;
}
