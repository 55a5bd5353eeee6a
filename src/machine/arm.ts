import { HEADER, HEADER_WORDS, INSTRUCTION_WORDS, OP, WORD } from '../program/instruction.js';
import { Assembler, type Code, type CodeLabel, EncodingError, signed } from './assembler.js';
import type { BindingSites, Machine } from './machine.js';
import { layouts32 } from './structs.js';
import { syscallNumbers } from './syscalls.js';

const REGISTERS = [
  ...['r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'sp', 'lr', 'pc'],
] as const;
type Register = (typeof REGISTERS)[number];

const CONDITIONS = { eq: 0, ne: 1, hs: 2, lo: 3, hi: 8, ls: 9 } as const;
type Condition = keyof typeof CONDITIONS;

const WORD_SIZE = 4;
/** What reading pc gives is this far behind the instruction that reads it. */
const PIPELINE = 8;

/**
 * The instructions of ARM (A32, of those that ARMv5T has) that this project needs, named by the
 * shape of their operands.
 */
export class ArmAssembler extends Assembler {
  /** ldr dst, [base, #disp] */
  load(dst: Register, base: Register, disp: number): void {
    this.emit32(`ldr ${dst}, ${mem(base, disp)}`, 0xe5100000 | transfer(dst, base, disp));
  }

  /** str src, [base, #disp] */
  store(base: Register, disp: number, src: Register): void {
    this.emit32(`str ${src}, ${mem(base, disp)}`, 0xe5000000 | transfer(src, base, disp));
  }

  /** ldr dst, label: a word among the code */
  loadLabel(dst: Register, label: CodeLabel): void {
    const at = this.offset;
    this.emit32(`ldr ${dst}, ${label.name}`, 0);
    this.fixup(at, label, (distance) =>
      this.patch32(at, 0xe5100000 | transfer(dst, 'pc', distance - PIPELINE)),
    );
  }

  /** adr dst, label: a label behind it */
  addressOf(dst: Register, label: CodeLabel): void {
    const at = this.offset;
    this.emit32(`adr ${dst}, ${label.name}`, 0);
    this.fixup(at, label, (distance) =>
      this.patch32(at, 0xe28f0000 | (number(dst) << 12) | immediate(distance - PIPELINE)),
    );
  }

  /** ldm base, {registers} */
  loadMultiple(base: Register, registers: readonly Register[]): void {
    const text = `ldm ${base}, {${registers.join(', ')}}`;
    this.emit32(text, 0xe8900000 | (number(base) << 16) | list(registers));
  }

  /** push {registers} */
  push(registers: readonly Register[]): void {
    this.emit32(`push {${registers.join(', ')}}`, 0xe92d0000 | list(registers));
  }

  /** pop {registers} */
  pop(registers: readonly Register[]): void {
    this.emit32(`pop {${registers.join(', ')}}`, 0xe8bd0000 | list(registers));
  }

  /** mov dst, src */
  move(dst: Register, src: Register): void {
    this.emit32(`mov ${dst}, ${src}`, 0xe1a00000 | (number(dst) << 12) | number(src));
  }

  /** mov dst, #value */
  moveImmediate(dst: Register, value: number): void {
    this.emit32(`mov ${dst}, #${value}`, 0xe3a00000 | (number(dst) << 12) | immediate(value));
  }

  /** add dst, a, b */
  add(dst: Register, a: Register, b: Register): void {
    const registers = (number(a) << 16) | (number(dst) << 12) | number(b);
    this.emit32(`add ${dst}, ${a}, ${b}`, 0xe0800000 | registers);
  }

  /** add dst, src, #value */
  addImmediate(dst: Register, src: Register, value: number): void {
    const operands = (number(src) << 16) | (number(dst) << 12) | immediate(value);
    this.emit32(`add ${dst}, ${src}, #${value}`, 0xe2800000 | operands);
  }

  /** sub dst, src, #value */
  subtractImmediate(dst: Register, src: Register, value: number): void {
    const operands = (number(src) << 16) | (number(dst) << 12) | immediate(value);
    this.emit32(`sub ${dst}, ${src}, #${value}`, 0xe2400000 | operands);
  }

  /** cmp a, b */
  compare(a: Register, b: Register): void {
    this.emit32(`cmp ${a}, ${b}`, 0xe1500000 | (number(a) << 16) | number(b));
  }

  /** cmp reg, #value */
  compareImmediate(reg: Register, value: number): void {
    this.emit32(`cmp ${reg}, #${value}`, 0xe3500000 | (number(reg) << 16) | immediate(value));
  }

  /** cmn reg, #value: compares with the negative of the value */
  compareNegative(reg: Register, value: number): void {
    this.emit32(`cmn ${reg}, #${value}`, 0xe3700000 | (number(reg) << 16) | immediate(value));
  }

  branch(label: CodeLabel): void {
    this.#branch(`b ${label.name}`, 0xea000000, label);
  }

  branchIf(condition: Condition, label: CodeLabel): void {
    const opcode = 0x0a000000 | (CONDITIONS[condition] << 28);
    this.#branch(`b${condition} ${label.name}`, opcode, label);
  }

  /** bl label: a call */
  call(label: CodeLabel): void {
    this.#branch(`bl ${label.name}`, 0xeb000000, label);
  }

  /** blx reg: a call of a function that may be Thumb code */
  callRegister(reg: Register): void {
    this.emit32(`blx ${reg}`, 0xe12fff30 | number(reg));
  }

  /** bx reg: a return to code that may be Thumb */
  jumpRegister(reg: Register): void {
    this.emit32(`bx ${reg}`, 0xe12fff10 | number(reg));
  }

  /** svc #0: a system call */
  syscall(): void {
    this.emit32('svc #0', 0xef000000);
  }

  /** A word among the code. */
  word(value: number): void {
    this.emit32(`.word ${value}`, signed(value, 32));
  }

  #branch(text: string, opcode: number, label: CodeLabel): void {
    const at = this.offset;
    this.emit32(text, opcode);
    this.fixup(at, label, (distance) => {
      const words = signed((distance - PIPELINE) / 4, 24);
      this.patch32(at, opcode | (words & 0xffffff));
    });
  }
}

