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
import { layouts32 } from './structs.js';
import { syscallNumbers } from './syscalls.js';

const REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const;
type Register = (typeof REGISTERS)[number];

const CONDITIONS = { b: 2, ae: 3, e: 4, ne: 5, be: 6, a: 7 } as const;
type Condition = keyof typeof CONDITIONS;

const WORD_SIZE = 4;

/** The instructions of IA-32 that this project needs, named by the shape of their operands. */
export class Ia32Assembler extends Assembler {
  /** mov dst, [base + disp] */
  load(dst: Register, base: Register, disp: number): void {
    this.#memory(`mov ${dst}, ${mem(base, disp)}`, 0x8b, number(dst), base, disp);
  }

  /** mov [base + disp], src */
  store(base: Register, disp: number, src: Register): void {
    this.#memory(`mov ${mem(base, disp)}, ${src}`, 0x89, number(src), base, disp);
  }

  /** mov [address], src, where the address is absolute and `src` is not eax */
  storeAbsolute(address: number, src: Register): void {
    if (src === 'eax') throw new EncodingError('eax has an encoding of its own for this');
    const text = `mov dword ptr [${address}], ${src}`;
    this.emit(text, 0x89, (number(src) << 3) | 5, ...word(unsigned(address, 32)));
  }

  /** mov dword [base + disp], imm32 */
  storeImmediate(base: Register, disp: number, value: number): void {
    const bytes = word(signed(value, 32));
    this.#memory(`mov ${mem(base, disp)}, ${value}`, 0xc7, 0, base, disp, bytes);
  }

  /** add [base + disp], src */
  addStore(base: Register, disp: number, src: Register): void {
    this.#memory(`add ${mem(base, disp)}, ${src}`, 0x01, number(src), base, disp);
  }

  /** add dst, [base + disp] */
  addLoad(dst: Register, base: Register, disp: number): void {
    this.#memory(`add ${dst}, ${mem(base, disp)}`, 0x03, number(dst), base, disp);
  }

  /** cmp reg, [base + disp] */
  compareLoad(reg: Register, base: Register, disp: number): void {
    this.#memory(`cmp ${reg}, ${mem(base, disp)}`, 0x3b, number(reg), base, disp);
  }

  /** push [base + disp] */
  pushMemory(base: Register, disp: number): void {
    this.#memory(`push ${mem(base, disp)}`, 0xff, 6, base, disp);
  }

  /** call [base + disp] */
  callMemory(base: Register, disp: number): void {
    this.#memory(`call ${mem(base, disp)}`, 0xff, 2, base, disp);
  }

  /** call [base + distance], of the same length whatever the distance */
  callDistant(base: Register, distance: number): void {
    this.#memory(`call ${mem(base, distance)}`, 0xff, 2, base, distance, [], true);
  }

  /** lea dst, [base + disp] */
  leaMemory(dst: Register, base: Register, disp: number): void {
    this.#memory(`lea ${dst}, ${mem(base, disp).slice(10)}`, 0x8d, number(dst), base, disp);
  }

  /** lea dst, [base + distance], of the same length whatever the distance */
  leaDistant(dst: Register, base: Register, distance: number): void {
    const text = `lea ${dst}, ${mem(base, distance).slice(10)}`;
    this.#memory(text, 0x8d, number(dst), base, distance, [], true);
  }

  /** mov dst, src */
  move(dst: Register, src: Register): void {
    this.#registers(`mov ${dst}, ${src}`, 0x89, src, dst);
  }

