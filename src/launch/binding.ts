import {
  closeSync,
  existsSync,
  constants as fsConstants,
  mkdtempSync,
  openSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UnsupportedError } from '../errors.js';
import { machineFor } from '../machine/index.js';
import type { Machine } from '../machine/machine.js';
import { __O_TMPFILE } from '../plan/constants.js';
import { HEADER, HEADER_WORDS, OP, WORD } from '../program/instruction.js';
import { bindingFileName, bindingImage, TABLE_NAMES } from './binding-image.js';
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
  const machine = machineFor(process.arch);
  // Beside the bundled modules of the package, or a folder above the compiled sources.
  const [file, other] = ['./binding/', '../binding/'].map((folder) =>
    fileURLToPath(new URL(folder + bindingFileName(machine), import.meta.url)),
  ) as [string, string];
  return loadFrom(existsSync(file) ? file : other, machine);
}

function loadFrom(file: string, machine: Machine): Binding {
  let run: Run;
  let source = file;
  try {
    run = dlopen(file);
  } catch (error) {
    if (!isMissing(error, file)) throw error;
    // A bundle, or a single-file build: emit what the file would hold.
    source = 'emitted';
    run = openEmitted(machine);
  }
  return { machine, run, source, ...readTable(machine, run) };
}

function isMissing(error: unknown, file: string): boolean {
  try {
    closeSync(openSync(file, 'r'));
    return false;
  } catch (reason) {
    const { code } = reason as NodeJS.ErrnoException;
    return (
      code === 'ENOENT' ||
      code === 'ENOTDIR' ||
      (error as NodeJS.ErrnoException).code === 'ERR_DLOPEN_FAILED'
    );
  }
}

function dlopen(path: string): Run {
  const module = { exports: {} };
  process.dlopen(module, path, constants.dlopen.RTLD_NOW);
  return module.exports as Run;
}

/** Loads an emitted binding from a file without a name, or from one that loses its at once. */
function openEmitted(machine: Machine): Run {
  const { bytes, build } = bindingImage(machine);
  let error: unknown;
  for (const folder of [tmpdir(), '/dev/shm', '/var/tmp', process.cwd()]) {
    try {
      const { fd, remove } = temporaryFile(folder);
      try {
        writeSync(fd, bytes);
        return openDescriptor(machine, fd, build);
      } finally {
        closeSync(fd);
        remove();
      }
    } catch (reason) {
      error = reason;
    }
  }
  throw error;
}

function temporaryFile(folder: string): { fd: number; remove: () => void } {
  const { O_RDWR, O_CREAT, O_EXCL } = fsConstants;
  const unnamed = __O_TMPFILE | fsConstants.O_DIRECTORY;
  try {
    return { fd: openSync(folder, O_RDWR | unnamed, 0o700), remove: () => {} };
  } catch {
    const directory = mkdtempSync(join(folder, 'safeexec-'));
    const path = join(directory, 'binding.node');
    const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o700);
    return {
      fd,
      remove: () => {
        unlinkSync(path);
        rmdirSync(directory);
      },
    };
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
  throw new UnsupportedError('the dynamic linker keeps giving back another binding', 'binding');
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
