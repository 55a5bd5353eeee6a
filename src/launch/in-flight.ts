import { LaunchError } from '../errors.js';
import { ENOMEM } from '../plan/constants.js';
import { HEADER, HEADER_WORDS, INSTRUCTION_WORDS, type Place } from '../program/instruction.js';
import { layoutOf, link, offsetOf } from '../program/link.js';
import { endProgram, MEMORY_SLOTS, SLOTS } from './end-program.js';
import { type InFlightProgram, inFlightProgram, type Routine } from './in-flight-programs.js';
import type { Kernel } from './kernel.js';
import { LoadedProgram } from './loaded-program.js';
import { isDenied, openRestricted, type PipeHandle } from './restricted-pipe.js';

/** Two descriptors, if `result` is not a negated error number. */
export interface DescriptorPair {
  readonly result: number;
  readonly first: number;
  readonly second: number;
}

/**
 * What this thread holds that nobody else would give back: descriptors on their way from the
 * system call that makes them to a stream, to the waiter, or to their end; and memory likewise.
 *
 * A Worker can be stopped between any two functions of JavaScript, but not within a program. So
 * each of these is put into a slot by the very program that makes it, and taken out by the one that
 * gives it away. The slots are outside of the JavaScript heap. When the thread ends, Node runs a
 * program in it, after it closed its own handles, and that closes what is left in the slots.
 */
