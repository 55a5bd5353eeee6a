import { Socket } from 'node:net';
import { ReadStream } from 'node:tty';

/* From release 26.12 on, a Node whose permission model denies the network lets no pipe be opened from
   a descriptor; its own child processes have theirs from libuv. A handle for terminals is not denied,
   and libuv's takes a pipe as well. */

/** A handle of libuv's for a stream, as far as it matters here. */
export interface StreamHandle {
  readonly fd: number;
  onread: (this: unknown, ...args: unknown[]) => unknown;
  close(callback?: () => void): void;
}

/** Node's handle of a pipe. */
export interface PipeHandle {
  /** 0, or an error number. Throws ERR_ACCESS_DENIED. */
  open(fd: number): number;
}

/** Whether an error is the permission model's. */
export function isDenied(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED';
}

/** A stream of a pipe. */
export function socketOf(fd: number, options: ConstructorParameters<typeof Socket>[0]): Socket {
  try {
    return new Socket({ ...(options as object), fd });
  } catch (error) {
    if (!isDenied(error)) throw error;
    return new Socket({ ...(options as object), handle: terminalHandle(fd) } as object);
  }
}

/** A handle for terminals that has a pipe, which it closes. Throws ERR_TTY_INIT_FAILED. */
function terminalHandle(fd: number): StreamHandle {
  const stream = new ReadStream(fd) as unknown as { _handle: StreamHandle | null };
  const handle = stream._handle as StreamHandle;
  stream._handle = null;
  return handle;
}

/**
 * Has a handle of a pipe that was not opened do what one of a terminal does, which has `fd`: Node has
 * it in its hands already. Descriptors cannot be sent that way. Throws ERR_TTY_INIT_FAILED.
 */
export function openRestricted(pipe: PipeHandle, fd: number): void {
  const terminal = terminalHandle(fd);
  const methods = terminal as unknown as Record<string, (...args: unknown[]) => unknown>;
  const closePipe = (pipe as PipeHandle & StreamHandle).close.bind(pipe);
  // The prototype's own has what is particular to terminals.
  let prototype = Object.getPrototypeOf(Object.getPrototypeOf(terminal));
  for (; prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype)) {
    for (const [name, { get, value }] of Object.entries(
      Object.getOwnPropertyDescriptors(prototype as object),
    )) {
      if (name === 'constructor') continue;
      const property =
        get === undefined && typeof value === 'function'
          ? { value: (...args: unknown[]) => methods[name]?.(...args) }
          : { get: () => methods[name] };
      Object.defineProperty(pipe, name, { ...property, configurable: true });
    }
  }
  let onread: StreamHandle['onread'] | undefined;
  Object.defineProperty(pipe, 'onread', {
    get: () => onread,
    set: (listener: StreamHandle['onread']) => {
      onread = listener;
      terminal.onread = (...args) => listener.apply(pipe, args);
    },
    configurable: true,
  });
  Object.defineProperty(pipe, 'close', {
    value: (callback?: () => void) => {
      closePipe();
      terminal.close(callback);
    },
    configurable: true,
  });
}
