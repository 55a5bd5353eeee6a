import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Architecture } from '../src/machine/syscalls.js';

/** Where the check scripts find what they compare with: tools and headers as Debian packages them. */
export interface Toolchain {
  /** Debian package of the assembler and its companions, and what their names begin with. */
  readonly binutils: string;
  readonly prefix: string;
  /** Options of `as`, and what has to stand before any text. */
  readonly assemble: readonly string[];
  readonly prologue: readonly string[];
  /** Options of `objdump` for code without a file format around it. */
  readonly disassemble: readonly string[];
  /** Debian package of the kernel's headers, and the folders that they are in. */
  readonly headers: string;
  readonly include: readonly string[];
  /**
   * Options that give the host's compiler the data model and the predefined macros of the
   * architecture. Sizes and alignments follow from the data model alone: 32-bit ARM has that of
   * i386, but for the alignment of 64-bit numbers.
   */
  readonly compile: readonly string[];
}

const INTEL = ['-msyntax=intel', '-mnaked-reg'];
const NOT_X86 = ['-U__x86_64__', '-U__i386__', '-U__x86_64', '-U__i386', '-Ui386'];

export const TOOLCHAINS: Readonly<Record<Architecture, Toolchain>> = {
  x64: {
    binutils: 'binutils',
    prefix: '',
    assemble: ['--64', ...INTEL],
    prologue: [],
    disassemble: ['-m', 'i386:x86-64', '-M', 'intel'],
    headers: 'linux-libc-dev',
    include: ['/usr/include/x86_64-linux-gnu', '/usr/include'],
    compile: [],
  },
  ia32: {
    binutils: 'binutils',
    prefix: '',
    assemble: ['--32', ...INTEL],
    prologue: [],
    disassemble: ['-m', 'i386', '-M', 'intel'],
    headers: 'linux-libc-dev-i386-cross',
    include: ['/usr/i686-linux-gnu/include'],
    compile: ['-m32'],
  },
  arm: {
    binutils: 'binutils-arm-linux-gnueabihf',
    prefix: 'arm-linux-gnueabihf-',
    assemble: ['-march=armv7-a'],
    prologue: ['.syntax unified', '.arm'],
    disassemble: ['-m', 'arm'],
    headers: 'linux-libc-dev-armhf-cross',
    include: ['/usr/arm-linux-gnueabihf/include'],
    compile: ['-m32', '-malign-double', ...NOT_X86, '-D__arm__', '-D__ARM_EABI__'],
  },
  arm64: {
    binutils: 'binutils-aarch64-linux-gnu',
    prefix: 'aarch64-linux-gnu-',
    assemble: [],
    prologue: [],
    disassemble: ['-m', 'aarch64'],
    headers: 'linux-libc-dev-arm64-cross',
    include: ['/usr/aarch64-linux-gnu/include'],
    compile: [...NOT_X86, '-D__aarch64__'],
  },
  riscv64: {
    binutils: 'binutils-riscv64-linux-gnu',
    prefix: 'riscv64-linux-gnu-',
    // Compressed instructions and relaxation would be other encodings than the ones asked for.
    assemble: ['-march=rv64g', '-mno-relax'],
    prologue: ['.option norelax'],
    disassemble: ['-m', 'riscv:rv64'],
    headers: 'linux-libc-dev-riscv64-cross',
    include: ['/usr/riscv64-linux-gnu/include'],
    compile: [...NOT_X86, '-D__riscv', '-D__riscv_xlen=64', '-D__LP64__'],
  },
};

/** A tool or a header that is not on this machine. */
export class MissingPackage extends Error {
  constructor(what: string, name: string) {
    super(`${what} is missing: install the Debian package ${name}`);
  }
}

export interface ToolResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a tool to its end; which package it is from is told if it is missing. */
export function tool(name: string, args: readonly string[], from: string, input = ''): ToolResult {
  const { error, status, stdout, stderr } = spawnSync(name, args, {
    encoding: 'utf8',
    input,
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 1 << 28,
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    throw new MissingPackage(name, from);
  }
  if (error !== undefined) throw error;
  return { status: status ?? 1, stdout, stderr };
}

/** As `tool`, and throws unless it succeeded. */
export function mustTool(name: string, args: readonly string[], from: string, input = ''): string {
  const { status, stdout, stderr } = tool(name, args, from, input);
  if (status !== 0) throw new Error(`${name} failed:\n${stderr}`);
  return stdout;
}

/**
 * Runs a check with a temporary folder. It gives back the lines of its summary, and calls
 * `complain` for each difference; with any, the exit status is 1.
 */
export function runCheck(
  check: (folder: string, complain: (difference: string) => void) => readonly string[],
): void {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-check-'));
  const differences: string[] = [];
  try {
    for (const line of check(folder, (difference) => differences.push(difference))) {
      console.log(line);
    }
  } catch (error) {
    if (!(error instanceof MissingPackage)) throw error;
    differences.push(error.message);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const difference of differences) console.error(difference);
  if (differences.length > 0) console.error(`${differences.length} problems`);
  else console.log('no differences');
  process.exitCode = differences.length > 0 ? 1 : 0;
}
