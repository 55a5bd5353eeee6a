import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { capabilityName, LAST_KNOWN_CAPABILITY, lastCapability } from '../controls/capabilities.js';
import { ownGroup } from '../controls/cgroup-launch.js';
import { ALL_OF_LANDLOCK, landlockInForce } from '../controls/landlock.js';
import { LAST_LANDLOCK_ABI, landlockKernel, landlockSupport } from '../controls/landlock-abi.js';
import { engine } from '../process/engine.js';
import type { Probe } from './probes.js';
import { kernel, Missing } from './trial.js';

/** What control options need of the kernel, and other options do not. */
export const CONTROL_PROBES: readonly Probe[] = [
  {
    name: 'capabilities',
    meaning: 'options that name a capability which the kernel lacks are refused',
    look: () => {
      const last = lastCapability();
      if (last < LAST_KNOWN_CAPABILITY) {
        throw new Missing(`the kernel's last one is ${capabilityName(last)}`);
      }
      const more = last - LAST_KNOWN_CAPABILITY;
      return more === 0
        ? `all up to ${capabilityName(last)}`
        : `all, and ${more} without a name here`;
    },
  },
  {
    name: 'Landlock',
    meaning: 'the option landlock is refused, or leaves out what is missing if it has bestEffort',
    look: () => {
      const { abi, reason } = landlockSupport();
      const release = `ABI ${abi}, as of Linux ${landlockKernel(abi)}`;
      if (reason !== undefined) throw new Missing(reason);
      if (abi < LAST_LANDLOCK_ABI) {
        const { missing } = landlockInForce({ ...ALL_OF_LANDLOCK, bestEffort: true });
        throw new Missing(`${release}: without ${missing.map(({ name }) => name).join(', ')}`);
      }
      return `${release}: files, TCP ports, scopes, and the audit log`;
    },
  },
  {
    name: 'control groups',
    meaning: 'the option cgroup is refused, or only takes groups that are there',
    look: () => {
      kernel();
      const group = ownGroup();
      try {
        accessSync(group, constants.W_OK);
      } catch {
        throw new Missing(`no group can be made below ${group}: it was not delegated to this user`);
      }
      const controllers = readFileSync(join(group, 'cgroup.controllers'), 'utf8').trim();
      const how = engine().launcher.startsInCgroup ? 'started in' : 'joined';
      return `version 2; ${how}; controllers: ${controllers || 'none, and so no limits'}`;
    },
  },
];
