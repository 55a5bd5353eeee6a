/** Flags that a process hands on to the processes that it starts. */
const HANDED_ON = /^--(?:permission|allow-)/;

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
  if (!process.allowedNodeEnvironmentFlags.has(flag) || args.includes(flag)) return env;
  const given = env.find((pair) => pair.startsWith(name))?.slice(name.length) ?? '';
  if (given.split(/\s+/).some((option) => option.startsWith(flag))) return env;
  const flags = process.execArgv.filter((option) => HANDED_ON.test(option));
  if (flags.length === 0) return env;
  const options = [given, ...flags].filter((option) => option !== '').join(' ');
  return [...env.filter((pair) => !pair.startsWith(name)), name + options];
}
