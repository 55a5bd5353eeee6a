import { InternalError } from '../errors.js';

/** One emitted instruction: where it is, its bytes, and its assembly text. */
export interface Line {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
}

/** Machine code with its listing. */
export interface Code {
  readonly bytes: Uint8Array;
  readonly lines: readonly Line[];
  /** Offsets of the named entries. */
  readonly symbols: ReadonlyMap<string, number>;
}

/** A target of jumps inside the code. */
export interface CodeLabel {
  offset: number;
  readonly name: string;
}

/** An operand that the instruction cannot encode. */
export class EncodingError extends InternalError {}

type Fixup = { at: number; label: CodeLabel; apply: (distance: number, at: number) => void };

/**
 * Collects bytes and text side by side. The encoders of the architectures build on it: they emit
 * bytes, and ask for a fixup where the distance to a label goes.
 */
export class Assembler {
  readonly #bytes: number[] = [];
  readonly #lines: { offset: number; length: number; text: string }[] = [];
  readonly #fixups: Fixup[] = [];
  readonly #symbols = new Map<string, number>();

  get offset(): number {
    return this.#bytes.length;
  }

  label(name: string): CodeLabel {
    return { offset: -1, name };
  }

  place(label: CodeLabel): void {
    label.offset = this.offset;
    this.#lines.push({ offset: this.offset, length: 0, text: `${label.name}:` });
  }

  /** Places a label that the outside may look up. */
  symbol(name: string): CodeLabel {
    const label = this.label(name);
    this.place(label);
    this.#symbols.set(name, label.offset);
    return label;
  }

  /** Appends one instruction. */
  emit(text: string, ...bytes: number[]): void {
    this.#lines.push({ offset: this.offset, length: bytes.length, text });
    this.#bytes.push(...bytes);
  }

  /** Appends one instruction of 32 bits, little-endian. */
  emit32(text: string, word: number): void {
    this.emit(text, word & 255, (word >>> 8) & 255, (word >>> 16) & 255, (word >>> 24) & 255);
  }

  /** When all labels are placed, `apply` gets the distance from `at` to the label. */
  fixup(at: number, label: CodeLabel, apply: Fixup['apply']): void {
    this.#fixups.push({ at, label, apply });
  }

  patch8(at: number, value: number): void {
    this.#bytes[at] = value & 255;
  }

  patch32(at: number, value: number): void {
    for (let i = 0; i < 4; i++) this.#bytes[at + i] = (value >>> (8 * i)) & 255;
  }

  read32(at: number): number {
    let value = 0;
    for (let i = 3; i >= 0; i--) value = (value << 8) | (this.#bytes[at + i] as number);
    return value >>> 0;
  }

  finish(): Code {
    for (const { at, label, apply } of this.#fixups) {
      if (label.offset < 0) throw new EncodingError(`the label ${label.name} was not placed`);
      apply(label.offset - at, at);
    }
    return {
      bytes: Uint8Array.from(this.#bytes),
      lines: this.#lines,
      symbols: this.#symbols,
    };
  }
}

/** Checks that `value` is an integer that fits `bits`, signed, and gives it back. */
export function signed(value: number, bits: number): number {
  const limit = 2 ** (bits - 1);
  if (!Number.isInteger(value) || value < -limit || value >= limit) {
    throw new EncodingError(`${value} does not fit ${bits} bits, signed`);
  }
  return value;
}

/** Checks that `value` is an integer that fits `bits`, unsigned, and gives it back. */
export function unsigned(value: number, bits: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new EncodingError(`${value} does not fit ${bits} bits, unsigned`);
  }
  return value;
}
