import { machineFor } from '../../src/machine/index.js';
import type { Machine } from '../../src/machine/machine.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { HEADER, type Program } from '../../src/program/instruction.js';
import { writeImage } from '../machine/foreign.js';

const ROOM = 8192;

/**
 * The cheapest program that tells on which descriptors it was started: it writes what getdents64(2)
 * gives for /proc/self/fd to its output, and exits with the first byte of its argument.
 */
function reporter({ wordSize }: Machine): Program {
  const b = new ProgramBuilder(wordSize);
  const [folder, size] = [b.words(-1), b.words(0)];
  const entries = b.reserve(ROOM, 8);
  b.syscall('openat', [-100, b.string('/proc/self/fd'), 0, 0], { result: folder });
  b.copy(folder, b.argumentOf(b.position + 1, 0));
  b.syscall('getdents64', [0, entries, ROOM], { result: size });
  b.copy(size, b.argumentOf(b.position + 1, 2));
  b.syscall('write', [1, entries, 0]);
  // argv[1] stands two words above the initial stack pointer.
  b.copy(b.header(HEADER.stack), b.argumentOf(b.position + 2, 0));
  b.add(2 * wordSize, b.argumentOf(b.position + 1, 0));
  b.copy(0, b.argumentOf(b.position + 1, 0));
  b.copy(0, b.argumentOf(b.position + 1, 0));
  const exit = b.here();
  b.syscall('exit_group', [0]);
  b.jump(exit);
  return b.build();
}

export function writeReporter(path: string): void {
  const machine = machineFor(process.arch);
  writeImage(path, machine, reporter(machine));
}

/** The descriptors in a report, besides that of the folder itself, which comes last of all. */
export function descriptorsIn(report: Buffer): number[] {
  const numbers: number[] = [];
  for (let at = 0; at < report.length; at += report.readUInt16LE(at + 16)) {
    const name = report.toString('latin1', at + 19, report.indexOf(0, at + 19));
    if (name !== '.' && name !== '..') numbers.push(Number(name));
  }
  return numbers.sort((a, b) => a - b);
}
