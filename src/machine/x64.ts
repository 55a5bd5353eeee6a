import { HEADER, HEADER_WORDS, INSTRUCTION_WORDS, OP, WORD } from '../program/instruction.js';
import { Assembler, type Code, type CodeLabel, signed } from './assembler.js';
import type { BindingSites, Machine } from './machine.js';
import { layouts64 } from './structs.js';
import { syscallNumbers } from './syscalls.js';

const REGISTERS = [
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
] as const;
type Register = (typeof REGISTERS)[number];

const CONDITIONS = { b: 2, ae: 3, e: 4, ne: 5, be: 6, a: 7 } as const;
type Condition = keyof typeof CONDITIONS;

const WORD_SIZE = 8;

/** The instructions of x86-64 that this project needs, named by the shape of their operands. */
export class X64Assembler extends Assembler {
  /** mov dst, [base + disp] */
  load(dst: Register, base: Register, disp: number): void {
    this.#memory(`mov ${dst}, ${mem(base, disp)}`, 0x8b, number(dst), base, disp);
  }

  /** mov [base + disp], src */
  store(base: Register, disp: number, src: Register): void {
    this.#memory(`mov ${mem(base, disp)}, ${src}`, 0x89, number(src), base, disp);
  }

  /** mov qword [base + disp], imm32 (sign-extended) */
  storeImmediate(base: Register, disp: number, value: number): void {
    this.#memory(`mov ${mem(base, disp)}, ${value}`, 0xc7, 0, base, disp, imm32(value));
  }

  /** add [base + disp], src */
  addStore(base: Register, disp: number, src: Register): void {
    this.#memory(`add ${mem(base, disp)}, ${src}`, 0x01, number(src), base, disp);
  }

  /** cmp reg, [base + disp] */
  compareLoad(reg: Register, base: Register, disp: number): void {
    this.#memory(`cmp ${reg}, ${mem(base, disp)}`, 0x3b, number(reg), base, disp);
  }

  /** cmp qword [base + disp], imm8 */
  compareImmediate(base: Register, disp: number, value: number): void {
    const bytes = [signed(value, 8) & 255];
    this.#memory(`cmp ${mem(base, disp)}, ${value}`, 0x83, 7, base, disp, bytes);
  }

  /** call [base + disp] */
  callMemory(base: Register, disp: number): void {
    this.#memory(`call ${mem(base, disp)}`, 0xff, 2, base, disp, [], false);
  }

  /** lea dst, [base + disp] */
  leaMemory(dst: Register, base: Register, disp: number): void {
    this.#memory(`lea ${dst}, ${mem(base, disp).slice(10)}`, 0x8d, number(dst), base, disp);
  }

  /** lea dst, [rip + distance], where distance counts from the end of the instruction */
  leaRelative(dst: Register, distance: number): void {
    const n = number(dst);
    const bytes = imm32(distance);
    this.emit(`lea ${dst}, ${rip(distance)}`, rex(n, 0), 0x8d, ((n & 7) << 3) | 5, ...bytes);
  }

  /** lea dst, [rip + label] */
  leaLabel(dst: Register, label: CodeLabel): void {
    const n = number(dst);
    this.emit(`lea ${dst}, [rip + ${label.name}]`, rex(n, 0), 0x8d, ((n & 7) << 3) | 5, 0, 0, 0, 0);
    this.fixup(this.offset, label, (distance, at) => this.patch32(at - 4, distance));
  }

  /** call [rip + distance] */
  callRelative(distance: number): void {
    this.emit(`call qword ptr ${rip(distance)}`, 0xff, 0x15, ...imm32(distance));
  }

  /** mov dst, src */
  move(dst: Register, src: Register): void {
    this.#registers(`mov ${dst}, ${src}`, 0x89, number(src), number(dst));
  }

  /** add reg, imm */
  addImmediate(reg: Register, value: number): void {
    this.#immediate(`add ${reg}, ${value}`, 0, reg, value);
  }

