import { alignUp } from '../elf/encode.js';
import type { Kernel } from './kernel.js';
import { Memory } from './memory.js';
import { type EnvironmentSize, OwnEnvironment } from './own-environment.js';
import { type Environment, vectorsSize, writeVectors } from './vectors.js';
import { workersOfMainThread } from './workers.js';

/** Bytes at the start that the binding uses for itself. */
const START = 64;

/** What a new process starts from, in addresses; the room behind it as an offset. */
export interface Contents {
  readonly descriptors: number;
  readonly descriptorsEnd: number;
  readonly argv: number;
  readonly envp: number;
  readonly at: number;
}

/** The memory from which a new process takes its descriptors, arguments and environment. */
export class Arena {
  readonly #kernel: Kernel;
  readonly #own: OwnEnvironment;
  readonly #workers = workersOfMainThread();
  #memory: Memory;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#own = new OwnEnvironment(kernel);
    this.#memory = this.#allocate(1 << 16);
  }

  /** Another after a write that it was too small for. */
  get memory(): Memory {
    return this.#memory;
  }

  /**
   * Whether this process's own environment can be copied. Node has a lock for it that is not to be had
   * here: while a Worker sets a variable, only the kernel may read it, which finds out what has no
   * memory any more.
   */
  get ownIsStill(): boolean {
    return this.#workers() === 0;
  }

  /** The size of this process's own environment, for a copy of it. */
  measureOwn(): EnvironmentSize {
    return this.#own.measure();
  }

  /**
   * Writes it all, and leaves room for `rest` bytes behind it. This process's own environment is copied
   * if its size is given; else it stays where libc keeps it.
   */
  write(
    descriptors: readonly number[],
    argv: readonly string[],
    env: Environment,
    own: EnvironmentSize | null,
    rest: number,
  ): Contents {
    const { wordSize } = this.#memory;
    const vectorsAt = START + descriptors.length * wordSize;
    const pairs = env === 'inherit' ? [] : env;
    const ownSize = own === null ? 0 : own.bytes + (own.count + 1) * wordSize;
    const room = vectorsAt + vectorsSize(argv, pairs, wordSize) + ownSize + 128 + rest;
    if (this.#memory.bytes.length < room) this.#memory = this.#allocate(room * 2);
    const memory = this.#memory;
    descriptors.forEach((fd, i) => {
      memory.setWord(START + i * wordSize, fd);
    });
    const vectors = writeVectors(memory, vectorsAt, argv, pairs);
    let { envp, end } = vectors;
    if (own !== null) {
      end = alignUp(end, wordSize);
      envp = memory.address + end;
      this.#own.copyTo(envp, own);
      end += ownSize;
      // Should a string have changed meanwhile, then none goes on into what is left of other launches.
      memory.bytes[end++] = 0;
    } else if (env === 'inherit') envp = this.#own.vector;
    return {
      descriptors: memory.address + START,
      descriptorsEnd: memory.address + vectorsAt,
      argv: vectors.argv,
      envp,
      at: alignUp(end, 64),
    };
  }

  #allocate(size: number): Memory {
    const { run, machine } = this.#kernel.binding;
    return new Memory(run, machine.wordSize, size);
  }
}
