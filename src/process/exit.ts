import type { Kernel } from '../launch/kernel.js';
import { CLD_EXITED, ECHILD, EINTR, P_PIDFD, WEXITED, WNOHANG } from '../plan/constants.js';
import { signalName } from '../validate.js';

/** What a process used, from the kernel's struct rusage; getrusage(2). */
export interface ResourceUsage {
  /** CPU time in user mode, microseconds. */
  readonly userCPUTime: number;
  /** CPU time in the kernel, microseconds. */
  readonly systemCPUTime: number;
  /**
   * Largest resident set, kilobytes. Not below this process's own at the launch: the kernel counts
   * the memory that the two share until the exec.
   */
  readonly maxRSS: number;
  readonly minorPageFault: number;
  readonly majorPageFault: number;
  /** Reads and writes of file systems. */
  readonly fsRead: number;
  readonly fsWrite: number;
  readonly voluntaryContextSwitches: number;
  readonly involuntaryContextSwitches: number;
}

/** How a process ended. Exactly one of `exitCode` and `signal` is null. */
export interface Exit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly resourceUsage: ResourceUsage;
}

/**
 * Reaps the child of a pidfd: waitid(2). null if it has not ended. `lost` if somebody else reaped
 * it, or SIGCHLD is ignored in this process: then nobody knows how it ended.
 */
export function reap(kernel: Kernel, pidfd: number, block = false): Exit | 'lost' | null {
  const { siginfo } = kernel.binding.machine.structs;
  const { scratchAddress, scratchAt, memory } = kernel;
  const usageAt = scratchAt + siginfo.size;
  const options = block ? WEXITED : WEXITED | WNOHANG;
  memory.setInt32(scratchAt, 0);
  let result: number;
  do {
    const usage = scratchAddress + siginfo.size;
    result = kernel.call('waitid', P_PIDFD, pidfd, scratchAddress, options, usage);
  } while (result === -EINTR);
  if (result === -ECHILD) return 'lost';
  if (result < 0 || memory.int32(scratchAt) === 0) return null;

  const { wordSize } = memory;
  const usage = (index: number): number => memory.signedWord(usageAt + index * wordSize);
  const status = memory.int32(scratchAt + siginfo.status);
  const exited = memory.int32(scratchAt + siginfo.code) === CLD_EXITED;
  return {
    exitCode: exited ? status : null,
    signal: exited ? null : signalName(status),
    resourceUsage: {
      userCPUTime: usage(0) * 1e6 + usage(1),
      systemCPUTime: usage(2) * 1e6 + usage(3),
      maxRSS: usage(4),
      minorPageFault: usage(8),
      majorPageFault: usage(9),
      fsRead: usage(11),
      fsWrite: usage(12),
      voluntaryContextSwitches: usage(16),
      involuntaryContextSwitches: usage(17),
    },
  };
}
