import { endianness } from 'node:os';
import { UnsupportedError } from '../errors.js';
import { arm } from './arm.js';
import { arm64 } from './arm64.js';
import { ia32 } from './ia32.js';
import type { Machine } from './machine.js';
import { riscv64 } from './riscv64.js';
import type { Architecture } from './syscalls.js';
import { x64 } from './x64.js';

export const MACHINES: Readonly<Partial<Record<Architecture, Machine>>> = {
  x64,
  ia32,
  arm,
  arm64,
  riscv64,
};

/** The machine named as `process.arch` names it. Throws UnsupportedError for any other. */
export function machineFor(architecture: string): Machine {
  const machine = Object.hasOwn(MACHINES, architecture)
    ? MACHINES[architecture as Architecture]
    : undefined;
  if (machine === undefined) {
    throw new UnsupportedError(
      `the processor architecture ${architecture} is not supported; supported are ${Object.keys(MACHINES).join(', ')}`,
      'architecture',
    );
  }
  return machine;
}

/** The machine that this process runs on. Throws UnsupportedError for one that is not known. */
export function ownMachine(): Machine {
  const machine = machineFor(process.arch);
  // Node names both byte orders of ARM alike.
  if (endianness() !== 'LE') {
    throw new UnsupportedError(
      `the processor architecture ${process.arch} is supported in little-endian byte order only`,
      'architecture',
    );
  }
  return machine;
}
