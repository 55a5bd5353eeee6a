import { HEADER, HEADER_WORDS, INSTRUCTION_WORDS, OP, WORD } from '../program/instruction.js';
import {
  Assembler,
  type Code,
  type CodeLabel,
  EncodingError,
  signed,
  unsigned,
} from './assembler.js';
import type { BindingSites, Machine } from './machine.js';
import { layouts64 } from './structs.js';
import { syscallNumbers } from './syscalls.js';

const REGISTERS = [
  ...['x0', 'x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7', 'x8', 'x9', 'x10', 'x11', 'x12', 'x13'],
  ...['x14', 'x15', 'x16', 'x17', 'x18', 'x19', 'x20', 'x21', 'x22', 'x23', 'x24', 'x25', 'x26'],
  ...['x27', 'x28', 'x29', 'x30'],
] as const;
type Register = (typeof REGISTERS)[number];

const CONDITIONS = { eq: 0, ne: 1, hs: 2, lo: 3, hi: 8, ls: 9 } as const;
type Condition = keyof typeof CONDITIONS;

const WORD_SIZE = 8;

/** The instructions of A64 that this project needs, named by the shape of their operands. */
export class Arm64Assembler extends Assembler {
  /** ldr dst, [base, #disp] */
  load(dst: Register, base: Register | 'sp', disp: number): void {
    this.emit32(`ldr ${dst}, ${mem(base, disp)}`, 0xf9400000 | place(disp) | rn(base) | rd(dst));
  }

  /** str src, [base, #disp] */
  store(base: Register | 'sp', disp: number, src: Register | 'xzr'): void {
    this.emit32(`str ${src}, ${mem(base, disp)}`, 0xf9000000 | place(disp) | rn(base) | rd(src));
  }

  /** adr dst, . + distance: an address within a mebibyte of the instruction */
  address(dst: Register, distance: number): void {
    this.emit32(`adr ${dst}, ${here(distance)}`, 0x10000000 | rd(dst) | relative21(distance));
  }

  /** mov dst, src */
  move(dst: Register, src: Register): void {
    this.emit32(`mov ${dst}, ${src}`, 0xaa0003e0 | rm(src) | rd(dst));
  }

  /** mov dst, #value */
  moveImmediate(dst: Register, value: number): void {
    this.emit32(`mov ${dst}, #${value}`, 0xd2800000 | (unsigned(value, 16) << 5) | rd(dst));
  }

  /** add dst, src, #value */
  addImmediate(dst: Register | 'sp', src: Register | 'sp', value: number): void {
    this.emit32(`add ${dst}, ${src}, #${value}`, 0x91000000 | imm12(value) | rn(src) | rd(dst));
  }

  /** sub dst, src, #value */
  subtractImmediate(dst: Register | 'sp', src: Register | 'sp', value: number): void {
    this.emit32(`sub ${dst}, ${src}, #${value}`, 0xd1000000 | imm12(value) | rn(src) | rd(dst));
  }

  /** add dst, a, b */
  add(dst: Register, a: Register, b: Register): void {
    this.emit32(`add ${dst}, ${a}, ${b}`, 0x8b000000 | rm(b) | rn(a) | rd(dst));
  }

  /** cmp a, b */
  compare(a: Register, b: Register): void {
    this.emit32(`cmp ${a}, ${b}`, 0xeb00001f | rm(b) | rn(a));
  }

  /** cmp reg, #value */
  compareImmediate(reg: Register, value: number): void {
    this.emit32(`cmp ${reg}, #${value}`, 0xf100001f | imm12(value) | rn(reg));
  }

  /** cmn reg, #value: compares with -value */
  compareNegative(reg: Register, value: number): void {
    this.emit32(`cmn ${reg}, #${value}`, 0xb100001f | imm12(value) | rn(reg));
  }

  jump(label: CodeLabel): void {
    this.#toLabel(`b ${label.name}`, 0x14000000, label, relative26);
  }

  jumpIf(condition: Condition, label: CodeLabel): void {
    const word = 0x54000000 | CONDITIONS[condition];
    this.#toLabel(`b.${condition} ${label.name}`, word, label, relative19);
  }

  /** cbnz: a jump if the low 32 bits are not all zero */
  jumpIfLow(reg: Register, label: CodeLabel): void {
    const word = 0x35000000 | rd(reg);
    this.#toLabel(`cbnz w${reg.slice(1)}, ${label.name}`, word, label, relative19);
  }

  /** bl: the return address goes into x30 */
  call(label: CodeLabel): void {
    this.#toLabel(`bl ${label.name}`, 0x94000000, label, relative26);
  }

  /** blr: the return address goes into x30 */
  callRegister(reg: Register): void {
    this.emit32(`blr ${reg}`, 0xd63f0000 | rn(reg));
  }

