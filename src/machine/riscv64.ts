import { HEADER, HEADER_WORDS, INSTRUCTION_WORDS, OP, WORD } from '../program/instruction.js';
import { Assembler, type Code, type CodeLabel, EncodingError, signed } from './assembler.js';
import type { BindingSites, Machine } from './machine.js';
import { layouts64 } from './structs.js';
import { syscallNumbers } from './syscalls.js';

const REGISTERS = [
  ...['zero', 'ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 's0', 's1'],
  ...['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'],
  ...['s2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10', 's11', 't3', 't4', 't5', 't6'],
] as const;
type Register = (typeof REGISTERS)[number];

const CONDITIONS = { eq: 0, ne: 1, lt: 4, ge: 5, ltu: 6, geu: 7 } as const;
type Condition = keyof typeof CONDITIONS;

const WORD_SIZE = 8;

/** The instructions of RV64I that this project needs, named by the shape of their operands. */
export class Riscv64Assembler extends Assembler {
  /** ld dst, disp(base) */
  load(dst: Register, base: Register, disp: number): void {
    this.emit32(`ld ${dst}, ${disp}(${base})`, 0x3003 | upper12(disp) | rs1(base) | rd(dst));
  }

  /** sd src, disp(base) */
  store(base: Register, disp: number, src: Register): void {
    this.emit32(`sd ${src}, ${disp}(${base})`, 0x3023 | split12(disp) | rs2(src) | rs1(base));
  }

  /** auipc dst, pages: the address of this instruction plus 4096 times a number */
  addPagesToHere(dst: Register, pages: number): void {
    const imm = signed(pages, 20) & 0xfffff;
    this.emit32(`auipc ${dst}, ${imm}`, 0x17 | (imm << 12) | rd(dst));
  }

  /** Two instructions: the address that is `distance` from the first of them. */
  address(dst: Register, distance: number): void {
    // The low part is signed, so the high part is rounded to the nearest.
    const pages = Math.floor((distance + 2048) / 4096);
    this.addPagesToHere(dst, pages);
    this.addImmediate(dst, dst, distance - pages * 4096);
  }

  /** lui dst, pages: 4096 times a number */
  loadPages(dst: Register, pages: number): void {
    const imm = signed(pages, 20) & 0xfffff;
    this.emit32(`lui ${dst}, ${imm}`, 0x37 | (imm << 12) | rd(dst));
  }

  /** mv dst, src */
  move(dst: Register, src: Register): void {
    this.emit32(`mv ${dst}, ${src}`, 0x13 | rs1(src) | rd(dst));
  }

  /** li dst, value */
  loadImmediate(dst: Register, value: number): void {
    this.emit32(`li ${dst}, ${value}`, 0x13 | upper12(value) | rd(dst));
  }

  /** addi dst, src, value */
  addImmediate(dst: Register, src: Register, value: number): void {
    this.emit32(`addi ${dst}, ${src}, ${value}`, 0x13 | upper12(value) | rs1(src) | rd(dst));
  }

  /** add dst, a, b */
  add(dst: Register, a: Register, b: Register): void {
    this.emit32(`add ${dst}, ${a}, ${b}`, 0x33 | rs2(b) | rs1(a) | rd(dst));
  }

  /** b<condition> a, b, label */
  jumpIf(condition: Condition, a: Register, b: Register, label: CodeLabel): void {
    const word = 0x63 | (CONDITIONS[condition] << 12) | rs2(b) | rs1(a);
    const text = `b${condition} ${a}, ${b}, ${label.name}`;
    this.#toLabel(text, word, label, relative13);
  }

  jump(label: CodeLabel): void {
    this.#toLabel(`j ${label.name}`, 0x6f, label, relative21);
  }

  /** jal link, label: the return address goes into `link` */
  call(link: Register, label: CodeLabel): void {
    this.#toLabel(`jal ${link}, ${label.name}`, 0x6f | rd(link), label, relative21);
  }

  /** jalr reg: the return address goes into ra */
  callRegister(reg: Register): void {
    this.emit32(`jalr ${reg}`, 0x67 | rs1(reg) | rd('ra'));
  }

  /** jr reg */
  jumpRegister(reg: Register): void {
    this.emit32(`jr ${reg}`, 0x67 | rs1(reg));
  }

  syscall(): void {
    this.emit32('ecall', 0x73);
  }

  #toLabel(text: string, word: number, label: CodeLabel, field: (distance: number) => number) {
    this.fixup(this.offset, label, (distance, at) => this.patch32(at, word | field(distance)));
    this.emit32(text, word);
  }
}

