import { invalidArgType, invalidArgValue } from '../errors.js';
import {
  AT_EMPTY_PATH,
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_LOG,
} from '../plan/constants.js';
import { validateArray, validateInteger } from '../validate.js';
import { auditArchitecture, type FilterMachine } from './compile.js';
import { actionText } from './disassemble.js';
import { evaluate } from './evaluate.js';
import {
  decodeFilter,
  encodeFilter,
  type Filter,
  filterFault,
  SOCK_FILTER_SIZE,
} from './filter.js';

/** The bytes of a program in any of its forms. Throws for one that the kernel would refuse. */
export function programBytes(program: unknown, name: string): Uint8Array {
  const bytes = formOf(program, name);
  if (bytes.length % SOCK_FILTER_SIZE !== 0) {
    throw invalidArgValue(
      name,
      program,
      `has no whole number of ${SOCK_FILTER_SIZE}-byte instructions`,
    );
  }
  const fault = filterFault(decodeFilter(bytes));
  if (fault !== null) throw invalidArgValue(name, program, fault);
  return bytes;
}

function formOf(program: unknown, name: string): Uint8Array {
  if (program instanceof Uint8Array) return program;
  if (program instanceof Uint32Array) {
    return new Uint8Array(program.buffer, program.byteOffset, program.byteLength);
  }
  if (!Array.isArray(program)) {
    throw invalidArgType(name, 'an instance of Array, Uint32Array or Uint8Array', program);
  }
  return encodeFilter(
    program.map((instruction: unknown, i) => {
      const at = `${name}[${i}]`;
      validateArray(instruction, at);
      if (instruction.length !== 4)
        throw invalidArgValue(at, instruction, 'must be [code, jt, jf, k]');
      const [code, jt, jf, k] = instruction;
      validateInteger(code, `${at}[0]`, 0, 0xffff);
      validateInteger(jt, `${at}[1]`, 0, 0xff);
      validateInteger(jf, `${at}[2]`, 0, 0xff);
      validateInteger(k, `${at}[3]`, 0, 0xffffffff);
      return { code, jt, jf, k };
    }),
  );
}

/**
 * Lets a program judge the calls that the helper makes behind it. What it says of other arguments
 * than these cannot be found out.
 */
export function checkProgram(
  filter: Filter,
  machine: FilterMachine,
  name: string,
  byDescriptor: boolean,
): void {
  for (const [syscall, args] of [byDescriptor ? EXECVEAT : EXECVE, ...HELPER_CALLS]) {
    const nr = machine.syscallNumber(syscall);
    const arch = auditArchitecture(machine);
    const value = evaluate(filter, { nr, arch, args: args(machine.wordSize) });
    const action = (value & SECCOMP_RET_ACTION_FULL) >>> 0;
    if (action === SECCOMP_RET_ALLOW || action === SECCOMP_RET_LOG) continue;
    const reason = `must allow ${syscall}, by which the program is started or its failure reported`;
    throw invalidArgValue(name, actionText(value), reason);
  }
}

/** The vectors are at some address, the error pipe at some number above those that are in use. */
type HelperCall = readonly [string, (wordSize: number) => readonly bigint[]];

const EXECVE: HelperCall = ['execve', () => [0x420000n, 0x7fff0000n, 0x7fff1000n]];
const EXECVEAT: HelperCall = [
  'execveat',
  () => [3n, 0x420000n, 0x7fff0000n, 0x7fff1000n, BigInt(AT_EMPTY_PATH)],
];
const HELPER_CALLS: readonly HelperCall[] = [
  ['write', (wordSize) => [1000n, 0x420000n, BigInt(2 * wordSize)]],
  ['exit_group', () => [127n]],
];
