import { errnoCode, UnsupportedError } from '../errors.js';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  CLONE_ARGS_SIZE,
  CLONE_INTO_CGROUP,
  EBADF,
  EINVAL,
  ENOSYS,
  EPERM,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  O_CLOEXEC,
  P_PIDFD,
  WEXITED,
  WNOHANG,
} from '../plan/constants.js';
import { LAST_DESCRIPTOR } from '../plan/descriptors.js';
import { OPEN_DESCRIPTORS } from '../plan/steps/close-each.js';
import type { InFlight } from './in-flight.js';
import type { Kernel } from './kernel.js';
import { HELPER_NAME } from './launch-program.js';

/** What this kernel offers, and what stands between it and us: a filter, an emulator. */
export interface Features {
  /** Flags of memfd_create(2): with MFD_EXEC where it is known (Linux 6.3); it may be required. */
  readonly memfdFlags: number;
  readonly execveat: boolean;
  /** Linux 5.9. Without it descriptors are closed one by one. */
  readonly closeRange: boolean;
}

/** A descriptor that is certainly not open. */
const NONE = 0x7fffffff;

/**
 * Finds out, with calls that change nothing. Throws UnsupportedError where processes could not be
 * watched, or descriptors not be closed: nothing has been started by then.
 */
export function features(inFlight: InFlight): Features {
  const { kernel } = inFlight;
  const missing = (result: number) => result === -ENOSYS || result === -EPERM;
  const waited = kernel.call('waitid', P_PIDFD, NONE, 0, WEXITED | WNOHANG);
  if (missing(waited) || waited === -EINVAL) throw noPidfd('waitid(P_PIDFD)', '5.4', waited);
  const sent = kernel.call('pidfd_send_signal', -1);
  if (missing(sent)) throw noPidfd('pidfd_send_signal(2)', '5.1', sent);

  const closed = kernel.call('close_range', LAST_DESCRIPTOR, LAST_DESCRIPTOR);
  const path = kernel.string(OPEN_DESCRIPTORS);
  const list = closed === 0 ? -1 : inFlight.open('openat', AT_FDCWD, path, O_CLOEXEC);
  if (list >= 0) inFlight.close(list);
  if (closed !== 0 && list < 0) {
    throw new UnsupportedError(
      `close_range(2) is missing (${errnoCode(-closed)}), and so is ${OPEN_DESCRIPTORS}, which says ` +
        'what else to close: mount /proc, or use Linux 5.9 or newer',
      'close_range',
    );
  }

  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const fd = inFlight.open('memfd_create', kernel.string(HELPER_NAME), flags | MFD_EXEC);
  if (fd >= 0) inFlight.close(fd);
  // Emulators may lack execveat, and may not hold the parent until the exec: then its failure would
  // come too late for another way.
  const executed = kernel.call('execveat', -1, kernel.string(''), 0, 0, AT_EMPTY_PATH);
  return {
    memfdFlags: fd === -EINVAL ? flags : flags | MFD_EXEC,
    execveat: executed !== -ENOSYS,
    closeRange: closed === 0,
  };
}

/** Asked for a group whose descriptor is none. Containers may have clone3 refused: ENOSYS. */
export function canStartInCgroup(kernel: Kernel): boolean {
  const { memory, scratchAt, scratchAddress } = kernel;
  kernel.scratch.fill(0, 0, CLONE_ARGS_SIZE);
  memory.setInt32(scratchAt + 4, CLONE_INTO_CGROUP / 0x100000000);
  memory.setInt32(scratchAt + CLONE_ARGS_SIZE - 8, NONE);
  return kernel.call('clone3', scratchAddress, CLONE_ARGS_SIZE) === -EBADF;
}

/** The error for a call without which processes cannot be told apart for certain. */
export function noPidfd(call: string, since: string, result: number): UnsupportedError {
  return new UnsupportedError(
    `${call} fails with ${errnoCode(-result)}: it takes Linux ${since} or newer, and a system call ` +
      'filter that allows it',
    'pidfd',
  );
}
