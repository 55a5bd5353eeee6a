import childProcess from 'node:child_process';

/** Node's own, whatever comes in its place later. */
const { spawnSync } = childProcess;

/** Whether Node's permission model lets this process start others. */
export function mayStartProcesses(): boolean {
  return process.permission?.has('child') !== false || isAudited();
}

let audited: boolean | undefined;

/**
 * With `--permission-audit`, of Node 24 and later, the permission model only reports what it would
 * deny. Node's own functions alone know of it, for the flag can stand in a file too: so one is asked to
 * start what cannot be started.
 */
function isAudited(): boolean {
  if (audited === undefined) {
    try {
      spawnSync('/dev/null/nothing');
      audited = true;
    } catch {
      audited = false;
    }
  }
  return audited;
}

/** Flags that a process hands on to the processes that it starts. */
const HANDED_ON = /^--(?:permission|allow-)/;

/** Whether an option is one of those; V8 has some that begin alike, and not all can be handed on. */
function isHandedOn(option: string): boolean {
  const [name = ''] = option.split('=', 1);
  return HANDED_ON.test(name) && process.allowedNodeEnvironmentFlags.has(name);
}

/**
 * The environment with the flags of this process's permission model in NODE_OPTIONS, as Node 22 and
 * later have it: a node that is started is held back in the same way. `args` or the variable may say
 * otherwise.
 */
export function withPermissionFlags(
  env: readonly string[],
  args: readonly unknown[],
): readonly string[] {
  const [name, flag] = ['NODE_OPTIONS=', '--permission'];
  // Node 20 does not know the flag, and hands nothing on.
  if (!process.allowedNodeEnvironmentFlags.has(flag)) return env;
  if (args.includes(flag) || args.includes(`${flag}-audit`)) return env;
  const given = env.find((pair) => pair.startsWith(name))?.slice(name.length) ?? '';
  if (given.split(/\s+/).some((option) => option.startsWith(flag))) return env;
  const flags = process.execArgv.filter(isHandedOn);
  if (flags.length === 0) return env;
  const options = [given, ...flags].filter((option) => option !== '').join(' ');
  return [...env.filter((pair) => !pair.startsWith(name)), name + options];
}
