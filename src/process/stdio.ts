import { LaunchError } from '../errors.js';
import type { Kernel } from '../launch/kernel.js';
import {
  AF_UNIX,
  EBADF,
  F_GETFD,
  O_CLOEXEC,
  O_RDWR,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../plan/constants.js';
import type { FileAction } from '../plan/plan.js';

/** Node's handle of a pipe: an end of ours goes into it. */
interface PipeHandle {
  open(fd: number): number;
}

/** One element of `stdio`, as Node's ChildProcess hands it to its process handle. */
export type StdioEntry =
  | { readonly type: 'ignore' }
  | { readonly type: 'pipe' | 'overlapped'; readonly handle: PipeHandle; readonly ipc?: boolean }
  | { readonly type: 'inherit' | 'fd'; readonly fd: number }
  | { readonly type: 'wrap'; readonly handle: { readonly fd: number } };

/** The child's descriptors, and what was opened to that end. */
export interface Stdio {
  /** For each descriptor of the child, which one of ours it is. */
  readonly map: ReadonlyMap<number, number>;
  /** What the child opens itself. */
  readonly opens: readonly FileAction[];
  /** Ends that are the child's alone: to be closed once it has them. */
  readonly theirs: readonly number[];
  /** Our ends, and the handles they are meant for. */
  readonly ours: readonly { readonly fd: number; readonly handle: PipeHandle }[];
}

/**
 * Opens the pipes that `stdio` asks for. Descriptors 0 to 2 get real pipes, which can be reopened
 * through /dev/stdin and /dev/stdout; the others, and channels, get a pair of sockets, which go in
 * both directions. Throws LaunchError, and leaves nothing open.
 */
export function openStdio(kernel: Kernel, entries: readonly StdioEntry[]): Stdio {
  const map = new Map<number, number>();
  const opens: FileAction[] = [];
  const theirs: number[] = [];
  const ours: { fd: number; handle: PipeHandle }[] = [];
  try {
    entries.forEach((entry, fd) => {
      switch (entry.type) {
        case 'ignore':
          // Above 2 there is just nothing.
          if (fd <= 2) {
            opens.push({ type: 'open', fd, path: '/dev/null', flags: fd === 0 ? 0 : O_RDWR });
          }
          break;
        case 'pipe':
        case 'overlapped': {
          const [our, their] = openPair(kernel, fd, fd > 2 || entry.ipc === true);
          map.set(fd, their);
          theirs.push(their);
          ours.push({ fd: our, handle: entry.handle });
          break;
        }
        case 'inherit':
        case 'fd':
          requireOpen(kernel, entry.fd);
          map.set(fd, entry.fd);
          break;
        case 'wrap':
          requireOpen(kernel, entry.handle.fd);
          map.set(fd, entry.handle.fd);
      }
    });
  } catch (error) {
    closeAll(kernel, theirs);
    closeAll(
      kernel,
      ours.map(({ fd }) => fd),
    );
    throw error;
  }
  return { map, opens, theirs, ours };
}

export function closeAll(kernel: Kernel, fds: readonly number[]): void {
  for (const fd of fds) kernel.call('close', fd);
}

/** Our end and theirs, for descriptor `fd` of the child. */
function openPair(kernel: Kernel, fd: number, sockets: boolean): [number, number] {
  const at = kernel.scratchAddress;
  const [syscall, result] = sockets
    ? ['socketpair', kernel.call('socketpair', AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, at)]
    : ['pipe2', kernel.call('pipe2', at, O_CLOEXEC)];
  if (result < 0) throw new LaunchError({ errno: -result, syscall, step: 'stdio', fd });
  const first = kernel.memory.int32(kernel.scratchAt);
  const second = kernel.memory.int32(kernel.scratchAt + 4);
  // Of a pipe, the first end is for reading: the child's, if this is its input.
  return !sockets && fd === 0 ? [second, first] : [first, second];
}

function requireOpen(kernel: Kernel, fd: number): void {
  if (kernel.call('fcntl', fd, F_GETFD) < 0) {
    throw new LaunchError({ errno: EBADF, syscall: 'fcntl', step: 'stdio', fd });
  }
}
