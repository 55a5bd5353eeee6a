import { type ImageTemplate, imageTemplate, writeImageHead } from '../../src/elf/image.js';
import type { Machine } from '../../src/machine/machine.js';
import { compile } from '../../src/plan/compile.js';
import { ALL_SIGNALS, NO_SIGNALS, type Plan } from '../../src/plan/plan.js';
import type { Program } from '../../src/program/instruction.js';
import { layoutOf, link } from '../../src/program/link.js';

/** A plan with something of everything that is in plans. */
export const SAMPLE_PLAN: Plan = {
  steps: [
    { type: 'setsid' },
    {
      type: 'descriptors',
      map: new Map([
        [0, 1],
        [1, 0],
        [2, 2],
      ]),
    },
    { type: 'open', fd: 3, path: '/dev/null' },
    { type: 'chdir', path: '/tmp' },
    { type: 'signalDefaults', signals: ALL_SIGNALS },
    { type: 'signalMask', signals: NO_SIGNALS },
  ],
  exec: { candidates: ['/usr/bin/true', '/bin/true'], file: 'true', shellFallback: true },
};

export interface SampleImage {
  readonly bytes: Uint8Array;
  readonly template: ImageTemplate;
  readonly program: Program;
  readonly programSize: number;
}

/** The helper image of a machine with the sample plan in it. */
export function sampleImage(machine: Machine): SampleImage {
  const { wordSize } = machine;
  const template = imageTemplate(machine);
  const site = { machine, errorPipe: 9, executor: 'image', argumentCount: 2 } as const;
  const program = compile(SAMPLE_PLAN, site);
  const programSize = layoutOf(program, wordSize).size;
  const bytes = new Uint8Array(template.head.length + programSize);
  writeImageHead(template, wordSize, programSize, bytes);
  link(program, machine, template.programAddress, bytes.subarray(template.head.length));
  return { bytes, template, program, programSize };
}
