import type { Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers';
import { LaunchError } from '../errors.js';
import type { WatchSet } from '../launch/attempts.js';
import { tableWord } from '../launch/binding.js';
import type { InFlight } from '../launch/in-flight.js';
import type { Kernel } from '../launch/kernel.js';
import { LoadedProgram } from '../launch/loaded-program.js';
import { socketOf } from '../launch/restricted-pipe.js';
import { failureOf } from '../launch/start.js';
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLIN,
  EPOLLONESHOT,
  O_CLOEXEC,
  O_NONBLOCK,
} from '../plan/constants.js';
import { ProgramBuilder } from '../program/builder.js';
import { type Place, WORD } from '../program/instruction.js';
import { instructionAt, layoutOf, link, offsetOf } from '../program/link.js';
import { aboveStandard } from './stdio.js';
import { joinProgram, RECORD, RECORD_WORDS, waiterProgram } from './waiter-program.js';

/** Milliseconds between two checks of what has no wake-up of its own. */
const CHECK_INTERVAL = 50;

/** Events that one system call fetches. */
const BATCH = 64;

/**
 * The descriptors that this thread watches: pidfds of its children, and error pipes. Its part of
 * the process's waiter, whose wake-up pipe it reads as a stream like any other.
 */
export class Watcher implements WatchSet {
  readonly epoll: number;
  readonly live: number;
  readonly #inFlight: InFlight;
  readonly #kernel: Kernel;
  readonly #waiterEpoll: number;
  readonly #record: number;
  readonly #stream: Socket;
  readonly #handlers = new Map<number, () => void>();
  readonly #add: LoadedProgram;
  readonly #addAt: Readonly<Record<'fd' | 'slot' | 'result', number>>;
  readonly #release: LoadedProgram;
  readonly #releaseAt: readonly number[];
  readonly #checks = new Set<() => boolean>();
  #timer: NodeJS.Timeout | undefined;
  #woken = false;
  #references = 0;

  constructor(inFlight: InFlight) {
    const { kernel } = inFlight;
    this.#inFlight = inFlight;
    this.#kernel = kernel;
    const { wordSize } = kernel.binding.machine;
    this.epoll = must(inFlight.open('epoll_create1', EPOLL_CLOEXEC), 'epoll_create1');
    const { result, first, second: write } = inFlight.pipe(O_CLOEXEC | O_NONBLOCK);
    if (result < 0) inFlight.close(this.epoll);
    must(result, 'pipe2');
    const read = aboveStandard(inFlight, first);
    if (read < 0) for (const fd of [this.epoll, write]) inFlight.close(fd);
    must(read, 'fcntl');
    this.#stream = inFlight.handOverReader(read, write, () => this.#readFrom(read));
    try {
      this.#record = inFlight.allocate(RECORD_WORDS * wordSize);
      this.live = this.#record + RECORD.live * wordSize;
      kernel.store(this.#record + RECORD.pipe * wordSize, write);
      kernel.store(this.#record + RECORD.epoll * wordSize, this.epoll);
      this.#waiterEpoll = join(inFlight, this.#record, this.epoll, write);
    } catch (error) {
      this.#stream.destroy();
      for (const fd of [this.epoll, write]) inFlight.close(fd);
      throw error;
    }
    // From here on the record, the set and the write end belong to the waiter.

    const adding = new ProgramBuilder(wordSize);
    const failed = adding.label();
    const outcome = adding.words(0);
    const add = adding.syscall('epoll_ctl', [this.epoll, EPOLL_CTL_ADD, 0, kernel.scratchAddress], {
      result: outcome,
      onError: failed,
    });
    const slot = adding.copy(adding.words(-1), 0);
    adding.add(1, this.live);
    adding.place(failed);
    adding.halt();
    this.#add = new LoadedProgram(kernel.binding, adding.build());
    this.#addAt = {
      fd: this.#add.at(adding.argumentOf(add, 2)),
      slot: this.#add.at(adding.wordOf(slot, WORD.result)),
      result: this.#add.at(outcome),
    };

    const b = new ProgramBuilder(wordSize);
    const del = b.syscall('epoll_ctl', [this.epoll, EPOLL_CTL_DEL, 0, 0]);
    const close = b.syscall('close', [0]);
    b.add(-1, this.live);
    b.halt();
    this.#release = new LoadedProgram(kernel.binding, b.build());
    this.#releaseAt = [b.argumentOf(del, 2), b.argumentOf(close, 0)].map((place) =>
      this.#release.at(place),
    );
  }

  /** How many descriptors are watched. */
  get size(): number {
    return this.#handlers.size;
  }

  /** Calls `handler` whenever `fd`, which is in the set, is readable. */
  handle(fd: number, handler: () => void): void {
    this.#handlers.set(fd, handler);
  }