  /** sub reg, imm */
  subtractImmediate(reg: Register, value: number): void {
    this.#immediate(`sub ${reg}, ${value}`, 5, reg, value);
  }

  /** cmp reg, imm */
  compareRegisterImmediate(reg: Register, value: number): void {
    this.#immediate(`cmp ${reg}, ${value}`, 7, reg, value);
  }

  /** add dst, [base + disp] */
  addLoad(dst: Register, base: Register, disp: number): void {
    this.#memory(`add ${dst}, ${mem(base, disp)}`, 0x03, number(dst), base, disp);
  }

  /** xor reg, reg: the register becomes 0 */
  zero(reg: Register): void {
    this.#registers(`xor ${reg}, ${reg}`, 0x31, number(reg), number(reg));
  }

  /** test eax, eax and its like: the low 32 bits against themselves */
  testLow(reg: 'rax' | 'rcx' | 'rdx' | 'rbx'): void {
    const n = number(reg);
    const low = `e${reg.slice(1)}`;
    this.emit(`test ${low}, ${low}`, 0x85, 0xc0 | (n << 3) | n);
  }

  push(reg: Register): void {
    const n = number(reg);
    this.emit(`push ${reg}`, ...(n > 7 ? [0x41] : []), 0x50 | (n & 7));
  }

  pop(reg: Register): void {
    const n = number(reg);
    this.emit(`pop ${reg}`, ...(n > 7 ? [0x41] : []), 0x58 | (n & 7));
  }

  jump(label: CodeLabel): void {
    this.emit(`jmp ${label.name}`, 0xeb, 0);
    this.#short(label);
  }

  jumpIf(condition: Condition, label: CodeLabel): void {
    this.emit(`j${condition} ${label.name}`, 0x70 | CONDITIONS[condition], 0);
    this.#short(label);
  }

  call(label: CodeLabel): void {
    this.emit(`call ${label.name}`, 0xe8, 0, 0, 0, 0);
    this.fixup(this.offset, label, (distance, at) => this.patch32(at - 4, distance));
  }

  syscall(): void {
    this.emit('syscall', 0x0f, 0x05);
  }

  ret(): void {
    this.emit('ret', 0xc3);
  }

  #short(label: CodeLabel): void {
    this.fixup(this.offset, label, (distance, at) => this.patch8(at - 1, signed(distance, 8)));
  }

  #registers(text: string, opcode: number, reg: number, rm: number): void {
    this.emit(text, rex(reg, rm), opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
  }

  #immediate(text: string, extension: number, reg: Register, value: number): void {
    const n = number(reg);
    const modrm = 0xc0 | (extension << 3) | (n & 7);
    const long = imm32(value);
    if (isShort(value)) this.emit(text, rex(0, n), 0x83, modrm, value & 255);
    else if (n === 0) this.emit(text, 0x48, (extension << 3) | 5, ...long);
    else this.emit(text, rex(0, n), 0x81, modrm, ...long);
  }

  #memory(
    text: string,
    opcode: number,
    reg: number,
    base: Register,
    disp: number,
    tail: number[] = [],
    wide = true,
  ): void {
    const b = number(base);
    const prefix = rex(reg, b) & (wide ? 0xff : 0xf7);
    // A base of rsp or r12 takes a SIB byte; rbp and r13 cannot go without a displacement.
    const sib = (b & 7) === 4 ? [0x24] : [];
    const long = imm32(disp);
    const short = isShort(disp);
    const none = disp === 0 && (b & 7) !== 5;
    const mode = none ? 0 : short ? 0x40 : 0x80;
    const displacement = none ? [] : short ? [disp & 255] : long;
    const modrm = mode | ((reg & 7) << 3) | (b & 7);
    const head = prefix === 0x40 ? [opcode] : [prefix, opcode];
    this.emit(text, ...head, modrm, ...sib, ...displacement, ...tail);
  }
}

function number(register: Register): number {
  return REGISTERS.indexOf(register);
}

