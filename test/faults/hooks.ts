import { binding } from '../../src/launch/binding.js';
import { type DescriptorPair, InFlight } from '../../src/launch/in-flight.js';
import { Kernel } from '../../src/launch/kernel.js';
import { LoadedProgram } from '../../src/launch/loaded-program.js';
import { engine } from '../../src/process/engine.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { HEADER, OP, type Program } from '../../src/program/instruction.js';
import { Injection, installPadding } from './arming.js';

/*
 * Stands between this process's engine and its binding: tells of every system call of this thread
 * before it is made, and knows the programs.
 */

const { call } = Kernel.prototype;
const { run } = LoadedProgram.prototype;
const { build } = ProgramBuilder.prototype;

export const built: Program[] = [];
let kept = Infinity;

/** From now on programs are kept only as long as a cell takes. */
export function keepNoMore(): void {
  kept = built.length;
}

ProgramBuilder.prototype.build = function (this: ProgramBuilder): Program {
  const program = build.call(this);
  built.push(program);
  // What is built for one cell is needed no longer than that.
  if (built.length > kept + 20) built.splice(kept, 1);
  return program;
};
installPadding();

export interface Listener {
  call(name: string): void;
  run(loaded: LoadedProgram): void;
}

/** Is told of each call, and of each run of a program, before it is made. */
let listener: Listener | null = null;
let announced = false;
// All that makes system calls goes through here: nothing may be overlooked.
const loadedBinding = binding();
const { run: runProgram } = loadedBinding;
export const { machine } = loadedBinding;
const watched = (buffer: ArrayBuffer): void => {
  const words = new DataView(buffer);
  const word = (at: number): number => words.getUint32(at, true);
  const op = word(word(HEADER.entry * machine.wordSize));
  if (op === OP.syscall && !announced && listener !== null) {
    throw new Error('a program runs of which nothing was told');
  }
  announced = false;
  runProgram(buffer);
};
Object.assign(loadedBinding, { run: watched });

export const current = engine();
export const { kernel } = current;
/** A call that nobody is told of. */
export const raw = (name: string, ...args: readonly number[]): number => {
  announced = true;
  return call.call(kernel, name, ...(args as [number]));
};

export function listen(given: Listener | null): void {
  listener = given;
}

export function unobserved<T>(act: () => T): T {
  const given = listener;
  listener = null;
  try {
    return act();
  } finally {
    listener = given;
  }
}

export const injection = new Injection((name, ...args) => unobserved(() => raw(name, ...args)));

function announce(name: string): void {
  injection.count(name, 1);
  listener?.call(name);
  announced = true;
}

Kernel.prototype.call = function (this: Kernel, name: string, ...args: number[]): number {
  announce(name);
  return call.call(this, name, ...(args as [number]));
};
const { open, pipe, socketPair, close } = InFlight.prototype;
InFlight.prototype.open = function (this: InFlight, name: string, ...args: number[]): number {
  announce(name);
  return open.call(this, name, ...args);
};
InFlight.prototype.pipe = function (this: InFlight, ...args): DescriptorPair {
  announce('pipe2');
  return pipe.apply(this, args);
};
InFlight.prototype.socketPair = function (this: InFlight, ...args): DescriptorPair {
  announce('socketpair');
  return socketPair.apply(this, args);
};
InFlight.prototype.close = function (this: InFlight, fd: number): void {
  announce('close');
  close.call(this, fd);
};
LoadedProgram.prototype.run = function (this: LoadedProgram): void {
  if (this.memory !== kernel.memory) {
    const { instructions, names } = unobserved(() => programOf(this));
    // What stands behind that label, children do.
    const child = [...names].find(([, name]) => name === 'child')?.[0].index;
    for (const { op, name } of instructions.slice(0, child)) {
      if (op === 'syscall' || op === 'clone') injection.count(name, 1);
    }
    listener?.run(this);
    announced = true;
  }
  run.call(this);
};

/** Which of the programs that were built it is that stands in that memory. */
export function programOf({ memory }: LoadedProgram): Program {
  const { wordSize } = memory;
  const matches = ({ instructions }: Program): boolean =>
    instructions.every(({ op, name }, i) => {
      const at = (4 + i * 12) * wordSize;
      if (memory.word(at) !== OP[op]) return false;
      const isCall = op === 'syscall' || op === 'clone';
      return !isCall || memory.word(at + wordSize) === machine.syscallNumber(name);
    });
  const found = built.findLast((program) => program.instructions.length > 1 && matches(program));
  if (found === undefined) throw new Error('a program that was not built');
  return found;
}

export function isLaunch({ names }: Program): boolean {
  return [...names.values()].includes('child');
}

export function isPlan({ names }: Program): boolean {
  return [...names.values()].includes('fail');
}