const number = (register: Register): number => REGISTERS.indexOf(register);
const rd = (register: Register): number => number(register) << 7;
const rs1 = (register: Register): number => number(register) << 15;
const rs2 = (register: Register): number => number(register) << 20;

/** The immediate of loads and of addi. */
function upper12(value: number): number {
  return (signed(value, 12) & 0xfff) << 20;
}

/** The immediate of stores, in two parts. */
function split12(value: number): number {
  signed(value, 12);
  return bits(value, 5, 7, 25) | bits(value, 0, 5, 7);
}

/** The distance of a conditional jump. */
function relative13(distance: number): number {
  signed(even(distance), 13);
  return (
    bits(distance, 12, 1, 31) |
    bits(distance, 5, 6, 25) |
    bits(distance, 1, 4, 8) |
    bits(distance, 11, 1, 7)
  );
}

/** The distance of a jump. */
function relative21(distance: number): number {
  signed(even(distance), 21);
  return (
    bits(distance, 20, 1, 31) |
    bits(distance, 1, 10, 21) |
    bits(distance, 11, 1, 20) |
    bits(distance, 12, 8, 12)
  );
}

/** `count` bits of `value`, from bit `from` on, moved to bit `to`. */
function bits(value: number, from: number, count: number, to: number): number {
  return ((value >> from) & ((1 << count) - 1)) << to;
}

function even(distance: number): number {
  if (distance % 2 !== 0) throw new EncodingError(`${distance} is odd`);
  return distance;
}

const at = (word: number): number => word * WORD_SIZE;

/**
 * The interpreter. s1 holds the address of the instruction; with calls it is itself called, and s2
 * holds its return address, because a call takes ra and the stack is not to be touched.
 */
function emitInterpreter(asm: Riscv64Assembler, withCalls: boolean): CodeLabel {
  const branch = asm.label('branch');
  const next = asm.label('next');
  const add = asm.label('add_word');
  const call = asm.label('call_function');
  const fail = asm.label('fail');
  const advance = asm.label('advance');
  const store = asm.label('store');

  const loop = asm.symbol('interpret');
  asm.load('t0', 's1', at(WORD.op));
  asm.load('a7', 's1', at(WORD.number));
  for (const [n, register] of (['a0', 'a1', 'a2', 'a3', 'a4', 'a5'] as const).entries()) {
    asm.load(register, 's1', at(WORD.argument + n));
  }
  asm.loadImmediate('t1', OP.branch);
  asm.jumpIf('eq', 't0', 't1', branch);
  asm.jumpIf('ltu', 't1', 't0', next);
  asm.syscall();
  asm.place(store);
  asm.load('t0', 's1', at(WORD.result));
  asm.store('t0', 0, 'a0');
  asm.loadPages('t1', -1);
  asm.jumpIf('ltu', 't1', 'a0', fail); // above -4096
  asm.place(advance);
  asm.addImmediate('s1', 's1', at(INSTRUCTION_WORDS));
  asm.jump(loop);

  asm.place(fail);
  asm.load('t0', 's1', at(WORD.target));
  asm.store('t0', at(WORD.failedAt), 's1');
  asm.store('t0', at(WORD.failedWith), 'a0');
  asm.move('s1', 't0');
  asm.jump(loop);

  asm.place(branch);
  asm.load('t0', 'a0', 0);
  asm.jumpIf('ne', 't0', 'a1', advance);
  asm.load('s1', 's1', at(WORD.target));
  asm.jump(loop);

  asm.place(next);
  asm.load('t2', 's1', at(WORD.result));
  asm.loadImmediate('t1', OP.add);
  asm.jumpIf('eq', 't0', 't1', add);
  if (withCalls) asm.jumpIf('ltu', 't1', 't0', call);
  asm.load('t0', 'a0', 0);
  asm.store('t2', 0, 't0');
  asm.jump(advance);

  asm.place(add);
  asm.load('t0', 't2', 0);
  asm.add('t0', 't0', 'a0');
  asm.store('t2', 0, 't0');
  asm.jump(advance);

  if (withCalls) {
    const notCall = asm.label('halt_or_clone');
    const clone = asm.label('clone_process');
    asm.place(call);
    asm.loadImmediate('t1', OP.call);
    asm.jumpIf('ne', 't0', 't1', notCall);
    asm.callRegister('a7');
    asm.load('t0', 's1', at(WORD.result));
    asm.store('t0', 0, 'a0');
    asm.jump(advance);
    asm.place(notCall);
    asm.loadImmediate('t1', OP.clone);
    asm.jumpIf('eq', 't0', 't1', clone);
    asm.jumpRegister('s2');
    asm.place(clone);
    asm.syscall();
    asm.loadImmediate('t1', 0);
    asm.jumpIf('ne', 'a0', 't1', store);
    asm.load('s1', 's1', at(WORD.argument + 5));
    asm.jump(loop);
  }
  return loop;
}