  /** ret reg */
  ret(reg: Register): void {
    this.emit32(`ret ${reg}`, 0xd65f0000 | rn(reg));
  }

  syscall(): void {
    this.emit32('svc #0', 0xd4000001);
  }

  #toLabel(text: string, word: number, label: CodeLabel, field: (distance: number) => number) {
    this.fixup(this.offset, label, (distance, at) => this.patch32(at, word | field(distance)));
    this.emit32(text, word);
  }
}

/** sp and xzr are both number 31; which of them is meant depends on the instruction. */
function number(register: Register | 'sp' | 'xzr'): number {
  return register === 'sp' || register === 'xzr' ? 31 : REGISTERS.indexOf(register);
}

const rd = (register: Register | 'sp' | 'xzr'): number => number(register);
const rn = (register: Register | 'sp'): number => number(register) << 5;
const rm = (register: Register): number => number(register) << 16;

function imm12(value: number): number {
  return unsigned(value, 12) << 10;
}

/** The displacement of a load or store of eight bytes counts in these. */
function place(disp: number): number {
  return imm12(multiple(disp, 8));
}

const relative19 = (distance: number): number => (signed(multiple(distance, 4), 19) & 0x7ffff) << 5;
const relative26 = (distance: number): number => signed(multiple(distance, 4), 26) & 0x3ffffff;

function relative21(distance: number): number {
  signed(distance, 21);
  return ((distance & 3) << 29) | (((distance >> 2) & 0x7ffff) << 5);
}

function multiple(value: number, unit: number): number {
  if (value % unit !== 0) throw new EncodingError(`${value} is no multiple of ${unit}`);
  return value / unit;
}

function mem(base: string, disp: number): string {
  return disp === 0 ? `[${base}]` : `[${base}, #${disp}]`;
}

function here(distance: number): string {
  return `. ${distance < 0 ? '-' : '+'} ${Math.abs(distance)}`;
}

const at = (word: number): number => word * WORD_SIZE;

/**
 * The interpreter. x19 holds the address of the instruction; with calls it is itself called, and
 * x20 holds its return address, because a call takes x30 and the stack is not to be touched.
 */
function emitInterpreter(asm: Arm64Assembler, withCalls: boolean): CodeLabel {
  const branch = asm.label('branch');
  const next = asm.label('next');
  const add = asm.label('add_word');
  const call = asm.label('call_function');
  const fail = asm.label('fail');
  const advance = asm.label('advance');
  const store = asm.label('store');
  const start = asm.symbol('interpret');
  if (withCalls) asm.move('x20', 'x30');
  const loop = asm.label('loop');

  asm.place(loop);
  asm.load('x9', 'x19', at(WORD.op));
  asm.load('x8', 'x19', at(WORD.number));
  for (const [n, register] of (['x0', 'x1', 'x2', 'x3', 'x4', 'x5'] as const).entries()) {
    asm.load(register, 'x19', at(WORD.argument + n));
  }
  asm.compareImmediate('x9', OP.branch);
  asm.jumpIf('eq', branch);
  asm.jumpIf('hi', next);
  asm.syscall();
  asm.place(store);
  asm.load('x9', 'x19', at(WORD.result));
  asm.store('x9', 0, 'x0');
  asm.compareNegative('x0', 4095);
  asm.jumpIf('hs', fail);
  asm.place(advance);
  asm.addImmediate('x19', 'x19', at(INSTRUCTION_WORDS));
  asm.jump(loop);

  asm.place(fail);
  asm.load('x9', 'x19', at(WORD.target));
  asm.store('x9', at(WORD.failedAt), 'x19');
  asm.store('x9', at(WORD.failedWith), 'x0');
  asm.move('x19', 'x9');
  asm.jump(loop);

  asm.place(branch);
  asm.load('x9', 'x0', 0);
  asm.compare('x9', 'x1');
  asm.jumpIf('ne', advance);
  asm.load('x19', 'x19', at(WORD.target));
  asm.jump(loop);

  asm.place(next);
  asm.load('x10', 'x19', at(WORD.result));
  asm.compareImmediate('x9', OP.add);
  asm.jumpIf('eq', add);
  if (withCalls) asm.jumpIf('hi', call);
  asm.load('x9', 'x0', 0);
  asm.store('x10', 0, 'x9');
  asm.jump(advance);

  asm.place(add);
  asm.load('x9', 'x10', 0);
  asm.add('x9', 'x9', 'x0');
  asm.store('x10', 0, 'x9');
  asm.jump(advance);

  if (withCalls) {
    const notCall = asm.label('halt_or_clone');
    const clone = asm.label('clone_process');
    asm.place(call);
    asm.compareImmediate('x9', OP.call);
    asm.jumpIf('ne', notCall);
    asm.callRegister('x8');
    asm.load('x9', 'x19', at(WORD.result));
    asm.store('x9', 0, 'x0');
    asm.jump(advance);
    asm.place(notCall);
    asm.compareImmediate('x9', OP.clone);
    asm.jumpIf('eq', clone);
    asm.ret('x20');
    asm.place(clone);
    asm.syscall();
    asm.compareImmediate('x0', 0);
    asm.jumpIf('ne', store);
    asm.load('x19', 'x19', at(WORD.argument + 5));
    asm.jump(loop);
  }
  return start;
}

