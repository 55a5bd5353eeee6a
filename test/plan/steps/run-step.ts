import { MACHINES } from '../../../src/machine/index.js';
import type { Machine } from '../../../src/machine/machine.js';
import type { Step } from '../../../src/plan/plan.js';
import { Emitter } from '../../../src/plan/steps/emitter.js';
import { emitStep } from '../../../src/plan/steps/index.js';
import { ProgramBuilder } from '../../../src/program/builder.js';
import { WORD } from '../../../src/program/instruction.js';
import { instructionAt, layoutOf, link } from '../../../src/program/link.js';
import { SimulatedMemory, simulate } from '../../../src/program/simulate.js';

export const ALL_MACHINES: readonly Machine[] = Object.values(MACHINES);

/** A system call of the simulated kernel: gives its result, or a negated error number. */
export type SimulatedCall = (
  name: string,
  args: readonly number[],
  memory: SimulatedMemory,
) => number;

/** Runs steps in a simulated kernel: null, or the step and the system call that failed. */
export function runSteps(
  machine: Machine,
  steps: readonly Step[],
  kernel: SimulatedCall,
): string | null {
  const { wordSize } = machine;
  const b = new ProgramBuilder(wordSize);
  const fail = b.label('fail');
  const site = { machine, errorPipe: 20, executor: 'image', argumentCount: 1 } as const;
  const emitter = new Emitter(b, fail, site);
  for (const step of steps) emitStep(step, emitter);
  b.syscall('getpid', []);
  b.place(fail);
  b.syscall('exit_group', [b.wordOf(b.position, WORD.failedAt)]);
  b.jump(fail);
  const program = b.build();
  const base = 0x10000;
  const bytes = new Uint8Array(layoutOf(program, wordSize).size);
  link(program, machine, base, bytes);
  const names = new Map<number, string>();
  for (const { op, name } of program.instructions) {
    if (op === 'syscall') names.set(machine.syscallNumber(name), name);
  }
  let failure: string | null = null;
  simulate(new SimulatedMemory(bytes, base, wordSize), {
    syscall(number, args, memory) {
      const name = names.get(number) as string;
      if (name === 'getpid') return null;
      if (name === 'exit_group') {
        const at = Number(memory.load(args[0] as bigint));
        const { step, name } = instructionAt(program, wordSize, base, at) ?? {};
        failure = `${step?.step}: ${name}${step?.path === undefined ? '' : ` ${step.path}`}`;
        return null;
      }
      const signed = args.map((value) => Number(memory.signed(value)));
      return BigInt.asUintN(wordSize * 8, BigInt(kernel(name, signed, memory)));
    },
  });
  return failure;
}
