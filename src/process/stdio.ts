import { LaunchError } from '../errors.js';
import type { InFlight } from '../launch/in-flight.js';
import type { Kernel } from '../launch/kernel.js';
import type { PipeHandle } from '../launch/restricted-pipe.js';
import {
  AF_UNIX,
  EBADF,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  F_SETPIPE_SZ,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../plan/constants.js';
import type { Step } from '../plan/plan.js';

/** One element of `stdio`, as Node's ChildProcess hands it to its process handle. */
export type StdioEntry =
  | { readonly type: 'ignore' }
  /** Without a handle, as the sync forms have it, it is a real pipe whatever its number. */
  | { readonly type: 'pipe' | 'overlapped'; readonly handle?: PipeHandle; readonly ipc?: boolean }
  | { readonly type: 'inherit' | 'fd'; readonly fd: number }
  | { readonly type: 'wrap'; readonly handle: { readonly fd: number } };

/** The child's descriptors, and what was opened to that end. */
export interface Stdio {
  /** For each descriptor of the child, which one of ours it is. */
  readonly map: ReadonlyMap<number, number>;
  /** What the child does with its descriptors once it has them. */
  readonly actions: readonly Step[];
  /** Ends that are the child's alone: to be closed once it has them. */
  readonly theirs: readonly number[];
  readonly ours: readonly OurEnd[];
}

/** Our end of a pipe. */
export interface OurEnd {
  readonly fd: number;
  /** Which descriptor of the child has the other end. */
  readonly index: number;
  /** What it is meant for. */
  readonly handle: PipeHandle | undefined;
}

/**
 * Bytes that a pipe holds where there are few: twice of what it holds by itself, so that the child
 * can write the one half while the other is read.
 */
export const PIPE_SIZE = 0x20000;

/**
 * Children of a thread up to which pipes are made larger. A user may have 16384 pages in pipes, and
 * beyond that gets tiny ones; these are a quarter of them: pipe(7).
 */
export const FEW_CHILDREN = 64;

/**
 * Opens the pipes that `stdio` asks for. Descriptors 0 to 2 get real pipes, which can be reopened
 * through /dev/stdin and /dev/stdout, of `pipeSize` bytes if the kernel lets us (null: as they are);
 * the others, and channels, get a pair of sockets, which go in both directions. All are in flight.
 * Throws LaunchError, and leaves nothing open.
 */
export function openStdio(
  inFlight: InFlight,
  entries: readonly StdioEntry[],
  pipeSize: number | null,
): Stdio {
  const map = new Map<number, number>();
  const actions: Step[] = [];
  const theirs: number[] = [];
  const ours: OurEnd[] = [];
  try {
    entries.forEach((entry, fd) => {
      switch (entry.type) {
        case 'ignore':
          // Above 2 there is just nothing.
          if (fd <= 2) {
            actions.push({ type: 'open', fd, path: '/dev/null', flags: fd === 0 ? 0 : O_RDWR });
          }
          break;
        case 'pipe':
        case 'overlapped': {
          const { handle, ipc } = entry;
          const sockets = handle !== undefined && (fd > 2 || !!ipc);
          const [our, their] = openPair(inFlight, fd, sockets);
          if (pipeSize !== null && !sockets) enlarge(inFlight.kernel, our, pipeSize);
          map.set(fd, their);
          theirs.push(their);
          ours.push({ fd: our, index: fd, handle });
          break;
        }
        case 'inherit':
        case 'fd':
        case 'wrap': {
          const source = entry.type === 'wrap' ? entry.handle.fd : entry.fd;
          const flags = statusFlags(inFlight.kernel, source);
          map.set(fd, source);
          // Programs expect standard streams that block; event loops, ours too, set the others so.
          if (fd <= 2 && flags & O_NONBLOCK) {
            actions.push({ type: 'statusFlags', fd, flags: flags & ~O_NONBLOCK });
          }
        }
      }
    });
  } catch (error) {
    closeAll(inFlight, theirs);
    closeAll(
      inFlight,
      ours.map(({ fd }) => fd),
    );
    throw error;
  }
  return { map, actions, theirs, ours };
}

export function closeAll(inFlight: InFlight, fds: readonly number[]): void {
  for (const fd of fds) inFlight.close(fd);
}

/** Our end and theirs, for descriptor `fd` of the child. */
function openPair(inFlight: InFlight, fd: number, sockets: boolean): [number, number] {
  const { result, first, second } = sockets
    ? inFlight.socketPair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    : inFlight.pipe(O_CLOEXEC);
  if (result < 0) {
    const syscall = sockets ? 'socketpair' : 'pipe2';
    throw new LaunchError({ errno: -result, syscall, step: 'stdio', fd });
  }
  // Of a pipe, the first end is for reading: the child's, if this is its input.
  const [our, their] = !sockets && fd === 0 ? [second, first] : [first, second];
  const moved = aboveStandard(inFlight, our);
  if (moved >= 0) return [moved, their];
  closeAll(inFlight, [their]);
  throw new LaunchError({ errno: -moved, syscall: 'fcntl', step: 'stdio', fd });
}

/** As far as this user may: it works with less as well. */
function enlarge(kernel: Kernel, pipe: number, size: number): void {
  kernel.call('fcntl', pipe, F_SETPIPE_SZ, size);
}

/**
 * A descriptor for a stream of ours: above 2, because libuv never closes those of a stream up to
 * there. They are only to be had where this process closed its own. Negative: an error number,
 * and the descriptor is closed.
 */
export function aboveStandard(inFlight: InFlight, fd: number): number {
  if (fd > 2) return fd;
  const moved = inFlight.open('fcntl', fd, F_DUPFD_CLOEXEC, 3);
  inFlight.close(fd);
  return moved;
}

/** Status flags of a descriptor, which must be open. */
function statusFlags(kernel: Kernel, fd: number): number {
  // The kernel would look at 32 bits of any number, and of what is none make 0.
  const isNumber = Number.isInteger(fd) && fd >= 0 && fd <= 0x7fffffff;
  const flags = isNumber ? kernel.call('fcntl', fd, F_GETFL) : -EBADF;
  if (flags < 0) throw new LaunchError({ errno: -flags, syscall: 'fcntl', step: 'stdio', fd });
  return flags;
}