function emitHelper(codeAddress: number, dataAddress: number): Code {
  const asm = new Arm64Assembler();
  asm.symbol('_start');
  asm.address('x19', dataAddress - codeAddress);
  asm.addImmediate('x9', 'sp', 0);
  asm.store('x19', at(HEADER.stack), 'x9');
  asm.addImmediate('x19', 'x19', at(HEADER_WORDS));
  emitInterpreter(asm, false);
  return asm.finish();
}

function emitBinding(sites: BindingSites): Code {
  const asm = new Arm64Assembler();
  const interpret = emitInterpreter(asm, true);
  const addressOf = (dst: Register, address: number): void =>
    asm.address(dst, address - (sites.codeAddress + asm.offset));
  /** Calls a function of the table. */
  const callImport = (name: string): void => {
    addressOf('x9', sites.table(name));
    asm.load('x9', 'x9', 0);
    asm.callRegister('x9');
  };
  const enter = (frame: number): void => {
    asm.subtractImmediate('sp', 'sp', frame);
    asm.store('sp', 0, 'x30');
    asm.store('sp', 8, 'x19');
    asm.store('sp', 16, 'x20');
  };
  const leave = (frame: number): void => {
    asm.moveImmediate('x0', 0); // undefined
    asm.load('x20', 'sp', 16);
    asm.load('x19', 'sp', 8);
    asm.load('x30', 'sp', 0);
    asm.addImmediate('sp', 'sp', frame);
    asm.ret('x30');
  };

  // napi_value callback(napi_env env, napi_callback_info info): run(memory: ArrayBuffer)
  const out = asm.label('out');
  const callback = asm.symbol('callback');
  enter(48);
  asm.move('x19', 'x0');
  asm.moveImmediate('x9', 1);
  asm.store('sp', 24, 'x9');
  asm.addImmediate('x2', 'sp', 24);
  asm.addImmediate('x3', 'sp', 32);
  asm.moveImmediate('x4', 0);
  asm.moveImmediate('x5', 0);
  callImport('napi_get_cb_info');
  asm.move('x0', 'x19');
  asm.load('x1', 'sp', 32);
  asm.addImmediate('x2', 'sp', 40);
  asm.moveImmediate('x3', 0);
  callImport('napi_get_arraybuffer_info');
  asm.jumpIfLow('x0', out);
  asm.load('x9', 'sp', 40);
  asm.store('x9', at(HEADER.self), 'x9');
  asm.store('x9', at(HEADER.env), 'x19');
  addressOf('x10', sites.tableAddress);
  asm.store('x9', at(HEADER.table), 'x10');
  asm.load('x19', 'x9', at(HEADER.entry));
  asm.add('x19', 'x19', 'x9');
  asm.call(interpret);
  asm.place(out);
  leave(48);

  // napi_value napi_register_module_v1(napi_env env, napi_value exports)
  asm.symbol('napi_register_module_v1');
  asm.subtractImmediate('sp', 'sp', 16);
  asm.store('sp', 0, 'x30');
  asm.store('sp', 8, 'xzr');
  asm.moveImmediate('x1', 0); // no name
  asm.moveImmediate('x2', 0);
  asm.address('x3', callback.offset - asm.offset);
  asm.moveImmediate('x4', 0); // no data
  asm.addImmediate('x5', 'sp', 8);
  callImport('napi_create_function');
  asm.load('x0', 'sp', 8);
  asm.load('x30', 'sp', 0);
  asm.addImmediate('sp', 'sp', 16);
  asm.ret('x30');

  // void *run(void *instruction): for pthread_create
  asm.symbol('run');
  enter(32);
  asm.move('x19', 'x0');
  asm.call(interpret);
  leave(32);
  return asm.finish();
}

export const arm64: Machine = {
  name: 'arm64',
  wordSize: WORD_SIZE,
  elf: { machine: 183, flags: 0 },
  relocations: { address: 1025, relative: 1027, addends: true },
  structs: layouts64,
  syscallNumber: syscallNumbers('arm64'),
  emitHelper,
  emitBinding,
};