function number(register: Register): number {
  return REGISTERS.indexOf(register);
}

function list(registers: readonly Register[]): number {
  // A list of one has an encoding of its own.
  if (registers.length < 2) throw new EncodingError('a list of registers has at least two');
  return registers.reduce((bits, register) => bits | (1 << number(register)), 0);
}

/** Operands of ldr and str: the displacement has twelve bits, and its sign a bit elsewhere. */
function transfer(reg: Register, base: Register, disp: number): number {
  if (!Number.isInteger(disp) || Math.abs(disp) > 4095) {
    throw new EncodingError(`${disp} does not fit a displacement of 12 bits`);
  }
  const up = disp < 0 ? 0 : 1 << 23;
  return up | (number(base) << 16) | (number(reg) << 12) | Math.abs(disp);
}

/** An immediate operand: eight bits, rotated right by an even number. */
function immediate(value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= 0xffffffff) {
    for (let rotation = 0; rotation < 16; rotation++) {
      const bits = ((value << (2 * rotation)) | (value >>> (32 - 2 * rotation))) >>> 0;
      const rotated = rotation === 0 ? value : bits;
      if (rotated < 256) return (rotation << 8) | rotated;
    }
  }
  throw new EncodingError(`${value} is not eight bits, rotated`);
}

function mem(base: Register, disp: number): string {
  return disp === 0 ? `[${base}]` : `[${base}, #${disp}]`;
}

const at = (index: number): number => index * WORD_SIZE;
const argument = (n: number): number => at(WORD.argument + n);

/**
 * The interpreter. r8 holds the address of the instruction. In the binding r10 has the return
 * address, so that nothing of the interpreter is on the stack.
 */