  /** mov dst, imm32 */
  moveImmediate(dst: Register, value: number): void {
    this.emit(`mov ${dst}, ${value}`, 0xb8 | number(dst), ...word(unsigned(value, 32)));
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
  compareImmediate(reg: Register, value: number): void {
    this.#immediate(`cmp ${reg}, ${value}`, 7, reg, value);
  }

  /** xor reg, reg: the register becomes 0 */
  zero(reg: Register): void {
    this.#registers(`xor ${reg}, ${reg}`, 0x31, reg, reg);
  }

  /** test reg, reg */
  test(reg: Register): void {
    this.#registers(`test ${reg}, ${reg}`, 0x85, reg, reg);
  }

  push(reg: Register): void {
    this.emit(`push ${reg}`, 0x50 | number(reg));
  }

  pop(reg: Register): void {
    this.emit(`pop ${reg}`, 0x58 | number(reg));
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

  /** int 0x80: a system call */
  syscall(): void {
    this.emit('int 0x80', 0xcd, 0x80);
  }

  ret(): void {
    this.emit('ret', 0xc3);
  }

  #short(label: CodeLabel): void {
    this.fixup(this.offset, label, (distance, at) => this.patch8(at - 1, signed(distance, 8)));
  }

  #registers(text: string, opcode: number, reg: Register, rm: Register): void {
    this.emit(text, opcode, 0xc0 | (number(reg) << 3) | number(rm));
  }

  #immediate(text: string, extension: number, reg: Register, value: number): void {
    const modrm = 0xc0 | (extension << 3) | number(reg);
    if (signed(value, 32) >= -128 && value < 128) this.emit(text, 0x83, modrm, value & 255);
    else if (reg === 'eax') this.emit(text, (extension << 3) | 5, ...word(value));
    else this.emit(text, 0x81, modrm, ...word(value));
  }

  #memory(
    text: string,
    opcode: number,
    reg: number,
    base: Register,
    disp: number,
    tail: readonly number[] = [],
    distant = false,
  ): void {
    // A base of esp takes a SIB byte; ebp cannot go without a displacement.
    const sib = base === 'esp' ? [0x24] : [];
    const short = !distant && signed(disp, 32) >= -128 && disp < 128;
    const none = short && disp === 0 && base !== 'ebp';
    const mode = none ? 0 : short ? 0x40 : 0x80;
    const displacement = none ? [] : short ? [disp & 255] : word(signed(disp, 32));
    this.emit(text, opcode, mode | (reg << 3) | number(base), ...sib, ...displacement, ...tail);
  }
}

function number(register: Register): number {
  return REGISTERS.indexOf(register);
}

/** The bytes of a number that was checked. */
function word(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}

function mem(base: Register, disp: number): string {
  const sign = disp < 0 ? '-' : '+';
  return `dword ptr [${base}${disp === 0 ? '' : ` ${sign} ${Math.abs(disp)}`}]`;
}

const at = (index: number): number => index * WORD_SIZE;
const argument = (n: number): number => at(WORD.argument + n);

const syscallNumber = syscallNumbers('ia32');

/**
 * The interpreter; halt returns to the caller.
 *
 * A system call of six arguments takes every register but the stack pointer, so that the address of
 * the instruction has to be elsewhere meanwhile.
 *
 * In the helper esp holds it, always: nothing there needs a stack. No signal can be delivered on it
 * either, since an exec leaves no handlers, and the system call itself does not touch it.
 *
 * In the binding esp must be what it says, as signals may come at any time. There ebp holds the
 * address, and is pushed while the system call runs. A clone is the exception: the child may come
 * back on its parent's stack, and with every system call of its own would write over the slot from
 * which the parent still has to read. But a clone has no sixth argument. So ebp stays what it is
 * during it, both sides come back with it and nothing of this interpreter is on the stack. A child
 * that has a stack of its own pushes there. What one without pushes goes below the stack pointer of
 * the parent, where nothing lives: that one is suspended, with all signals blocked. An emulator
 * that forks instead copies the registers, and all is the same.
 */
