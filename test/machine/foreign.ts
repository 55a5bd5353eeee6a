import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import type { Readable } from 'node:stream';
import { imageTemplate, writeImageHead } from '../../src/elf/image.js';
import type { LaunchFailure } from '../../src/errors.js';
import { failureOf } from '../../src/launch/start.js';
import type { Machine } from '../../src/machine/machine.js';
import { SIGSET_SIZE } from '../../src/machine/structs.js';
import type { Architecture } from '../../src/machine/syscalls.js';
import { compile } from '../../src/plan/compile.js';
import type { Plan } from '../../src/plan/plan.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import type { Program } from '../../src/program/instruction.js';
import { instructionAt, layoutOf, link } from '../../src/program/link.js';

const QEMU: Readonly<Record<Architecture, string>> = {
  x64: 'qemu-x86_64-static',
  ia32: 'qemu-i386-static',
  arm: 'qemu-arm-static',
  arm64: 'qemu-aarch64-static',
  riscv64: 'qemu-riscv64-static',
};

/** Where scripts/install-foreign-nodes.sh puts what it fetches. */
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
export const foreign = process.env.SAFEEXEC_FOREIGN || join(cache, 'safeexec/foreign');

/** What runs an image of a machine here: nothing if this kernel does, or qemu; null without it. */
export function emulatorFor(name: Architecture): string | '' | null {
  if (name === process.arch || (name === 'ia32' && process.arch === 'x64')) return '';
  return spawnSync(QEMU[name], ['--version']).error === undefined ? QEMU[name] : null;
}

export const missingEmulator = (name: Architecture): string =>
  `${QEMU[name]} is missing: install qemu-user-static`;

/** Writes a program as an executable image file. */
export function writeImage(path: string, machine: Machine, program: Program): void {
  const template = imageTemplate(machine);
  const { size } = layoutOf(program, machine.wordSize);
  const bytes = new Uint8Array(template.head.length + size);
  writeImageHead(template, machine.wordSize, size, bytes);
  link(program, machine, template.programAddress, bytes.subarray(template.head.length));
  writeFileSync(path, bytes);
  chmodSync(path, 0o755);
}

/** A program that only waits: what it has in /proc is what its plan made. */
export function idleProgram({ wordSize }: Machine): Program {
  const b = new ProgramBuilder(wordSize);
  const again = b.here();
  b.syscall('ppoll', [0, 0, 0, 0, SIGSET_SIZE]);
  b.jump(again);
  return b.build();
}

/** What is known of a process from outside. */
export interface Report {
  /** For each descriptor its file in the folder, and its flags, of which one is close-on-exec. */
  readonly descriptors: Readonly<Record<number, string>>;
  readonly status: Readonly<Record<string, string>>;
  readonly groupLeader: boolean;
  readonly sessionLeader: boolean;
  readonly cwd: string;
  readonly exe: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
}

/** What became of a plan: the process that it made, or the failure that it reported. */
export type Outcome =
  | { readonly report: Report }
  | { readonly failure: LaunchFailure; readonly exitCode: number | null }
  | { readonly exitCode: number | null };

export interface Surroundings {
  /** The process's descriptors; undefined for those that are not open. */
  readonly stdio: readonly (number | undefined)[];
  readonly errorPipe: number;
  /** Arguments behind argv[0], which is the path of the image. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Shell commands that come before, such as `trap` and `umask`. */
  readonly before: string;
  readonly folder: string;
  /** Whether the target ends by itself. If not, it is looked at and then ended. */
  readonly endsByItself: boolean;
  /** As of the plan's site. */
  readonly closeRange?: boolean | undefined;
}

/**
 * Runs a plan as an image of `machine`, with the given descriptors, and tells what came of it.
 */