  /** Puts `fd` into the set, out of flight, and calls `handler` whenever it is readable. */
  add(fd: number, handler: () => void): void {
    const { memory } = this.#add;
    this.#event(EPOLLIN, fd);
    memory.setWord(this.#addAt.fd, fd);
    memory.setWord(this.#addAt.slot, this.#inFlight.slotOf(fd));
    this.#add.run();
    must(memory.signedWord(this.#addAt.result), 'epoll_ctl');
    this.#inFlight.landed(fd);
    this.#handlers.set(fd, handler);
  }

  /**
   * Calls `check` after every wake-up, and now and then, until it gives true: for what is not worth
   * a wake-up of its own.
   */
  checkNowAndThen(check: () => boolean): void {
    this.#checks.add(check);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#check();
    }, CHECK_INTERVAL).unref();
  }

  release(fd: number): void {
    this.#handlers.delete(fd);
    for (const at of this.#releaseAt) this.#release.memory.setWord(at, fd);
    this.#release.run();
  }

  /** While there are more calls of ref than of unref, the event loop stays alive. */
  ref(): void {
    if (++this.#references === 1) this.#stream.ref();
  }

  unref(): void {
    if (--this.#references === 0) this.#stream.unref();
  }

  #readFrom(fd: number): Socket {
    const options = {
      readable: true,
      writable: false,
      onread: { buffer: Buffer.alloc(256), callback: () => this.#wake() },
    };
    const stream = socketOf(fd, options as ConstructorParameters<typeof Socket>[0]);
    stream.resume();
    stream.unref();
    return stream;
  }

  /**
   * What can be read by now from other descriptors is read first, as in Node, where the event loop
   * comes to signals last: who listens for `exit` has the output of a child that wrote it before.
   */
  #wake(): boolean {
    if (!this.#woken) setImmediate(() => this.#deliver());
    this.#woken = true;
    return true;
  }

  #deliver(): void {
    this.#woken = false;
    const kernel = this.#kernel;
    const { size, data } = kernel.binding.machine.structs.epollEvent;
    const { scratchAt, scratchAddress, memory } = kernel;
    try {
      this.#check();
      for (let count = BATCH; count === BATCH; ) {
        count = kernel.call('epoll_pwait', this.epoll, scratchAddress, BATCH, 0, 0, 8);
        const ready: number[] = [];
        for (let i = 0; i < count; i++) ready.push(memory.int32(scratchAt + i * size + data));
        for (const fd of ready) this.#handlers.get(fd)?.();
      }
    } finally {
      // A thread that the waiter does not report any more would never hear of its children.
      if (!this.#rearm()) this.checkNowAndThen(() => this.#rearm());
    }
  }

  /** Has the waiter, which has been told to do so once, report this set again. */
  #rearm(): boolean {
    const event = this.#event(EPOLLIN | EPOLLONESHOT, this.#record);
    const { epoll } = this;
    return this.#kernel.call('epoll_ctl', this.#waiterEpoll, EPOLL_CTL_MOD, epoll, event) === 0;
  }

  #check(): void {
    const checks = [...this.#checks];
    this.#checks.clear();
    for (const check of checks) if (!check()) this.checkNowAndThen(check);
  }

  /** Address of a struct epoll_event. */
  #event(events: number, data: number): number {
    const { scratch, scratchAddress, binding } = this.#kernel;
    const view = new DataView(scratch.buffer, scratch.byteOffset);
    view.setUint32(0, events, true);
    view.setBigUint64(binding.machine.structs.epollEvent.data, BigInt(data), true);
    return scratchAddress;
  }
}

/** Puts the thread's set and pipe under the waiter, which is started if need be. */
function join(inFlight: InFlight, record: number, set: number, pipe: number): number {
  const { kernel } = inFlight;
  const { machine, functions } = kernel.binding;
  const { wordSize } = machine;
  // The waiter outlives this thread, so its program stands in memory of its own.
  const waiter = waiterProgram(machine);
  const { size } = layoutOf(waiter.program, wordSize);
  const address = inFlight.allocate(size);
  const bytes = new Uint8Array(size);
  const layout = link(waiter.program, machine, address, bytes, functions);
  kernel.copyOut(bytes, address);
  const inWaiter = (place: Place): number => address + offsetOf(place, layout, wordSize);

  const { program, epoll, started, failure, created } = joinProgram(machine, {
    lock: tableWord(kernel.binding, 'lock'),
    waiter: tableWord(kernel.binding, 'waiter'),
    run: functions.get('run') as number,
    waiterEntry: address + layout.code,
    waiterEpoll: waiter.epoll.map(inWaiter),
    waiterSlot: inFlight.memorySlotOf(address),
    record,
    recordSlot: inFlight.memorySlotOf(record),
    set,
    pipe,
    slots: [set, pipe].map((fd) => inFlight.slotOf(fd)),
  });
  const loaded = new LoadedProgram(kernel.binding, program);
  loaded.run();
  const { memory } = loaded;
  if (memory.word(loaded.at(started)) === 0) inFlight.free(address);
  else inFlight.memoryLanded(address);
  const at = loaded.at(failure);
  const failed = instructionAt(program, wordSize, memory.address, memory.word(at));
  const errno = memory.int32(loaded.at(created));
  if (failed !== undefined || errno !== 0) inFlight.free(record);
  if (failed !== undefined) {
    throw new LaunchError(failureOf(failed.name, failed.step, memory.signedWord(at + wordSize)));
  }
  if (errno !== 0) {
    throw new LaunchError({ errno, syscall: 'pthread_create', step: 'start waiter' });
  }
  inFlight.memoryLanded(record);
  for (const fd of [set, pipe]) inFlight.landed(fd);
  return memory.signedWord(loaded.at(epoll));
}

function must(result: number, syscall: string): number {
  if (result < 0) throw new LaunchError({ errno: -result, syscall, step: 'start waiter' });
  return result;
}