function emitInterpreter(asm: Ia32Assembler, inBinding: boolean): CodeLabel {
  const other = asm.label('other');
  const store = asm.label('store');
  const fail = asm.label('fail');
  const branch = asm.label('branch');
  const add = asm.label('add_value');
  const call = asm.label('call_function');
  const advance = asm.label('advance');
  // The last instructions are further from these than a short jump reaches.
  const again = asm.label('again');
  const cloned = asm.label('cloned');
  const self = inBinding ? 'ebp' : 'esp';

  const loop = asm.symbol('interpret');
  asm.load('eax', self, at(WORD.op));
  asm.compareImmediate('eax', OP.branch);
  asm.jumpIf('e', branch);
  asm.jumpIf('a', other);
  asm.load('eax', self, at(WORD.number));
  asm.load('ebx', self, argument(0));
  asm.load('ecx', self, argument(1));
  asm.load('edx', self, argument(2));
  asm.load('esi', self, argument(3));
  asm.load('edi', self, argument(4));
  if (inBinding) {
    asm.push('ebp');
    asm.load('ebp', 'ebp', argument(5));
    asm.syscall();
    asm.pop('ebp');
  } else {
    asm.load('ebp', 'esp', argument(5));
    asm.syscall();
  }
  asm.place(store);
  asm.load('ecx', self, at(WORD.result));
  asm.store('ecx', 0, 'eax');
  asm.compareImmediate('eax', -4095);
  asm.jumpIf('ae', fail);
  asm.place(advance);
  asm.addImmediate(self, at(INSTRUCTION_WORDS));
  asm.jump(loop);

  asm.place(fail);
  asm.load('ecx', self, at(WORD.target));
  asm.store('ecx', at(WORD.failedAt), self);
  asm.store('ecx', at(WORD.failedWith), 'eax');
  asm.move(self, 'ecx');
  asm.jump(loop);

  asm.place(branch);
  asm.load('ecx', self, argument(0));
  asm.load('ecx', 'ecx', 0);
  asm.compareLoad('ecx', self, argument(1));
  asm.jumpIf('ne', advance);
  asm.load(self, self, at(WORD.target));
  asm.place(again);
  asm.jump(loop);
  if (inBinding) {
    asm.place(cloned);
    asm.jump(store);
  }

  asm.place(other);
  asm.load('edx', self, at(WORD.result));
  asm.load('ecx', self, argument(0));
  asm.compareImmediate('eax', OP.add);
  asm.jumpIf('e', add);
  if (inBinding) asm.jumpIf('a', call);
  asm.load('ecx', 'ecx', 0);
  asm.store('edx', 0, 'ecx');
  asm.jump(advance);
  asm.place(add);
  asm.addStore('edx', 0, 'ecx');
  asm.jump(advance);

  if (inBinding) {
    const notCall = asm.label('halt_or_clone');
    const clone = asm.label('clone_process');
    asm.place(call);
    asm.compareImmediate('eax', OP.call);
    asm.jumpIf('ne', notCall);
    // The return address and these 28 bytes: the stack stays aligned to 16.
    asm.subtractImmediate('esp', 4);
    for (let n = 5; n >= 0; n--) asm.pushMemory('ebp', argument(n));
    asm.callMemory('ebp', at(WORD.number));
    asm.addImmediate('esp', 28);
    asm.load('edx', 'ebp', at(WORD.result));
    asm.store('edx', 0, 'eax');
    asm.jump(advance);
    asm.place(notCall);
    asm.compareImmediate('eax', OP.clone);
    asm.jumpIf('e', clone);
    asm.ret();
    asm.place(clone);
    asm.load('eax', 'ebp', at(WORD.number));
    asm.load('ebx', 'ebp', argument(0));
    asm.load('ecx', 'ebp', argument(1));
    asm.load('edx', 'ebp', argument(2));
    asm.load('esi', 'ebp', argument(3));
    asm.load('edi', 'ebp', argument(4));
    asm.syscall();
    asm.test('eax');
    asm.jumpIf('ne', cloned);
    asm.load('ebp', 'ebp', argument(5));
    asm.jump(again);
  }
  return loop;
}

function emitHelper(_codeAddress: number, dataAddress: number): Code {
  const asm = new Ia32Assembler();
  asm.symbol('_start');
  asm.storeAbsolute(dataAddress + at(HEADER.stack), 'esp');
  asm.moveImmediate('esp', dataAddress + at(HEADER_WORDS));
  emitInterpreter(asm, false);
  return asm.finish();
}

const SAVED: readonly Register[] = ['ebp', 'ebx', 'esi', 'edi'];

/**
 * Arguments are passed on the stack, which is aligned to 16 bytes before a call: so on entry of a
 * function esp is 12 above a multiple of 16, and four pushed registers leave it there.
 */