export async function runPlan(
  machine: Machine,
  emulator: string,
  plan: Plan,
  { stdio, errorPipe, args, env, before, folder, endsByItself, closeRange }: Surroundings,
): Promise<Outcome> {
  const argumentCount = 1 + args.length;
  const site = { machine, errorPipe, executor: 'image', argumentCount, closeRange } as const;
  const program = compile(plan, site);
  const image = join(folder, 'image');
  writeImage(image, machine, program);

  const all: ('ignore' | 'pipe' | number)[] = Array.from(
    { length: errorPipe + 1 },
    (_, fd) => stdio[fd] ?? 'ignore',
  );
  all[errorPipe] = 'pipe';
  const command = [...(emulator === '' ? [] : [emulator]), image, ...args];
  const child = spawn('/bin/sh', ['-c', `${before}\nexec "$@"`, 'sh', ...command], {
    stdio: all,
    env,
    cwd: folder,
  });
  const exit = once(child, 'exit');
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdio[errorPipe] as Readable) chunks.push(chunk);
  const record = Buffer.concat(chunks);
  if (record.length > 0) {
    const [exitCode] = await exit;
    return { failure: readRecord(machine, program, record), exitCode };
  }
  if (endsByItself) return { exitCode: (await exit)[0] };
  try {
    return { report: look(child.pid as number, folder) };
  } finally {
    child.kill('SIGKILL');
    await exit;
  }
}

function readRecord(machine: Machine, program: Program, record: Buffer): LaunchFailure {
  const { wordSize } = machine;
  const wide = wordSize === 8;
  if (record.length !== 2 * wordSize) throw new Error(`a record of ${record.length} bytes`);
  const address = wide ? Number(record.readBigUInt64LE(0)) : record.readUInt32LE(0);
  const result = wide ? Number(record.readBigInt64LE(8)) : record.readInt32LE(4);
  const base = imageTemplate(machine).programAddress;
  const instruction = instructionAt(program, wordSize, base, address);
  if (instruction === undefined) throw new Error(`no instruction at ${address}`);
  return failureOf(instruction.name, instruction.step, result);
}

const STATUS = [
  ...[
    'Umask',
    'Uid',
    'Gid',
    'Groups',
    'SigBlk',
    'SigIgn',
    'SigCgt',
    'NoNewPrivs',
    'Cpus_allowed_list',
  ],
  ...['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'],
];

/** Reads /proc. The exec is under way: it is over when the arguments are there. */
function look(pid: number, folder: string): Report {
  const proc = `/proc/${pid}`;
  const strings = (file: string): string[] =>
    readFileSync(`${proc}/${file}`, 'utf8').split('\0').slice(0, -1);
  let argv: string[] = [];
  while (argv.length === 0) {
    argv = strings('cmdline');
    const state = /\) (\S)/.exec(readFileSync(`${proc}/stat`, 'utf8'))?.[1];
    if (state === 'Z') throw new Error('the target ended at once');
  }
  const descriptors: Record<number, string> = {};
  for (const fd of readdirSync(`${proc}/fd`)) {
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`${proc}/fdinfo/${fd}`, 'utf8'))?.[1];
    // O_LARGEFILE is an affair of 32-bit programs.
    const shown = (Number.parseInt(flags ?? '', 8) & ~0o100000).toString(8);
    const file = relative(folder, readlinkSync(`${proc}/fd/${fd}`));
    descriptors[Number(fd)] = `${file} ${shown}`;
  }
  const lines = readFileSync(`${proc}/status`, 'utf8').split('\n');
  const status = Object.fromEntries(
    lines
      .map((line) => line.split(/:\s*/, 2) as [string, string])
      .filter(([k]) => STATUS.includes(k)),
  );
  const stat = readFileSync(`${proc}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return {
    descriptors,
    status,
    groupLeader: Number(stat[2]) === pid,
    sessionLeader: Number(stat[3]) === pid,
    cwd: readlinkSync(`${proc}/cwd`),
    exe: readlinkSync(`${proc}/exe`),
    argv,
    env: strings('environ').sort(),
  };
}
