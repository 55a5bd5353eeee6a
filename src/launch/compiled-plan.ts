import { type ImageTemplate, writeImageHead } from '../elf/image.js';
import { compile, type Site } from '../plan/compile.js';
import type { Plan } from '../plan/plan.js';
import type { Program } from '../program/instruction.js';
import { layoutOf, link } from '../program/link.js';

export interface CompiledPlan {
  readonly program: Program;
  /** image: the whole file. direct: room for the plan, which is linked anew for each launch. */
  readonly bytes: Uint8Array;
}

/** Compiles a plan, and for the image executor links it. */
export function compilePlan(plan: Plan, site: Site, template: ImageTemplate): CompiledPlan {
  const { machine, executor } = site;
  const program = compile(plan, site);
  const { size } = layoutOf(program, machine.wordSize);
  if (executor === 'direct') return { program, bytes: new Uint8Array(size) };
  const head = template.head.length;
  const bytes = new Uint8Array(head + size);
  writeImageHead(template, machine.wordSize, size, bytes);
  link(program, machine, template.programAddress, bytes.subarray(head));
  return { program, bytes };
}