function emitHelper(codeAddress: number, dataAddress: number): Code {
  const asm = new Riscv64Assembler();
  asm.symbol('_start');
  asm.address('s1', dataAddress - codeAddress);
  asm.store('s1', at(HEADER.stack), 'sp');
  asm.addImmediate('s1', 's1', at(HEADER_WORDS));
  emitInterpreter(asm, false);
  return asm.finish();
}

function emitBinding(sites: BindingSites): Code {
  const asm = new Riscv64Assembler();
  const interpret = emitInterpreter(asm, true);
  const addressOf = (dst: Register, address: number): void =>
    asm.address(dst, address - (sites.codeAddress + asm.offset));
  /** Calls a function of the table. */
  const callImport = (name: string): void => {
    addressOf('t0', sites.table(name));
    asm.load('t0', 't0', 0);
    asm.callRegister('t0');
  };
  const enter = (frame: number): void => {
    asm.addImmediate('sp', 'sp', -frame);
    asm.store('sp', 0, 'ra');
    asm.store('sp', 8, 's1');
    asm.store('sp', 16, 's2');
  };
  const leave = (frame: number): void => {
    asm.loadImmediate('a0', 0); // undefined
    asm.load('s2', 'sp', 16);
    asm.load('s1', 'sp', 8);
    asm.load('ra', 'sp', 0);
    asm.addImmediate('sp', 'sp', frame);
    asm.jumpRegister('ra');
  };

  // napi_value callback(napi_env env, napi_callback_info info): run(memory: ArrayBuffer)
  const out = asm.label('out');
  const callback = asm.symbol('callback');
  enter(48);
  asm.move('s1', 'a0');
  asm.loadImmediate('t0', 1);
  asm.store('sp', 24, 't0');
  asm.addImmediate('a2', 'sp', 24);
  asm.addImmediate('a3', 'sp', 32);
  asm.loadImmediate('a4', 0);
  asm.loadImmediate('a5', 0);
  callImport('napi_get_cb_info');
  asm.move('a0', 's1');
  asm.load('a1', 'sp', 32);
  asm.addImmediate('a2', 'sp', 40);
  asm.loadImmediate('a3', 0);
  callImport('napi_get_arraybuffer_info');
  asm.jumpIf('ne', 'a0', 'zero', out);
  asm.load('t0', 'sp', 40);
  asm.store('t0', at(HEADER.self), 't0');
  asm.store('t0', at(HEADER.env), 's1');
  addressOf('t1', sites.tableAddress);
  asm.store('t0', at(HEADER.table), 't1');
  asm.load('s1', 't0', at(HEADER.entry));
  asm.add('s1', 's1', 't0');
  asm.call('s2', interpret);
  asm.place(out);
  leave(48);

  // napi_value napi_register_module_v1(napi_env env, napi_value exports)
  asm.symbol('napi_register_module_v1');
  asm.addImmediate('sp', 'sp', -16);
  asm.store('sp', 0, 'ra');
  asm.store('sp', 8, 'zero');
  asm.loadImmediate('a1', 0); // no name
  asm.loadImmediate('a2', 0);
  asm.address('a3', callback.offset - asm.offset);
  asm.loadImmediate('a4', 0); // no data
  asm.addImmediate('a5', 'sp', 8);
  callImport('napi_create_function');
  asm.load('a0', 'sp', 8);
  asm.load('ra', 'sp', 0);
  asm.addImmediate('sp', 'sp', 16);
  asm.jumpRegister('ra');

  // void *run(void *instruction): for pthread_create
  asm.symbol('run');
  enter(32);
  asm.move('s1', 'a0');
  asm.call('s2', interpret);
  leave(32);
  return asm.finish();
}

/**
 * EF_RISCV_FLOAT_ABI_DOUBLE: lp64d, the one ABI that distributions have. Not EF_RISCV_RVC: there are
 * no compressed instructions here, and processors without them run this too.
 */
const FLAGS = 0x4;

export const riscv64: Machine = {
  name: 'riscv64',
  wordSize: WORD_SIZE,
  elf: { machine: 243, flags: FLAGS },
  // R_RISCV_64: there is no GLOB_DAT here, the table of a C library has these as well.
  relocations: { address: 2, relative: 3, addends: true },
  // There is no sa_restorer.
  structs: { ...layouts64, sigaction: { size: 24 } },
  syscallNumber: syscallNumbers('riscv64'),
  emitHelper,
  emitBinding,
};