export class InFlight {
  readonly kernel: Kernel;
  readonly #code: InFlightProgram;
  readonly #ready: ReadyRoutines;
  readonly #loaded: LoadedProgram;
  readonly #buffer: ArrayBuffer;
  readonly #run: (memory: ArrayBuffer) => void;
  /** Slots in use, by descriptor, and by address of memory. */
  readonly #slots = new Map<number, number>();
  readonly #memory = new Map<number, number>();
  readonly #freeSlots: number[] = [];
  readonly #freeMemory: number[] = [];
  #doubt = 0;
  #sharing = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.#code = inFlightProgram(kernel.binding.machine);
    this.#loaded = new LoadedProgram(kernel.binding, this.#code.program);
    this.#ready = readyRoutines(this.#code, this.#loaded);
    this.#buffer = this.#loaded.memory.buffer;
    this.#run = kernel.binding.run;
    this.#addBlock();
  }

  /** A system call that gives a descriptor, or a negated error number. */
  open(name: string, a0 = 0, a1 = 0, a2 = 0, a3 = 0): number {
    const slot = this.#takeSlot();
    const number = this.kernel.binding.machine.syscallNumber(name);
    this.#do(this.#ready.open, number, a0, a1, a2, a3, slot);
    const result = this.#result();
    if (result < 0) this.#freeSlots.push(slot);
    else this.#slots.set(result, slot);
    return result;
  }

  /** pipe2(2). */
  pipe(flags: number): DescriptorPair {
    return this.#openPair('pipe2', this.#pairAddress, flags, 0, 0);
  }

  /** socketpair(2). */
  socketPair(domain: number, type: number): DescriptorPair {
    return this.#openPair('socketpair', domain, type, 0, this.#pairAddress);
  }

  /** Closes a descriptor, whether it is in flight or not. */
  close(fd: number): void {
    const slot = this.#slots.get(fd);
    if (slot === undefined) {
      this.kernel.call('close', fd);
      return;
    }
    this.#do(this.#ready.close, fd, slot);
    this.landed(fd);
  }

  /**
   * Address of the word that a program is to set to -1 when it closes `fd` or gives it away; then
   * comes landed(). For one that is not in flight, a word that nobody reads.
   */
  slotOf(fd: number): number {
    return this.#slots.get(fd) ?? this.kernel.scratchAddress;
  }

  /** A program has taken `fd` out of its slot. */
  landed(fd: number): void {
    const slot = this.#slots.get(fd);
    if (slot === undefined) return;
    this.#slots.delete(fd);
    this.#freeSlots.push(slot);
  }

  /**
   * Gives `fd` to a handle of Node's, which from then on closes it, also at the thread's end. What
   * the handle's open() gives: 0, or an error number, and then `fd` is closed.
   */
  handOver(fd: number, handle: PipeHandle): number {
    this.#prepare(this.#ready.forget, this.slotOf(fd));
    const [run, buffer] = [this.#run, this.#buffer];
    // V8 stops a Worker where a JavaScript function begins or a loop goes round: neither is here.
    // In this order a stop in between would leave `fd` open; in the other it would be closed
    // twice, the second time perhaps as another's.
    run(buffer);
    let result = 0;
    try {
      result = handle.open(fd);
    } catch (error) {
      if (!isDenied(error)) throw error;
      openRestricted(handle, fd);
    }
    this.landed(fd);
    if (result !== 0) this.kernel.call('close', fd);
    return result;
  }

  /**
   * Gives the read end of a pipe to `take`, which has to go through some JavaScript before it owns
   * it. Should the thread end meanwhile, then the write end tells whether there still is a reader.
   */
  handOverReader<T>(read: number, write: number, take: () => T): T {
    const { scratch, scratchAddress, binding } = this.kernel;
    const { wordSize } = binding.machine;
    const size = wordSize + 8;
    scratch.fill(0, 0, size);
    const view = new DataView(scratch.buffer, scratch.byteOffset);
    view.setInt32(0, read, true);
    view.setInt32(wordSize, write, true);
    const slot = this.slotOf(read);
    this.#do(this.#ready.doubt, this.#doubt, scratchAddress, size, slot);
    this.landed(read);
    const taken = take();
    this.kernel.store(this.#doubt, -1);
    return taken;
  }

  /** Address of SHARING_WORDS. */
  get sharing(): number {
    return this.#sharing;
  }

  /** Waits until none does. */
  settle(): void {
    const sharing = this.#sharing;
    const sharer = sharing + this.kernel.binding.machine.wordSize;
    this.#do(this.#ready.settle, sharing, sharer);
  }

  /**
   * Waits until the child that shares this memory does not any more: whether the kernel cleared the
   * word. `errorRead` is the read end of its error pipe.
   */
  isToldOf(errorRead: number): boolean {
    this.#do(this.#ready.watch, this.#sharing, errorRead);
    return this.#result() !== 0;
  }

  /** calloc(3). Throws LaunchError. */
  allocate(size: number): number {
    const slot = this.#freeMemory.pop();
    if (slot === undefined) throw outOfMemory();
    this.#do(this.#ready.allocate, size, slot);
    const address = this.kernel.load(slot);
    if (address === 0) {
      this.#freeMemory.push(slot);
      throw outOfMemory();
    }
    this.#memory.set(address, slot);
    return address;
  }

  /** Address of the word that a program is to set to 0 when it gives memory away. */
  memorySlotOf(address: number): number {
    return this.#memory.get(address) as number;
  }

  /** Frees memory that is in flight. */
  free(address: number): void {
    this.#do(this.#ready.free, this.memorySlotOf(address));
    this.memoryLanded(address);
  }

  /** A program has taken memory out of its slot. */
  memoryLanded(address: number): void {
    this.#freeMemory.push(this.memorySlotOf(address));
    this.#memory.delete(address);
  }

  get #pairAddress(): number {
    return this.#loaded.address(this.#code.pair);
  }

  #openPair(name: string, a0: number, a1: number, a2: number, a3: number): DescriptorPair {
    const [slot, slot2] = [this.#takeSlot(), this.#takeSlot()];
    const number = this.kernel.binding.machine.syscallNumber(name);
    this.#do(this.#ready.openPair, number, a0, a1, a2, a3, slot, slot2);
    const result = this.#result();
    const at = this.#loaded.at(this.#code.pair);
    const { memory } = this.#loaded;
    const [first, second] = [memory.int32(at), memory.int32(at + 4)];
    if (result < 0) this.#freeSlots.push(slot, slot2);
    else this.#slots.set(first, slot).set(second, slot2);
    return { result, first, second };
  }

  #takeSlot(): number {
    if (this.#freeSlots.length === 0) this.#addBlock();
    return this.#freeSlots.pop() as number;
  }

  /** More slots, and the program that looks after them at the thread's end. */
  #addBlock(): void {
    const { kernel } = this;
    const { machine, functions } = kernel.binding;
    const { wordSize } = machine;
    const { program, slots, memory, sharing, doubt } = endProgram(machine);
    const { size } = layoutOf(program, wordSize);
    this.#do(this.#ready.block, size, functions.get('free') as number);
    const address = this.#loaded.memory.word(this.#loaded.at(this.#code.result));
    if (address === 0) throw outOfMemory();
    const bytes = new Uint8Array(size);
    const layout = link(program, machine, address, bytes, functions);
    kernel.copyOut(bytes, address);
    // What was added last is called first: the block is freed after its program has run.
    const run = functions.get('run') as number;
    this.#do(this.#ready.atEnd, run, address + layout.code);
    const at = (place: Place): number => address + offsetOf(place, layout, wordSize);
    for (let i = SLOTS - 1; i >= 0; i--) this.#freeSlots.push(at(slots) + i * wordSize);
    for (let i = 0; i < MEMORY_SLOTS; i++) this.#freeMemory.push(at(memory) + i * wordSize);
    this.#doubt = at(doubt);
    if (this.#sharing === 0) this.#sharing = at(sharing);
  }

  #do(routine: ReadyRoutine, ...values: readonly number[]): void {
    this.#prepare(routine, ...values);
    this.#run(this.#buffer);
  }

  #prepare({ entry, parameters }: ReadyRoutine, ...values: readonly number[]): void {
    const { memory } = this.#loaded;
    for (let i = 0; i < values.length; i++) {
      for (const at of parameters[i] as readonly number[]) memory.setWord(at, values[i] as number);
    }
    memory.setWord(HEADER.entry * memory.wordSize, entry);
  }

  #result(): number {
    return this.#loaded.memory.signedWord(this.#loaded.at(this.#code.result));
  }
}

