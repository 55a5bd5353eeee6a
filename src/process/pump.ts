import type { InFlight } from '../launch/in-flight.js';
import type { Kernel } from '../launch/kernel.js';
import { Memory } from '../launch/memory.js';
import {
  EAGAIN,
  EINTR,
  ENOBUFS,
  ENOMEM,
  ETIMEDOUT,
  F_SETFL,
  O_NONBLOCK,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  SIGKILL,
} from '../plan/constants.js';
import { type Exit, reap } from './exit.js';

/** Bytes moved by one read or write. */
const CHUNK = 1 << 18;

/** Bytes that pipes should hold which are pumped. */
export const PUMPED_PIPE_SIZE = CHUNK * 4;

/** After these ppoll(2) may succeed another time. */
const POLL_AGAIN: ReadonlySet<number> = new Set([EINTR, EAGAIN, ENOMEM]);

/** 68 years: what the struct timespec of a 32-bit machine has room for. */
const MAX_SECONDS = 0x7fffffff;

/** A pipe of the child to which something is written, or from which everything is read. */
export interface Channel {
  fd: number;
  /** What to write; null for a pipe to read from. */
  readonly input: Uint8Array | null;
  readonly chunks: Buffer[];
}

export interface PumpOptions {
  /** Milliseconds; 0 for ever. */
  readonly timeout: number;
  readonly killSignal: number;
  /** Bytes that all the output together may have. */
  readonly maxBuffer: number;
}

export interface PumpResult {
  readonly exit: Exit | 'lost';
  /** ETIMEDOUT, ENOBUFS, what a read, a write or the kill failed with, or 0. */
  readonly errno: number;
}

/**
 * Moves a child's input and output, sleeping in between, until the child has ended and its pipes
 * are closed; then reaps it. Closes the channels. The thread does nothing else meanwhile.
 */
export class Pump {
  readonly #inFlight: InFlight;
  readonly #kernel: Kernel;
  readonly #channels: readonly Channel[];
  readonly #options: PumpOptions;
  readonly #pidfd: number;
  readonly #deadline: number;
  readonly #moved: Memory;
  #written = 0;
  #collected = 0;
  /** Whether nothing tells when there is something to do. */
  #blind = false;
  #errno = 0;
  #killed = false;

  constructor(
    inFlight: InFlight,
    pidfd: number,
    channels: readonly Channel[],
    options: PumpOptions,
  ) {
    const { kernel } = inFlight;
    this.#inFlight = inFlight;
    this.#kernel = kernel;
    this.#channels = channels;
    this.#options = options;
    this.#pidfd = pidfd;
    this.#deadline = options.timeout > 0 ? performance.now() + options.timeout : Infinity;
    this.#moved = sharedMemory(kernel);
    for (const { fd, input } of channels) {
      if (input !== null) kernel.call('fcntl', fd, F_SETFL, O_WRONLY | O_NONBLOCK);
    }
  }

  run(): PumpResult {
    let exit: Exit | 'lost' | null = null;
    for (const channel of this.#channels) if (channel.input?.length === 0) this.#close(channel);
    while (exit === null || this.#channels.some(({ fd }) => fd >= 0)) {
      const open = this.#channels.filter(({ fd }) => fd >= 0);
      const ready = this.#poll(open, exit === null);
      if (ready === null) {
        this.#fail(ETIMEDOUT);
        continue;
      }
      for (const channel of ready) if (channel.fd >= 0) this.#move(channel);
      exit ??= reap(this.#kernel, this.#pidfd, this.#blind);
    }
    return { exit, errno: this.#errno };
  }

  /** Waits until something can be done. null: the time is up. */
  #poll(open: readonly Channel[], withChild: boolean): Channel[] | null {
    const kernel = this.#kernel;
    const { memory, scratchAt, scratchAddress } = kernel;
    const remaining = this.#killed ? Infinity : this.#deadline - performance.now();
    if (remaining <= 0) return null;
    open.forEach(({ fd, input }, i) => {
      memory.setInt32(scratchAt + i * 8, fd);
      memory.setInt32(scratchAt + i * 8 + 4, input === null ? POLLIN : POLLOUT);
    });
    let count = open.length;
    if (withChild) {
      memory.setInt32(scratchAt + count * 8, this.#pidfd);
      memory.setInt32(scratchAt + count * 8 + 4, POLLIN);
      count++;
    }
    // A struct timespec behind the descriptors.
    const time = Math.ceil((count * 8) / 16) * 16;
    if (remaining !== Infinity) {
      memory.setWord(scratchAt + time, Math.min(Math.floor(remaining / 1000), MAX_SECONDS));
      memory.setWord(scratchAt + time + memory.wordSize, Math.ceil((remaining % 1000) * 1e6) % 1e9);
    }
    const timeAddress = remaining === Infinity ? 0 : scratchAddress + time;
    const result = kernel.call('ppoll', scratchAddress, count, timeAddress);
    if (result === 0) return null;
    if (result < 0 && !POLL_AGAIN.has(-result)) {
      // Nothing can be waited for but the end of the child.
      this.#blind = true;
      this.#fail(-result, SIGKILL);
    }
    if (result < 0) return [];
    return open.filter((_, i) => memory.int32(scratchAt + i * 8 + 4) >>> 16 !== 0);
  }

  #move(channel: Channel): void {
    if (channel.input === null) this.#read(channel);
    else this.#write(channel, channel.input);
  }

  #read(channel: Channel): void {
    const { address, bytes } = this.#moved;
    const size = this.#kernel.call('read', channel.fd, address + MOVED_AT, CHUNK);
    if (size === -EINTR || size === -EAGAIN) return;
    if (size <= 0) {
      this.#close(channel);
      if (size < 0) this.#fail(-size);
      return;
    }
    channel.chunks.push(Buffer.from(bytes.subarray(MOVED_AT, MOVED_AT + size)));
    this.#collected += size;
    if (this.#collected > this.#options.maxBuffer) this.#fail(ENOBUFS);
  }

  #write(channel: Channel, input: Uint8Array): void {
    const { address, bytes } = this.#moved;
    const part = input.subarray(this.#written, this.#written + CHUNK);
    bytes.set(part, MOVED_AT);
    const size = this.#kernel.call('write', channel.fd, address + MOVED_AT, part.length);
    if (size === -EINTR || size === -EAGAIN) return;
    // A child that does not read its input is no error.
    this.#written += Math.max(size, 0);
    if (size < 0 || this.#written === input.length) this.#close(channel);
  }

  /** Records the first error, ends the child, and has done with its pipes. */
  #fail(errno: number, signal = this.#options.killSignal): void {
    this.#errno ||= errno;
    if (this.#killed && signal !== SIGKILL) return;
    this.#killed = true;
    const result = this.#kernel.call('pidfd_send_signal', this.#pidfd, signal);
    if (result < 0) this.#kernel.call('pidfd_send_signal', this.#pidfd, SIGKILL);
    for (const channel of this.#channels) this.#close(channel);
  }

  #close(channel: Channel): void {
    if (channel.fd >= 0) this.#inFlight.close(channel.fd);
    channel.fd = -1;
  }
}

/** Where the binding leaves room for what it needs itself. */
const MOVED_AT = 64;
let shared: Memory | undefined;

function sharedMemory({ binding }: Kernel): Memory {
  shared ??= new Memory(binding.run, binding.machine.wordSize, MOVED_AT + CHUNK);
  return shared;
}
