import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { InternalError } from '../../src/errors.js';
import type { Machine } from '../../src/machine/machine.js';
import {
  EINVAL,
  ENOENT,
  ENOEXEC,
  F_DUPFD_CLOEXEC,
  PR_CAP_AMBIENT,
  PR_CAPBSET_READ,
  SIG_IGN,
} from '../../src/plan/constants.js';
import {
  HEADER_WORDS,
  INSTRUCTION_WORDS,
  type Operation,
  type Program,
  WORD,
} from '../../src/program/instruction.js';
import { layoutOf, link } from '../../src/program/link.js';
import { SimulatedMemory, simulate } from '../../src/program/simulate.js';
import { signalsIn, statusOf } from '../process/observe.js';

/*
 * Which system calls a program makes, in which order: found by running it in the reference
 * interpreter, where every call succeeds.
 */

/** One system call of a program, or one of a C function. */
export interface ProgramCall {
  readonly op: Operation;
  readonly name: string;
  /** Index of its instruction. */
  readonly index: number;
  readonly step: string | null;
  /** Whether an error leads anywhere but to the next instruction. */
  readonly handled: boolean;
}

/** Reads a word of this process by its address. */
export type LoadWord = (address: number) => number;

/** A copy of memory of this process. What the program reads elsewhere is read where it is. */
class CopiedMemory extends SimulatedMemory {
  readonly #loadWord: LoadWord;
  readonly #elsewhere = new Map<bigint, bigint>();

  constructor(bytes: Uint8Array, base: number, wordSize: 4 | 8, loadWord: LoadWord) {
    super(bytes, base, wordSize);
    this.#loadWord = loadWord;
  }

  override load(address: bigint): bigint {
    if (this.#isOwn(address)) return super.load(address);
    const stored = this.#elsewhere.get(address);
    return stored ?? this.unsigned(BigInt(this.#loadWord(Number(address))));
  }

  override store(address: bigint, value: bigint): void {
    if (this.#isOwn(address)) super.store(address, value);
    else this.#elsewhere.set(address, this.unsigned(value));
  }

  #isOwn(address: bigint): boolean {
    const at = address - this.base;
    return at >= 0n && at + BigInt(this.wordSize) <= BigInt(this.bytes.length);
  }
}

/** The calls of a program that stands at `address`, its words set for a run. */
export function walkLoaded(
  program: Program,
  machine: Machine,
  { bytes, address }: { readonly bytes: Uint8Array; readonly address: number },
  loadWord: LoadWord,
  asChild: boolean,
): ProgramCall[] {
  const memory = new CopiedMemory(new Uint8Array(bytes), address, machine.wordSize, loadWord);
  return walk(program, memory, asChild);
}

/** The calls of a plan, linked anew. */
export function walkPlan(program: Program, machine: Machine): ProgramCall[] {
  const base = 0x400000;
  const bytes = new Uint8Array(layoutOf(program, machine.wordSize).size);
  link(program, machine, base, bytes);
  return walk(program, new CopiedMemory(bytes, base, machine.wordSize, () => 0), true);
}

function walk({ instructions }: Program, memory: SimulatedMemory, asChild: boolean): ProgramCall[] {
  const { wordSize, base } = memory;
  // In place of its number each call gets the index of its instruction, and more than any number.
  instructions.forEach(({ op }, index) => {
    const word = HEADER_WORDS + index * INSTRUCTION_WORDS + WORD.number;
    if (op === 'syscall' || op === 'clone' || op === 'call')
      memory.store(base + BigInt(word * wordSize), BigInt(OWN + index));
  });
  const calls: ProgramCall[] = [];
  const note = (index: number): string => {
    const { op, name, step, target } = instructions[index] as Program['instructions'][number];
    calls.push({ op, name, index, step: step?.step ?? null, handled: target !== null });
    return name;
  };
  const kernel = {
    syscall(number: number, args: readonly bigint[]): bigint | null {
      // `direct`: the child has gone over into the plan, which is another program.
      if (number < OWN) return null;
      return resultOf(note(number - OWN), args, memory, asChild);
    },
    call(number: bigint): bigint {
      note(Number(number) - OWN);
      return 0n;
    },
  };
  try {
    simulate(memory, kernel);
  } catch (error) {
    // The same, where that program does not stand in line with this one.
    if (!(error instanceof InternalError && /no instruction/.test(error.message))) throw error;
  }
  return calls;
}

/** Above all numbers of system calls. */
const OWN = 100_000;
const DESCRIPTOR = 1000n;
const PID = 1234n;

/** What a call gives that succeeds; null if it does not return. */
function resultOf(
  name: string,
  args: readonly bigint[],
  memory: SimulatedMemory,
  asChild: boolean,
): bigint | null {
  const [first = 0n, second = 0n, third = 0n] = args;
  switch (name) {
    case 'clone':
    case 'clone3':
      return asChild ? 0n : PID;
    case 'getppid':
      return BigInt(process.pid);
    case 'prctl':
      if (Number(first) === PR_CAPBSET_READ) return capability(second);
      // Raised are those that the kernel knows.
      return Number(first) === PR_CAP_AMBIENT && capability(third) < 0n ? capability(third) : 0n;
    case 'openat':
      return opened(memory.string(second), Number(third));
    case 'memfd_create':
    case 'open_tree':
    case 'socket':
    case 'landlock_create_ruleset':
      return DESCRIPTOR;
    case 'fcntl':
      return Number(second) === F_DUPFD_CLOEXEC ? third : 0n;
    case 'rt_sigaction':
      // Where the old action is asked for: whether the signal is ignored.
      if (third !== 0n) {
        const ignored = signalsIn('self', 'SigIgn').includes(Number(first));
        memory.store(third, BigInt(ignored ? SIG_IGN : 0));
      }
      return 0n;
    case 'execve':
      return exec(memory.string(first));
    case 'execveat':
    case 'exit_group':
      return null;
    default:
      return 0n;
  }
}

/** Whether a capability is in the bounding set; an error if the kernel does not know it. */
function capability(number: bigint): bigint {
  const last = readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1');
  if (number > BigInt(last)) return BigInt(-EINVAL);
  return (BigInt(`0x${statusOf('self').get('CapBnd')}`) >> number) & 1n;
}

function opened(path: string, flags: number): bigint {
  return (flags & constants.O_CREAT) === 0 && path.startsWith('/') && !existsSync(path)
    ? BigInt(-ENOENT)
    : DESCRIPTOR;
}

function exec(path: string): bigint | null {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    return BigInt(-ENOENT);
  }
  const start = readFileSync(path).toString('latin1', 0, 4);
  return start === '\x7fELF' || start.startsWith('#!') ? null : BigInt(-ENOEXEC);
}