function rex(reg: number, rm: number): number {
  return 0x48 | (reg > 7 ? 4 : 0) | (rm > 7 ? 1 : 0);
}

function isShort(value: number): boolean {
  return value >= -128 && value < 128;
}

function imm32(value: number): number[] {
  signed(value, 32);
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}

function mem(base: Register, disp: number): string {
  const sign = disp < 0 ? '-' : '+';
  return `qword ptr [${base}${disp === 0 ? '' : ` ${sign} ${Math.abs(disp)}`}]`;
}

function rip(distance: number): string {
  return `[rip ${distance < 0 ? '-' : '+'} ${Math.abs(distance)}]`;
}

const at = (word: number): number => word * WORD_SIZE;

/** The interpreter. rbx holds the address of the instruction; halt returns to the caller. */
function emitInterpreter(asm: X64Assembler, withCalls: boolean): CodeLabel {
  const next = asm.label('next');
  const store = asm.label('store');
  const fail = asm.label('fail');
  const branch = asm.label('branch');
  const copy = asm.label('copy');
  const add = asm.label('add');
  const call = asm.label('call_function');
  const advance = asm.label('advance');
  // The start of the loop is further from the last instructions than a short jump reaches.
  const again = asm.label('again');
  const argument = (n: number): number => at(WORD.argument + n);

  const loop = asm.symbol('interpret');
  asm.load('rcx', 'rbx', at(WORD.op));
  asm.load('rax', 'rbx', at(WORD.number));
  asm.load('rdi', 'rbx', argument(0));
  asm.load('rsi', 'rbx', argument(1));
  asm.load('rdx', 'rbx', argument(2));
  asm.load('r8', 'rbx', argument(4));
  asm.load('r9', 'rbx', argument(5));
  asm.compareRegisterImmediate('rcx', OP.branch);
  asm.jumpIf('e', branch);
  asm.jumpIf('a', next);
  asm.load('r10', 'rbx', argument(3));
  asm.syscall();
  asm.place(store);
  asm.load('rcx', 'rbx', at(WORD.result));
  asm.store('rcx', 0, 'rax');
  asm.compareRegisterImmediate('rax', -4095);
  asm.jumpIf('ae', fail);
  asm.place(advance);
  asm.addImmediate('rbx', at(INSTRUCTION_WORDS));
  asm.jump(loop);

  asm.place(fail);
  asm.load('rcx', 'rbx', at(WORD.target));
  asm.store('rcx', at(WORD.failedAt), 'rbx');
  asm.store('rcx', at(WORD.failedWith), 'rax');
  asm.move('rbx', 'rcx');
  asm.jump(loop);

  asm.place(branch);
  asm.compareLoad('rsi', 'rdi', 0);
  asm.jumpIf('ne', advance);
  asm.load('rbx', 'rbx', at(WORD.target));
  asm.place(again);
  asm.jump(loop);

  asm.place(next);
  asm.load('r10', 'rbx', at(WORD.result));
  asm.compareRegisterImmediate('rcx', OP.add);
  asm.jumpIf('e', add);
  if (withCalls) asm.jumpIf('a', call);
  asm.place(copy);
  asm.load('rax', 'rdi', 0);
  asm.store('r10', 0, 'rax');
  asm.jump(advance);
  asm.place(add);
  asm.addStore('r10', 0, 'rdi');
  asm.jump(advance);

  if (withCalls) {
    const notCall = asm.label('halt_or_clone');
    const clone = asm.label('clone_process');
    asm.place(call);
    asm.compareRegisterImmediate('rcx', OP.call);
    asm.jumpIf('ne', notCall);
    asm.load('rcx', 'rbx', argument(3));
    asm.subtractImmediate('rsp', 8);
    asm.callMemory('rbx', at(WORD.number));
    asm.addImmediate('rsp', 8);
    asm.load('r10', 'rbx', at(WORD.result));
    asm.store('r10', 0, 'rax');
    asm.jump(advance);
    asm.place(notCall);
    asm.compareRegisterImmediate('rcx', OP.clone);
    asm.jumpIf('e', clone);
    asm.ret();
    asm.place(clone);
    asm.load('r10', 'rbx', argument(3));
    asm.syscall();
    asm.testLow('rax');
    asm.jumpIf('ne', store);
    asm.load('rbx', 'rbx', argument(5));
    asm.jump(again);
  }
  return loop;
}

