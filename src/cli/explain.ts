import { accessSync, constants } from 'node:fs';
import { prepareControls } from '../controls/index.js';
import { assumeLandlock, LAST_LANDLOCK_ABI } from '../controls/landlock-abi.js';
import { type ImageTemplate, imageTemplate } from '../elf/image.js';
import { describe, errnoCode, UnsupportedError } from '../errors.js';
import { bindingImage } from '../launch/binding-image.js';
import { compilePlan } from '../launch/compiled-plan.js';
import { type LaunchPlaces, launchProgram } from '../launch/launch-program.js';
import type { Code } from '../machine/assembler.js';
import { MACHINES, machineFor } from '../machine/index.js';
import type { Machine } from '../machine/machine.js';
import { highestTarget, type Plan } from '../plan/plan.js';
import { filterOf } from '../plan/steps/seccomp.js';
import { environment, searchPath } from '../process/environment.js';
import { candidatesFor, lookAhead } from '../process/lookup.js';
import { spawnPlan } from '../process/spawn-plan.js';
import {
  type ExplainedProgram,
  explain as explainProgram,
  formatProgram,
} from '../program/explain.js';
import { HEADER } from '../program/instruction.js';
import { layoutOf } from '../program/link.js';
import { disassemble, formatFilter } from '../seccomp/disassemble.js';
import { COMMAND_OPTIONS, type Command, readCommand, withControls } from './command.js';
import { HELP } from './help.js';
import { formatImage, formatListing, type ImageLayout, imageLayout } from './image-layout.js';
import { parseOptions, splitCommand, UsageError } from './usage.js';