function emitInterpreter(asm: ArmAssembler, inBinding: boolean): CodeLabel {
  const other = asm.label('other');
  const fail = asm.label('fail');
  const branch = asm.label('branch');
  const add = asm.label('add_value');
  const call = asm.label('call_function');
  const advance = asm.label('advance');
  const store = asm.label('store');
  const loop = asm.label('next');

  const entry = asm.symbol('interpret');
  if (inBinding) asm.move('r10', 'lr');
  asm.place(loop);
  asm.load('r6', 'r8', at(WORD.op));
  asm.compareImmediate('r6', OP.branch);
  asm.branchIf('eq', branch);
  asm.branchIf('hi', other);
  asm.load('r7', 'r8', at(WORD.number));
  asm.addImmediate('r6', 'r8', argument(0));
  asm.loadMultiple('r6', ['r0', 'r1', 'r2', 'r3', 'r4', 'r5']);
  asm.syscall();
  asm.place(store);
  asm.load('r6', 'r8', at(WORD.result));
  asm.store('r6', 0, 'r0');
  // Above -4096, unsigned.
  asm.compareNegative('r0', 4096);
  asm.branchIf('hi', fail);
  asm.place(advance);
  asm.addImmediate('r8', 'r8', at(INSTRUCTION_WORDS));
  asm.branch(loop);

  asm.place(fail);
  asm.load('r6', 'r8', at(WORD.target));
  asm.store('r6', at(WORD.failedAt), 'r8');
  asm.store('r6', at(WORD.failedWith), 'r0');
  asm.move('r8', 'r6');
  asm.branch(loop);

  asm.place(branch);
  asm.load('r0', 'r8', argument(0));
  asm.load('r1', 'r8', argument(1));
  asm.load('r0', 'r0', 0);
  asm.compare('r0', 'r1');
  asm.branchIf('ne', advance);
  asm.load('r8', 'r8', at(WORD.target));
  asm.branch(loop);

  asm.place(other);
  asm.load('r1', 'r8', at(WORD.result));
  asm.load('r0', 'r8', argument(0));
  asm.compareImmediate('r6', OP.add);
  asm.branchIf('eq', add);
  if (inBinding) asm.branchIf('hi', call);
  asm.load('r0', 'r0', 0);
  asm.store('r1', 0, 'r0');
  asm.branch(advance);
  asm.place(add);
  asm.load('r2', 'r1', 0);
  asm.add('r2', 'r2', 'r0');
  asm.store('r1', 0, 'r2');
  asm.branch(advance);

  if (inBinding) {
    const notCall = asm.label('halt_or_clone');
    const clone = asm.label('clone_process');
    asm.place(call);
    asm.compareImmediate('r6', OP.call);
    asm.branchIf('ne', notCall);
    // Four arguments in registers, two on the stack.
    asm.addImmediate('r6', 'r8', argument(0));
    asm.loadMultiple('r6', ['r0', 'r1', 'r2', 'r3', 'r4', 'r5']);
    asm.push(['r4', 'r5']);
    asm.load('r12', 'r8', at(WORD.number));
    asm.callRegister('r12');
    asm.addImmediate('sp', 'sp', 8);
    asm.load('r1', 'r8', at(WORD.result));
    asm.store('r1', 0, 'r0');
    asm.branch(advance);
    asm.place(notCall);
    asm.compareImmediate('r6', OP.clone);
    asm.branchIf('eq', clone);
    asm.jumpRegister('r10');
    asm.place(clone);
    asm.load('r7', 'r8', at(WORD.number));
    asm.addImmediate('r6', 'r8', argument(0));
    asm.loadMultiple('r6', ['r0', 'r1', 'r2', 'r3', 'r4', 'r5']);
    asm.syscall();
    asm.compareImmediate('r0', 0);
    asm.branchIf('ne', store);
    asm.load('r8', 'r8', argument(5));
    asm.branch(loop);
  }
  return entry;
}

function emitHelper(_codeAddress: number, dataAddress: number): Code {
  const asm = new ArmAssembler();
  const data = asm.label('data');
  asm.symbol('_start');
  asm.loadLabel('r8', data);
  asm.store('r8', at(HEADER.stack), 'sp');
  asm.addImmediate('r8', 'r8', at(HEADER_WORDS));
  emitInterpreter(asm, false);
  asm.place(data);
  asm.word(dataAddress);
  return asm.finish();
}

/** What a function must leave as it was; with lr they are nine. */
const SAVED: readonly Register[] = ['r4', 'r5', 'r6', 'r7', 'r8', 'r9', 'r10', 'r11'];

