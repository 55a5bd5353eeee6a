import { constants } from 'node:os';
import { ProgramBuilder } from '../../src/program/builder.js';
import type { Label } from '../../src/program/instruction.js';
import { ERRNOS } from './errnos.js';
import { probesOf } from './probes.js';

/*
 * How a chosen call is made to fail. strace injects an error at every PERIODth call of a syscall,
 * counted for each thread, from when it was attached. So calls without effect are made until one
 * fails, which tells where the count is, and then as many as bring it round at the call that is
 * meant. A new process is counted from its start: there a loop of such calls is put in front of
 * all that the child does.
 */

/** More than any launch makes of one system call. */
const PERIOD = 64;
const PERIODS: Readonly<Record<string, number>> = {
  rt_sigaction: 512,
  // Each turn of the event loop makes one.
  epoll_pwait: 1024,
  // Without close_range(2) there is one for each descriptor.
  close: 256,
  // Node makes one for each variable of the environment that it reads with care.
  capget: 1024,
  // One for each capability, and more.
  prctl: 512,
  // How the fixture looks at its own descriptors.
  getdents64: 1024,
  lseek: 1024,
};

export function periodOf(syscall: string): number {
  return PERIODS[syscall] ?? PERIOD;
}

export type ErrnoName = keyof typeof constants.errno;

export function errnoNumber(name: string): number {
  const number = constants.errno[name as ErrnoName] ?? OTHERS[name];
  if (number === undefined) throw new Error(`no number for ${name}`);
  return number;
}

/** What Node has no name for. */
const OTHERS: Readonly<Record<string, number>> = {
  ENOTBLK: 15,
  ENOPKG: 65,
  EBADFD: 77,
  ELIBBAD: 80,
  EUSERS: 87,
};

/** Makes calls of this thread that nobody observes. */
export type RawCall = (name: string, ...args: readonly number[]) => number;

/** Marks what follows in strace's record. tee(2) of no descriptor, which nobody else calls. */
export const MARKER = 'tee';

export class Injection {
  readonly #call: RawCall;
  readonly #natural = new Map<string, readonly number[]>();
  /** Calls since the count was known to be 0. */
  readonly #made = new Map<string, number>();
  #errors: Readonly<Record<string, string>> = {};

  /** To be made before strace is attached: looks what the probes give by themselves. */
  constructor(call: RawCall) {
    this.#call = call;
    for (const syscall of Object.keys(ERRNOS)) {
      this.#natural.set(
        syscall,
        HAS_EFFECT.has(syscall)
          ? []
          : probesOf(syscall).map((args) => this.#call(syscall, ...args)),
      );
    }
  }

  /** Tells which errors strace injects from now on: it was attached just now. */
  start(errors: Readonly<Record<string, string>>): void {
    this.#errors = errors;
    this.#made.clear();
  }

  /** Counts calls that were made, at the most. */
  count(syscall: string, calls: number): void {
    this.#made.set(syscall, (this.#made.get(syscall) ?? 0) + calls);
  }

  /** Keeps calls that are not meant from failing: half a period of each is safe after this. */
  rest(): void {
    for (const [syscall, made] of this.#made) {
      const errno = this.#errors[syscall];
      if (errno === undefined || made < periodOf(syscall) / 2) continue;
      // What cannot be armed is called by children only.
      if (this.#choose(syscall, errno) !== undefined) this.#bringRound(syscall);
    }
  }

  /** Has the `nth` call from now on fail. */
  arm(syscall: string, nth: number): void {
    this.#bringRound(syscall);
    const args = this.#chosen(syscall);
    for (let i = periodOf(syscall) - nth; i > 0; i--) this.#call(syscall, ...args);
    this.#made.set(syscall, -nth);
  }

  #bringRound(syscall: string): void {
    const args = this.#chosen(syscall);
    const wanted = -errnoNumber(this.#errors[syscall] as string);
    for (let i = 0; i <= periodOf(syscall); i++) {
      if (this.#call(syscall, ...args) === wanted) {
        this.#made.set(syscall, 0);
        return;
      }
    }
    throw new Error(`no call of ${syscall} was made to fail`);
  }

  #chosen(syscall: string): readonly number[] {
    const args = this.#choose(syscall, this.#errors[syscall] as string);
    if (args === undefined) throw new Error(`${syscall} cannot be armed`);
    return args;
  }

  #choose(syscall: string, errno: string): readonly number[] | undefined {
    const results = this.#natural.get(syscall) ?? [];
    const number = errnoNumber(errno);
    return probesOf(syscall).find((_, i) => results[i] !== undefined && results[i] !== -number);
  }
}

/** What must not be tried in this process; only children make these calls. */
const HAS_EFFECT: ReadonlySet<string> = new Set(['setsid', 'umask', 'exit_group', 'execve']);

/** What comes before everything that a child does. */
export interface Padding {
  readonly syscall: string;
  readonly calls: number;
}

let padding: Padding | null = null;

/** Has the children of launch programs that are built meanwhile start with calls of no effect. */
export function withPadding<T>(given: Padding | null, act: () => T): T {
  padding = given;
  try {
    return act();
  } finally {
    padding = null;
  }
}

/** From here on, launch programs can be padded. */
export function installPadding(): void {
  const { label, place } = ProgramBuilder.prototype;
  const children = new WeakSet<Label>();
  ProgramBuilder.prototype.label = function (this: ProgramBuilder, name?: string): Label {
    const made = label.call(this, name);
    if (name === 'child') children.add(made);
    return made;
  };
  ProgramBuilder.prototype.place = function (this: ProgramBuilder, made: Label): void {
    place.call(this, made);
    if (padding === null || !children.has(made)) return;
    const { syscall, calls } = padding;
    // Should another launch follow, in another way, it is to succeed.
    padding = null;
    const count = this.words(0);
    const [again, done] = [this.label(), this.label()];
    place.call(this, again);
    this.branchIfEqual(count, calls, done);
    this.syscall(syscall, probesOf(syscall)[0] as readonly number[]);
    this.add(1, count);
    this.jump(again);
    place.call(this, done);
  };
}
