import { readFileSync } from 'node:fs';
import { isAtLeast } from '../controls/kernel-version.js';
import type { SandboxInForce } from '../controls/sandbox.js';
import { type LaunchedProcess, launch } from '../process/launch.js';
import type { LaunchOptions } from '../process/launch-options.js';
import type { Probe } from './probes.js';
import { kernel, Missing, trialCommand } from './trial.js';

/** Settings that may forbid user namespaces, and the values by which they do. */
const SETTINGS = [
  ['user/max_user_namespaces', '0'],
  ['kernel/unprivileged_userns_clone', '0'],
  ['kernel/apparmor_restrict_unprivileged_userns', '1'],
] as const;

/** Those that do so here. */
function forbiddingSettings(): string[] {
  return SETTINGS.flatMap(([name, value]) => {
    try {
      const found = readFileSync(`/proc/sys/${name}`, 'utf8').trim();
      return found === value ? [`${name.replace('/', '.')} is ${value}`] : [];
    } catch {
      return [];
    }
  });
}

/** Starts a command with options that make namespaces. Missing if that fails, with the reason. */
async function tryOptions(options: Partial<LaunchOptions>): Promise<LaunchedProcess> {
  kernel();
  const argv = trialCommand();
  let child: LaunchedProcess;
  try {
    child = launch({ path: argv[0] as string, argv, ...options });
  } catch (error) {
    const message = (error as Error).message.replace(/^safeexec: /, '');
    throw new Missing([message, ...forbiddingSettings()].join('; '));
  }
  const exit = await child.exited;
  if (exit?.exitCode !== 0) throw new Missing(`${argv[0]} could not run there`);
  return child;
}

export const NAMESPACE_PROBES: readonly Probe[] = [
  {
    name: 'user namespaces',
    meaning: 'other namespaces and mounts take privileges',
    look: async () => {
      await tryOptions({ namespaces: { user: true } });
      return 'can be made';
    },
  },
  {
    name: 'pid namespaces, mounts',
    meaning: 'namespaces.pid, mounts or root are refused without privileges',
    look: async () => {
      const namespaces = { user: true, pid: true };
      await tryOptions({ namespaces, root: '/', mounts: [{ type: 'proc' }] });
      return 'with a root and a proc file system of their own';
    },
  },
  {
    name: 'other namespaces',
    meaning: 'namespaces.network, ipc, uts or cgroup is refused without privileges',
    look: async () => {
      const namespaces = { user: true, network: true, ipc: true, uts: { hostname: 'trial' } };
      await tryOptions({ namespaces: { ...namespaces, cgroup: true } });
      return 'network, ipc, uts, cgroup';
    },
  },
  {
    name: 'time namespaces',
    meaning: 'namespaces.time is refused',
    look: async () => {
      const alone = isAtLeast('6.2');
      await tryOptions({ namespaces: { user: true, pid: !alone, time: { boottime: 1 } } });
      return `with clocks of their own${alone ? '' : ', beside pid; without it from Linux 6.2 on'}`;
    },
  },
  {
    name: 'sandbox',
    meaning: 'the option sandbox fails, or is weaker if it has bestEffort',
    look: async () => {
      const { missing, files } = (await tryOptions({ sandbox: true })).sandbox as SandboxInForce;
      return [`files hidden by ${files.join(' and ')}`, ...missing].join('; ');
    },
  },
];
