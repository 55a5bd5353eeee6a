import {
  BPF_ABS,
  BPF_ALU,
  BPF_AND,
  BPF_JA,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  BPF_W,
} from '../plan/constants.js';
import type { BpfInstruction, Filter } from './filter.js';

/** A part of a filter that is written already, by how many instructions are behind its first. */
export type Target = number;

const JUMPS = { eq: BPF_JEQ, gt: BPF_JGT, ge: BPF_JGE } as const;
/** jt and jf have eight bits. */
const FARTHEST = 255;

/**
 * Writes a filter from its end to its beginning. Jumps lead forward only, so what they lead to is
 * known when they are written, and so is the distance: what is too far gets a jump of its own.
 * Equal parts are written once.
 */
export class FilterAssembler {
  readonly #reversed: BpfInstruction[] = [];
  readonly #known = new Map<string, Target>();

  /** Returns an action. */
  ret(action: number): Target {
    return this.#once(`ret ${action}`, () => this.#push(BPF_RET | BPF_K, action));
  }

  /** Loads the word at an offset in struct seccomp_data, then goes on. */
  load(offset: number, next: Target): Target {
    return this.#once(`load ${offset} ${next}`, () => {
      this.#follow(next);
      return this.#push(BPF_LD | BPF_W | BPF_ABS, offset);
    });
  }

  and(mask: number, next: Target): Target {
    return this.#once(`and ${mask} ${next}`, () => {
      this.#follow(next);
      return this.#push(BPF_ALU | BPF_AND | BPF_K, mask);
    });
  }

  /** Compares what was loaded, without sign. */
  branch(comparison: keyof typeof JUMPS, value: number, yes: Target, no: Target): Target {
    if (yes === no) return yes;
    return this.#once(`${comparison} ${value} ${yes} ${no}`, () => {
      // One more: the other way may need a jump, too, which makes this one longer.
      const near = this.#reach(yes, 1);
      const other = this.#reach(no, 0);
      const behind = this.#reversed.length - 1;
      const code = BPF_JMP | JUMPS[comparison] | BPF_K;
      return this.#push(code, value, behind - near, behind - other);
    });
  }

  /** The filter that begins at `start`. */
  filter(start: Target): Filter {
    this.#follow(start);
    return [...this.#reversed].reverse();
  }

  #once(key: string, write: () => Target): Target {
    let target = this.#known.get(key);
    if (target === undefined) {
      target = write();
      this.#known.set(key, target);
    }
    return target;
  }

  #push(code: number, k: number, jt = 0, jf = 0): Target {
    this.#reversed.push({ code, jt, jf, k });
    return this.#reversed.length - 1;
  }

  /** Makes `target` what comes next. */
  #follow(target: Target): void {
    if (target !== this.#reversed.length - 1) this.#forward(target);
  }

  /** What leads to `target` and is in reach of the instruction after the next `spare` ones. */
  #reach(target: Target, spare: number): Target {
    const distance = this.#reversed.length - 1 - target;
    return distance + spare > FARTHEST ? this.#forward(target) : target;
  }

  #forward(target: Target): Target {
    const instruction = this.#reversed[target] as BpfInstruction;
    // A return is as short as a jump to one, and quicker.
    if (instruction.code === (BPF_RET | BPF_K)) {
      const copy = this.#push(instruction.code, instruction.k);
      this.#known.set(`ret ${instruction.k}`, copy);
      return copy;
    }
    return this.#push(BPF_JMP | BPF_JA, this.#reversed.length - 1 - target);
  }
}
