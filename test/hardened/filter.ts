/*
 * Preloaded: a system call filter for this process and all that it starts, as the variable FILTER
 * says. What a kernel lacks, or a container forbids, is made to fail in this way.
 */
import { binding } from '../../src/launch/binding.js';
import { Kernel } from '../../src/launch/kernel.js';

export interface Rule {
  readonly call: string;
  readonly errno: number;
  /** Only where this argument has one of these bits; `value`: where it equals this. */
  readonly argument?: { readonly index: number; readonly bits?: number; readonly value?: number };
}

const [LOAD, JUMP_IF_EQUAL, JUMP_IF_SET, RETURN] = [0x20, 0x15, 0x45, 0x06];
const [ALLOW, ERRNO] = [0x7fff0000, 0x00050000];
/** Offsets in struct seccomp_data. */
const [NUMBER, ARGUMENTS] = [0, 16];
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;

function install(rules: readonly Rule[]): void {
  const kernel = new Kernel(binding());
  const { machine } = kernel.binding;
  const program: [code: number, yes: number, no: number, value: number][] = [];
  for (const { call, errno, argument } of rules) {
    program.push([LOAD, 0, 0, NUMBER]);
    program.push([JUMP_IF_EQUAL, 0, argument ? 3 : 1, machine.syscallNumber(call)]);
    if (argument) {
      program.push([LOAD, 0, 0, ARGUMENTS + 8 * argument.index]);
      const { bits, value = 0 } = argument;
      program.push([bits ? JUMP_IF_SET : JUMP_IF_EQUAL, 0, 1, bits ?? value]);
    }
    program.push([RETURN, 0, 0, ERRNO | errno]);
  }
  program.push([RETURN, 0, 0, ALLOW]);

  const { scratch, scratchAddress, scratchAt, memory } = kernel;
  const view = new DataView(scratch.buffer, scratch.byteOffset);
  // A struct sock_fprog, and the filter behind it.
  const filterAt = 16;
  view.setUint16(0, program.length, true);
  memory.setWord(scratchAt + machine.wordSize, scratchAddress + filterAt);
  program.forEach(([code, yes, no, value], i) => {
    const at = filterAt + 8 * i;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, yes);
    view.setUint8(at + 3, no);
    view.setUint32(at + 4, value, true);
  });
  kernel.call('prctl', PR_SET_NO_NEW_PRIVS, 1);
  const flags = SECCOMP_FILTER_FLAG_TSYNC;
  const result = kernel.call('seccomp', SECCOMP_SET_MODE_FILTER, flags, scratchAddress);
  if (result !== 0) throw new Error(`seccomp gives ${result}`);
}

install(JSON.parse(process.env.FILTER ?? '[]'));
