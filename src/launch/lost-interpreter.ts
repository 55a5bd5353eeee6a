import { closeSync, constants, existsSync, openSync, readSync } from 'node:fs';
import { ELFCLASS64, PT_INTERP } from '../elf/constants.js';
import { segmentSize } from '../elf/encode.js';
import { ENOENT, PATH_MAX } from '../plan/constants.js';
import type { Plan } from '../plan/plan.js';
import type { Step } from '../plan/steps/index.js';

/** Steps after which a path may be another file in the child than here; and a relative one. */
const HIDES: ReadonlySet<string> = new Set<Step['type']>(['mounts', 'joinNamespaces']);
const MOVES: ReadonlySet<string> = new Set<Step['type']>(['chdir', 'fchdir']);

/** Bytes of a file that execve(2) looks at for a line: BINPRM_BUF_SIZE of Linux 5.1 and newer. */
const LINE = 256;

/**
 * The interpreter that a program names and that is not there, a script's or a dynamic linker: the
 * kernel says the same ENOENT as if the program itself were missing. undefined if that is not the
 * reason, or cannot be seen from here.
 */
export function lostInterpreter({ steps, exec }: Plan, errno: number): string | undefined {
  if (errno !== ENOENT || steps.some(({ type }) => HIDES.has(type))) return undefined;
  const moves = steps.some(({ type }) => MOVES.has(type));
  const known = (file: string): boolean => !moves || file.startsWith('/');
  for (const path of exec.candidates) {
    const interpreter = known(path) ? interpreterOf(path) : undefined;
    if (interpreter !== undefined && known(interpreter) && !existsSync(interpreter)) {
      return interpreter;
    }
  }
  return undefined;
}

/** "\x7fELF" */
const ELF_MAGIC = 0x7f454c46;

function interpreterOf(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const head = read(fd, 0, PATH_MAX);
    const line = /^#![ \t]*([^ \t\n\0]+)/.exec(head.toString('latin1', 0, LINE));
    if (line !== null) return Buffer.from(line[1] as string, 'latin1').toString();
    return head.readUInt32BE(0) === ELF_MAGIC ? dynamicLinkerOf(fd, head) : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** The path in PT_INTERP of an executable of a little-endian machine: elf(5). */
function dynamicLinkerOf(fd: number, head: Buffer): string | undefined {
  const wide = head[4] === ELFCLASS64;
  const word = (at: number): number =>
    wide ? Number(head.readBigUInt64LE(at)) : head.readUInt32LE(at);
  const count = head.readUInt16LE(wide ? 56 : 44);
  let at = word(wide ? 32 : 28);
  for (let i = 0; i < count; i++, at += segmentSize(wide ? 8 : 4)) {
    if (head.readUInt32LE(at) !== PT_INTERP) continue;
    const size = Math.min(word(at + (wide ? 32 : 16)), PATH_MAX);
    return read(fd, word(at + (wide ? 8 : 4)), size)
      .toString()
      .split('\0')[0];
  }
  return undefined;
}

function read(fd: number, position: number, size: number): Buffer {
  const buffer = Buffer.alloc(size);
  return buffer.subarray(0, readSync(fd, buffer, 0, size, position));
}