/** A routine in memory: byte offsets of its first instruction, and of the words of its parameters. */
interface ReadyRoutine {
  readonly entry: number;
  readonly parameters: readonly (readonly number[])[];
}

type ReadyRoutines = ReturnType<typeof readyRoutines>;

/** The routines, each with its parameters in the order in which they are passed here. */
function readyRoutines(code: InFlightProgram, loaded: LoadedProgram) {
  const { wordSize } = loaded.memory;
  const ready = <Parameter extends string>(
    { entry, parameters }: Routine<Parameter>,
    ...order: readonly Parameter[]
  ): ReadyRoutine => ({
    entry: (HEADER_WORDS + entry * INSTRUCTION_WORDS) * wordSize,
    parameters: order.map((name) => parameters[name].map((place) => loaded.at(place))),
  });
  return {
    open: ready(code.open, 'number', 'a0', 'a1', 'a2', 'a3', 'slot'),
    openPair: ready(code.openPair, 'number', 'a0', 'a1', 'a2', 'a3', 'slot', 'slot2'),
    close: ready(code.close, 'fd', 'slot'),
    forget: ready(code.forget, 'slot'),
    doubt: ready(code.doubt, 'to', 'from', 'size', 'slot'),
    settle: ready(code.settle, 'sharing', 'sharer'),
    watch: ready(code.watch, 'sharing', 'errorRead'),
    allocate: ready(code.allocate, 'size', 'slot'),
    free: ready(code.free, 'slot'),
    block: ready(code.block, 'size', 'free'),
    atEnd: ready(code.atEnd, 'function', 'argument'),
  };
}

function outOfMemory(): LaunchError {
  return new LaunchError({ errno: ENOMEM, syscall: 'calloc', step: 'allocate memory' });
}
