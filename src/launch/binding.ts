import {
  closeSync,
  existsSync,
  constants as fsConstants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { UnsupportedError } from '../errors.js';
import { ownMachine } from '../machine/index.js';
import type { Machine } from '../machine/machine.js';
import { __O_TMPFILE } from '../plan/constants.js';
import { HEADER, HEADER_WORDS, OP, WORD } from '../program/instruction.js';
import { bindingFileName, bindingImage, TABLE_NAMES } from './binding-image.js';
import { executableFolders, packageFolder } from './folders.js';
import { Memory, type Run } from './memory.js';

/** The native binding, loaded, and what its table says of this process. */
export interface Binding {
  readonly machine: Machine;
  readonly run: Run;
  /** Address of the binding's table of words. */
  readonly tableAddress: number;
  /** Addresses of the functions and variables of the host, by name; 0 if it has none of it. */
  readonly functions: ReadonlyMap<string, number>;
  /** Where the binding came from. */
  readonly source: string;
}

let loaded: Binding | undefined;
let failure: UnsupportedError | undefined;

/**
 * Loads the binding, once in each thread. Throws UnsupportedError where that cannot be done, and
 * says why.
 */
export function binding(): Binding {
  if (loaded !== undefined) return loaded;
  if (failure !== undefined) throw failure;
  try {
    loaded = load();
    return loaded;
  } catch (error) {
    failure =
      error instanceof UnsupportedError
        ? error
        : new UnsupportedError(
            `the native binding could not be loaded: ${error instanceof Error ? error.message : error}`,
            'binding',
            error,
          );
    throw failure;
  }
}

function load(): Binding {
  if (process.platform !== 'linux') {
    throw new UnsupportedError(
      `the operating system ${process.platform} is not supported: the engine needs Linux`,
      'linux',
    );
  }
  const machine = ownMachine();
  // Beside the bundled modules of the package, or a folder above the compiled sources.
  const own = packageFolder();
  const file = ['binding', '../binding']
    .map((folder) => (own === null ? '' : join(own, folder, bindingFileName(machine))))
    .find(existsSync);
  // Without it, in a bundle or a single-file build, emit what it would hold.
  if (file === undefined) return emitted(machine, 'its file is missing');
  try {
    const run = dlopen(file);
    return { machine, run, source: file, ...readTable(machine, run) };
  } catch (error) {
    if (error instanceof UnsupportedError) throw error;
    const { message } = error as Error;
    if (!isIntact(file, machine)) throw new Error(`${message}; it is damaged: install it again`);
    // Then it is the place: mounted noexec, as a rule.
    return emitted(machine, `${message} (is it mounted noexec?)`);
  }
}

function isIntact(file: string, machine: Machine): boolean {
  try {
    return readFileSync(file).equals(bindingImage(machine).bytes);
  } catch {
    return false;
  }
}

function dlopen(path: string): Run {
  const module = { exports: {} };
  try {
    process.dlopen(module, path, constants.dlopen.RTLD_NOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_DLOPEN_DISABLED') throw error;
    throw new UnsupportedError(
      'native add-ons are disabled here: start node without --no-addons, and under --permission ' +
        'with --allow-addons',
      'binding',
      error,
    );
  }
  return module.exports as Run;
}

/** Loads what is emitted, from a file that has no name, or a name only for that moment. */
function emitted(machine: Machine, why: string): Binding {
  const { bytes, build } = bindingImage(machine);
  const reasons: string[] = [];
  for (const folder of executableFolders()) {
    for (const open of [openUnnamed, openNamed]) {
      try {
        const run = open(machine, folder, bytes, build);
        return { machine, run, source: 'emitted', ...readTable(machine, run) };
      } catch (error) {
        if (error instanceof UnsupportedError) throw error;
        if (open === openNamed) reasons.push(`${folder}: ${(error as Error).message}`);
      }
    }
  }
  const allow = process.permission === undefined ? '' : ' (and allow it with --allow-fs-write)';
  throw new UnsupportedError(
    `the native binding could not be loaded: ${why}; and it could not be emitted: set TMPDIR to a ` +
      `folder that is writable${allow} and not mounted noexec; tried ${reasons.join(', ')}`,
    'binding',
  );
}

/** Needs O_TMPFILE, and /proc. */
function openUnnamed(machine: Machine, folder: string, bytes: Uint8Array, build: number): Run {
  const { O_RDWR, O_DIRECTORY } = fsConstants;
  const fd = openSync(folder, O_RDWR | O_DIRECTORY | __O_TMPFILE, 0o700);
  try {
    writeSync(fd, bytes);
    return openDescriptor(machine, fd, build);
  } finally {
    closeSync(fd);
  }
}

function openNamed(_: Machine, folder: string, bytes: Uint8Array): Run {
  const directory = mkdtempSync(join(folder, 'safeexec-'));
  const path = join(directory, 'binding.node');
  try {
    writeFileSync(path, bytes, { mode: 0o700, flag: 'wx' });
    return dlopen(path);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * The dynamic linker knows loaded objects by the spelling of their path, and would give back an
 * older one whose descriptor had the same number: so try spellings until the build id is right.
 */
function openDescriptor(machine: Machine, fd: number, build: number): Run {
  for (let attempt = 0; attempt < 64; attempt++) {
    const run = dlopen(`/proc/${process.pid}/${'./'.repeat(attempt)}fd/${fd}`);
    if (readTable(machine, run).build === build) return run;
  }
  throw new Error('the dynamic linker keeps giving back another binding');
}

/** Reads the binding's table with a program of copies. */
function readTable(machine: Machine, run: Run) {
  const { wordSize } = machine;
  const memory = new Memory(run, wordSize, 4096);
  const tableAddress = memory.word(HEADER.table * wordSize);
  const entry = HEADER_WORDS * wordSize;
  const result = entry + 12 * wordSize * 2;
  const word = (at: number): number => {
    memory.setWord(entry + WORD.op * wordSize, OP.copy);
    memory.setWord(entry + WORD.argument * wordSize, at);
    memory.setWord(entry + WORD.result * wordSize, memory.address + result);
    memory.setWord(entry + 12 * wordSize, OP.halt);
    memory.run(entry);
    return memory.word(result);
  };
  const functions = new Map<string, number>();
  TABLE_NAMES.forEach((name, i) => {
    const at = tableAddress + i * wordSize;
    functions.set(name, word(at));
  });
  return { tableAddress, functions, build: functions.get('build') as number };
}

/** Address of a word of the binding's table. */
export function tableWord({ tableAddress, machine }: Binding, name: string): number {
  return tableAddress + TABLE_NAMES.indexOf(name) * machine.wordSize;
}