/** The stack is aligned to eight bytes before a call; arguments beyond four are on it. */
function emitBinding(sites: BindingSites): Code {
  const asm = new ArmAssembler();
  const interpret = emitInterpreter(asm, true);
  const callback = asm.label('callback');
  const literals: { label: CodeLabel; value: number }[] = [];
  /** Puts the address of the table into r9. */
  const loadTable = (): void => {
    const label = asm.label(`table${literals.length}`);
    asm.loadLabel('r9', label);
    const pc = sites.codeAddress + asm.offset + PIPELINE;
    asm.add('r9', 'pc', 'r9');
    literals.push({ label, value: sites.tableAddress - pc });
  };
  /** Calls a function of the table. */
  const callImport = (name: string): void => {
    asm.load('r12', 'r9', sites.table(name) - sites.tableAddress);
    asm.callRegister('r12');
  };

  // napi_value napi_register_module_v1(napi_env env, napi_value exports)
  asm.symbol('napi_register_module_v1');
  asm.push(['r9', 'lr']);
  asm.subtractImmediate('sp', 'sp', 16);
  loadTable();
  asm.moveImmediate('r1', 0); // no name
  asm.moveImmediate('r2', 0);
  asm.addressOf('r3', callback);
  asm.store('sp', 0, 'r1'); // no data
  asm.addImmediate('r12', 'sp', 8);
  asm.store('sp', 4, 'r12');
  asm.store('sp', 8, 'r1');
  callImport('napi_create_function');
  asm.load('r0', 'sp', 8);
  asm.addImmediate('sp', 'sp', 16);
  asm.pop(['r9', 'pc']);

  // napi_value callback(napi_env env, napi_callback_info info): run(memory: ArrayBuffer)
  const out = asm.label('out');
  asm.place(callback);
  asm.push([...SAVED, 'lr']);
  // Two arguments, then argc, argv[0], and the address of the memory.
  asm.subtractImmediate('sp', 'sp', 28);
  loadTable();
  asm.move('r4', 'r0');
  asm.moveImmediate('r2', 0);
  asm.store('sp', 0, 'r2');
  asm.store('sp', 4, 'r2');
  asm.moveImmediate('r2', 1);
  asm.store('sp', 8, 'r2');
  asm.addImmediate('r2', 'sp', 8);
  asm.addImmediate('r3', 'sp', 12);
  callImport('napi_get_cb_info');
  asm.move('r0', 'r4');
  asm.load('r1', 'sp', 12);
  asm.addImmediate('r2', 'sp', 16);
  asm.moveImmediate('r3', 0);
  callImport('napi_get_arraybuffer_info');
  asm.compareImmediate('r0', 0);
  asm.branchIf('ne', out);
  asm.load('r8', 'sp', 16);
  asm.store('r8', at(HEADER.self), 'r8');
  asm.store('r8', at(HEADER.env), 'r4');
  asm.store('r8', at(HEADER.table), 'r9');
  asm.load('r0', 'r8', at(HEADER.entry));
  asm.add('r8', 'r8', 'r0');
  asm.call(interpret);
  asm.place(out);
  asm.moveImmediate('r0', 0); // undefined
  asm.addImmediate('sp', 'sp', 28);
  asm.pop([...SAVED, 'pc']);

  // void *run(void *instruction): for pthread_create
  asm.symbol('run');
  asm.push(['r3', ...SAVED, 'lr']); // r3: for the alignment
  asm.move('r8', 'r0');
  asm.call(interpret);
  asm.moveImmediate('r0', 0);
  asm.pop(['r3', ...SAVED, 'pc']);

  for (const { label, value } of literals) {
    asm.place(label);
    asm.word(value);
  }
  return asm.finish();
}

export const arm: Machine = {
  name: 'arm',
  wordSize: WORD_SIZE,
  // EABI version 5, hard float.
  elf: { machine: 40, flags: 0x05000400 },
  relocations: { address: 21, relative: 23, addends: false },
  structs: layouts32,
  largeFile: 0o400000,
  syscallNumber: syscallNumbers('arm'),
  emitHelper,
  emitBinding,
};