const OPTIONS = {
  ...COMMAND_OPTIONS,
  arch: { type: 'string' },
  listing: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

/** Descriptors of the command: those of safeexec itself, as `run` gives them. */
const INHERITED = new Map([0, 1, 2].map((fd) => [fd, fd]));

/**
 * Numbers that only a launch knows. The two of the thread's epoll set get names in the listing;
 * the error pipe has some number above those that the plan names, as is usual for Node this one.
 */
const EPOLL = 0x7fff0001;
const LIVE = 0x7fff0002;
const ERROR_PIPE = 20;

/**
 * `safeexec explain`: prints what starting a command would do. Loads the binding only to ask the
 * kernel for its Landlock, where that is used; without it, the newest is taken to be there.
 */
export async function explain(argv: readonly string[]): Promise<number> {
  const flags = withControls(OPTIONS);
  const { own, command: words } = splitCommand(argv, flags);
  const values = parseOptions(own, flags);
  if (values.help) {
    process.stdout.write(HELP.explain);
    return 0;
  }
  assumeLandlock({ abi: LAST_LANDLOCK_ABI });
  const command = readCommand(values, words);
  const machine = machineNamed(values.arch ?? process.arch);
  const explanation = explainCommand(command, machine);
  const listing = values.listing ? listings(machine) : null;
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ ...explanation, listing: listing?.map(listingData) }, null, 2)}\n`
      : format(explanation, listing),
  );
  return 0;
}

/** All that is printed of a command. */
interface Explanation {
  readonly file: string;
  readonly argv: readonly string[];
  readonly machine: string;
  readonly executor: string;
  /** Why the launch would be refused before anything is started; null if it would not. */
  readonly refusal: string | null;
  readonly candidates: readonly string[];
  readonly errorPipe: number;
  readonly plan: ExplainedProgram & { readonly size: number };
  readonly launch: ExplainedProgram & { readonly size: number };
  /** The seccomp filters, listed. */
  readonly filters: readonly (readonly string[])[];
  /** Of the image executor. */
  readonly image: ImageLayout | null;
}

function explainCommand(command: Command, machine: Machine): Explanation {
  const { file, args, argv0 = file, executor = 'image' } = command;
  const { wordSize } = machine;
  const argv = [argv0, ...args];
  const { plan, refusal } = planFor(command);
  const template = imageTemplate(machine);
  const errorPipe = Math.max(ERROR_PIPE, highestTarget(plan) + 1);
  const site = { machine, executor, errorPipe, argumentCount: argv.length };
  const { program } = compilePlan(plan, site, template);
  const direct = executor === 'direct';
  const intoCgroup = command.controls.cgroup !== undefined;
  const variant = { carrier: direct ? 'direct' : 'memfd', intoCgroup, sharing: null } as const;
  const launch = launchProgram(machine, variant, { epoll: EPOLL, live: LIVE });
  return {
    file,
    argv,
    machine: machine.name,
    executor,
    refusal,
    candidates: plan.exec.candidates,
    errorPipe,
    plan: {
      size: layoutOf(program, wordSize).size,
      ...explainProgram(program, { wordSize, names: planNames(direct) }),
    },
    launch: {
      size: layoutOf(launch.program, wordSize).size,
      ...explainProgram(launch.program, {
        wordSize,
        names: namesOf(launch.places),
        symbols: new Map([
          [EPOLL, 'epoll'],
          [LIVE, 'live'],
        ]),
      }),
    },
    filters: plan.steps.flatMap((step) =>
      step.type === 'seccomp' ? [disassemble(filterOf(step, machine, errorPipe), machine)] : [],
    ),
    image: direct ? null : imageLayout(machine, template, program),
  };
}

/** The plan that `run` would have, and why its launch would be refused at once. */
function planFor(command: Command): { readonly plan: Plan; readonly refusal: string | null } {
  const { file, cwd } = command;
  const path = file.includes('/') ? '' : searchPath(environment(command.env));
  const all = candidatesFor(file, path);
  const controls = prepareControls(command.controls);
  const { cwdFd, execFd, changesRoot } = controls ?? {};
  let candidates = execFd === undefined ? all : [];
  let refusal: string | null = null;
  // What the child alone can know is left to it.
  if (execFd === undefined && !changesRoot) {
    const directory = cwdFd === undefined ? cwd : `/proc/self/fd/${cwdFd}`;
    const found = lookAhead(access, all, file, directory);
    if ('index' in found) candidates = all.slice(found.index);
    else refusal = describe(errnoCode(found.errno), found);
  }
  return { plan: spawnPlan({ file, cwd, controls }, candidates, INHERITED, []), refusal };
}

function access(path: string): number {
  try {
    accessSync(path, constants.X_OK);
    return 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -1;
  }
}

const planNames = (direct: boolean) => ({
  [direct ? 'vectors' : 'stack']: { section: 'header', offset: HEADER.stack } as const,
  ...(direct ? { envp: { section: 'header', offset: HEADER.env } as const } : {}),
});

// The flags are constants here.
function namesOf({ failures: _, cloneFlags: __, cgroup: ___, ...places }: LaunchPlaces) {
  return places;
}

function machineNamed(name: string): Machine {
  try {
    return machineFor(name);
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    throw new UsageError(`--arch is one of ${Object.keys(MACHINES).join(', ')}, not '${name}'`);
  }
}

interface Listing {
  readonly name: string;
  readonly code: Code;
  readonly address: number;
}

function listings(machine: Machine): Listing[] {
  const { code, codeOffset, segments }: ImageTemplate = imageTemplate(machine);
  const binding = bindingImage(machine);
  const [text] = segments(0);
  return [
    { name: 'code of the image', code, address: (text?.address ?? 0) + codeOffset },
    { name: 'code of the binding', code: binding.code, address: binding.codeOffset },
  ];
}

function listingData({ name, code, address }: Listing) {
  const { bytes, lines } = code;
  return { name, address, bytes: Buffer.from(bytes).toString('hex'), lines };
}

function format(explanation: Explanation, listing: readonly Listing[] | null): string {
  const { file, argv, machine, executor, refusal, candidates, errorPipe } = explanation;
  const { plan, launch, filters, image } = explanation;
  const sections = [
    [
      `command: ${JSON.stringify(file)}, argv ${JSON.stringify(argv)}`,
      `machine: ${machine}, executor: ${executor}`,
      `candidates: ${candidates.map((path) => JSON.stringify(path)).join(', ')}`,
      ...(refusal === null ? [] : [`refused before anything is started: ${refusal}`]),
      '',
    ].join('\n'),
    `${title('Plan', plan)}, error pipe taken to be ${errorPipe}:\n${formatProgram(plan)}`,
    `${title('Launch program', launch)}:\n${formatProgram(launch)}`,
  ];
  for (const filter of filters) {
    sections.push(`Seccomp filter, ${filter.length} instructions:\n${formatFilter(filter)}`);
  }
  if (image !== null) sections.push(`Image, ${formatImage(image)}`);
  for (const { name, code, address } of listing ?? []) {
    sections.push(`Listing, ${name}, ${code.bytes.length} bytes:\n${formatListing(code, address)}`);
  }
  return sections.join('\n');
}

function title(name: string, { instructions, size }: Explanation['plan']): string {
  return `${name}, ${instructions.length} instructions, ${size} bytes`;
}