function emitHelper(codeAddress: number, dataAddress: number): Code {
  const asm = new X64Assembler();
  asm.symbol('_start');
  // Seven bytes: the distance counts from the end of this instruction.
  asm.leaRelative('rbx', dataAddress - (codeAddress + 7));
  asm.store('rbx', at(HEADER.stack), 'rsp');
  asm.addImmediate('rbx', at(HEADER_WORDS));
  emitInterpreter(asm, false);
  return asm.finish();
}

function emitBinding(sites: BindingSites): Code {
  const asm = new X64Assembler();
  const callback = asm.label('callback');
  const interpret = emitInterpreter(asm, true);
  /** Calls a function of the table; six bytes. */
  const callImport = (name: string): void =>
    asm.callRelative(sites.table(name) - (sites.codeAddress + asm.offset + 6));

  // napi_value napi_register_module_v1(napi_env env, napi_value exports)
  asm.symbol('napi_register_module_v1');
  asm.subtractImmediate('rsp', 24);
  asm.zero('rsi'); // no name
  asm.zero('rdx');
  asm.leaLabel('rcx', callback);
  asm.zero('r8'); // no data
  asm.leaMemory('r9', 'rsp', 8);
  asm.storeImmediate('rsp', 8, 0);
  callImport('napi_create_function');
  asm.load('rax', 'rsp', 8);
  asm.addImmediate('rsp', 24);
  asm.ret();

  // napi_value callback(napi_env env, napi_callback_info info): run(memory: ArrayBuffer)
  const out = asm.label('out');
  asm.place(callback);
  asm.push('rbx');
  asm.subtractImmediate('rsp', 32);
  asm.move('rbx', 'rdi');
  asm.storeImmediate('rsp', 0, 1);
  asm.move('rdx', 'rsp');
  asm.leaMemory('rcx', 'rsp', 8);
  asm.zero('r8');
  asm.zero('r9');
  callImport('napi_get_cb_info');
  asm.move('rdi', 'rbx');
  asm.load('rsi', 'rsp', 8);
  asm.leaMemory('rdx', 'rsp', 16);
  asm.zero('rcx');
  callImport('napi_get_arraybuffer_info');
  asm.testLow('rax');
  asm.jumpIf('ne', out);
  asm.load('rax', 'rsp', 16);
  asm.store('rax', at(HEADER.self), 'rax');
  asm.store('rax', at(HEADER.env), 'rbx');
  asm.leaRelative('rcx', sites.tableAddress - (sites.codeAddress + asm.offset + 7));
  asm.store('rax', at(HEADER.table), 'rcx');
  asm.move('rbx', 'rax');
  asm.addLoad('rbx', 'rax', at(HEADER.entry));
  asm.call(interpret);
  asm.place(out);
  asm.zero('rax'); // undefined
  asm.addImmediate('rsp', 32);
  asm.pop('rbx');
  asm.ret();

  // void *run(void *instruction): for pthread_create
  asm.symbol('run');
  asm.push('rbx');
  asm.move('rbx', 'rdi');
  asm.call(interpret);
  asm.zero('rax');
  asm.pop('rbx');
  asm.ret();
  return asm.finish();
}

export const x64: Machine = {
  name: 'x64',
  wordSize: 8,
  elf: { machine: 62, flags: 0 },
  relocations: { address: 6, relative: 8, addends: true },
  structs: { ...layouts64, epollEvent: { size: 12, data: 4 } },
  syscallNumber: syscallNumbers('x64'),
  emitHelper,
  emitBinding,
};