function emitBinding(sites: BindingSites): Code {
  const asm = new Ia32Assembler();
  const interpret = emitInterpreter(asm, true);
  const save = (): void => {
    for (const register of SAVED) asm.push(register);
  };
  const restore = (): void => {
    for (const register of SAVED.toReversed()) asm.pop(register);
    asm.ret();
  };
  /** Puts the address of the code into ebx, as far as the instruction after the call. */
  const here = (name: string): number => {
    const pc = asm.label(name);
    asm.call(pc);
    asm.place(pc);
    asm.pop('ebx');
    return pc.offset;
  };
  /** Calls a function of the table. */
  const callImport = (pc: number, name: string): void =>
    asm.callDistant('ebx', sites.table(name) - (sites.codeAddress + pc));

  // napi_value callback(napi_env env, napi_callback_info info): run(memory: ArrayBuffer)
  const callback = asm.label('callback');
  const out = asm.label('out');
  asm.place(callback);
  save();
  // Six arguments, then argc, argv[0], and the address of the memory.
  asm.subtractImmediate('esp', 44);
  const pc = here('in_callback');
  asm.load('esi', 'esp', 44 + 16 + 4); // env
  asm.load('eax', 'esp', 44 + 16 + 8); // info
  asm.storeImmediate('esp', 24, 1);
  asm.store('esp', 0, 'esi');
  asm.store('esp', 4, 'eax');
  asm.leaMemory('eax', 'esp', 24);
  asm.store('esp', 8, 'eax');
  asm.leaMemory('eax', 'esp', 28);
  asm.store('esp', 12, 'eax');
  asm.zero('edi');
  asm.store('esp', 16, 'edi');
  asm.store('esp', 20, 'edi');
  callImport(pc, 'napi_get_cb_info');
  asm.store('esp', 0, 'esi');
  asm.load('eax', 'esp', 28);
  asm.store('esp', 4, 'eax');
  asm.leaMemory('eax', 'esp', 32);
  asm.store('esp', 8, 'eax');
  asm.store('esp', 12, 'edi');
  callImport(pc, 'napi_get_arraybuffer_info');
  asm.test('eax');
  asm.jumpIf('ne', out);
  asm.load('ebp', 'esp', 32);
  asm.store('ebp', at(HEADER.self), 'ebp');
  asm.store('ebp', at(HEADER.env), 'esi');
  asm.leaDistant('eax', 'ebx', sites.tableAddress - (sites.codeAddress + pc));
  asm.store('ebp', at(HEADER.table), 'eax');
  asm.addLoad('ebp', 'ebp', at(HEADER.entry));
  asm.call(interpret);
  asm.place(out);
  asm.zero('eax'); // undefined
  asm.addImmediate('esp', 44);
  restore();

  // napi_value napi_register_module_v1(napi_env env, napi_value exports)
  asm.symbol('napi_register_module_v1');
  asm.push('ebx');
  asm.subtractImmediate('esp', 40);
  const start = here('in_register');
  asm.load('eax', 'esp', 40 + 4 + 4);
  asm.store('esp', 0, 'eax');
  asm.zero('eax');
  asm.store('esp', 4, 'eax'); // no name
  asm.store('esp', 8, 'eax');
  asm.store('esp', 16, 'eax'); // no data
  asm.store('esp', 24, 'eax');
  asm.leaMemory('eax', 'ebx', callback.offset - start);
  asm.store('esp', 12, 'eax');
  asm.leaMemory('eax', 'esp', 24);
  asm.store('esp', 20, 'eax');
  callImport(start, 'napi_create_function');
  asm.load('eax', 'esp', 24);
  asm.addImmediate('esp', 40);
  asm.pop('ebx');
  asm.ret();

  // void *run(void *instruction): for pthread_create
  asm.symbol('run');
  save();
  asm.subtractImmediate('esp', 12);
  asm.load('ebp', 'esp', 12 + 16 + 4);
  asm.call(interpret);
  asm.zero('eax');
  asm.addImmediate('esp', 12);
  restore();
  return asm.finish();
}

export const ia32: Machine = {
  name: 'ia32',
  wordSize: WORD_SIZE,
  elf: { machine: 3, flags: 0 },
  relocations: { address: 6, relative: 8, addends: false },
  structs: { ...layouts32, epollEvent: { size: 12, data: 4 } },
  largeFile: 0o100000,
  syscallNumber,
  emitHelper,
  emitBinding,
};
