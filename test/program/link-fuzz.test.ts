import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { InternalError } from '../../src/errors.js';
import { offsetBy, ProgramBuilder } from '../../src/program/builder.js';
import {
  HEADER_WORDS,
  INSTRUCTION_WORDS,
  type Label,
  type Operand,
  type Place,
  type Program,
  WORD,
} from '../../src/program/instruction.js';
import { layoutOf, link } from '../../src/program/link.js';
import { SimulatedMemory, simulate } from '../../src/program/simulate.js';
import { runs } from '../soak.js';
import { baseOf, TARGETS, wordsOf } from './targets.js';

/**
 * Programs from arbitrary calls of the builder. What can be linked must stay inside of its memory,
 * by what is written in it and by what it does when it runs.
 */

const OUTSIDE = 0x1234_5000;
const FUNCTIONS = new Map([['free', OUTSIDE]]);

/** A number that is wrong in one of the ways in which numbers are. */
const wrong = fc.oneof(
  fc.constantFrom(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, -0.5, 2 ** 31, 2 ** 53, 2 ** 70),
  fc.integer(),
  fc.double(),
);
const index = fc.oneof({ weight: 30, arbitrary: fc.nat(15) }, { weight: 1, arbitrary: wrong });

/** A place: one of those that the builder gave, or one of somebody's own making. */
const place = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('given' as const), n: fc.nat(40) }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('word' as const), n: index, word: fc.nat(11) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('header' as const), n: index }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('own' as const),
      section: fc.constantFrom('header', 'data', 'code', 'text', '__proto__'),
      n: wrong,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('moved' as const), n: fc.nat(40), by: wrong }),
  },
);
const value = fc.oneof({ weight: 12, arbitrary: fc.integer() }, { weight: 1, arbitrary: wrong });
const call = fc.record({
  op: fc.constantFrom(
    ...['syscall', 'branch', 'jump', 'copy', 'add', 'call', 'clone', 'halt', 'label', 'result'],
    ...['reserve', 'bytes', 'string', 'words'],
  ),
  places: fc.tuple(place, place),
  values: fc.tuple(value, value),
  label: fc.nat(5),
  size: fc.oneof({ weight: 20, arbitrary: fc.nat(70) }, { weight: 1, arbitrary: wrong }),
  alignment: fc.constantFrom(undefined, undefined, 1, 2, 4, 8, 16),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;
type AnyPlace = Call['places'][0];

const program = fc.record({
  calls: fc.array(call, { minLength: 1, maxLength: 20 }),
  end: fc.constantFrom('halt', 'halt', 'jump', 'nothing'),
});

function cook(recipe: { calls: Call[]; end: string }, wordSize: 4 | 8): Program {
  const b = new ProgramBuilder(wordSize);
  const labels: Label[] = Array.from({ length: 6 }, () => b.label());
  const given: Place[] = [b.words(1), b.reserve(2 * wordSize)];
  const at = (p: AnyPlace): Place => {
    switch (p.kind) {
      case 'given':
        return given[p.n % given.length] as Place;
      case 'word':
        return b.wordOf(p.n, p.word);
      case 'header':
        return b.header(p.n % HEADER_WORDS);
      case 'own':
        return { section: p.section as Place['section'], offset: p.n };
      case 'moved':
        return offsetBy(given[p.n % given.length] as Place, p.by);
    }
  };
  for (const { op, places, values, label, size, alignment } of recipe.calls) {
    const [x, y] = [at(places[0]), at(places[1])];
    const target = labels[label] as Label;
    // Reserved without use, it would only cost memory.
    const room = Number.isSafeInteger(size) ? Math.min(size, 1000) : size;
    if (op === 'syscall')
      b.syscall('read', [values[0], x, values[1]], { result: y, onError: target });
    else if (op === 'branch') b.branchIfEqual(x, values[0], target);
    else if (op === 'jump') b.jump(target);
    else if (op === 'copy') b.copy(x, y);
    else if (op === 'add') b.add(values[0], y);
    else if (op === 'call') b.call('free', [x, ...values], { result: y });
    else if (op === 'clone')
      b.clone('read', [values[0], x, values[1]], target, { result: y, onError: b.here() });
    else if (op === 'halt') b.halt();
    else if (op === 'label' && target.index < 0) b.place(target);
    else if (op === 'result' && b.position > 0) b.resultTo(b.position - 1, y);
    else if (op === 'reserve') given.push(b.reserve(room, alignment));
    else if (op === 'bytes') given.push(b.bytes(new Uint8Array(values[0] & 63).fill(7), alignment));
    else if (op === 'string') given.push(b.string('é'.repeat(values[0] & 63)));
    else if (op === 'words') given.push(b.words(...values, x));
  }
  for (const label of labels) if (label.index < 0) b.place(label);
  if (recipe.end === 'halt') b.halt();
  if (recipe.end === 'jump') b.jump(labels[0] as Label);
  return b.build();
}

interface Linked {
  readonly program: Program;
  readonly memory: Uint8Array;
}

/** The linked program; null where builder or linker refuse it, which they do by name. */
function linkOf(
  recipe: { calls: Call[]; end: string },
  target: (typeof TARGETS)[0],
): Linked | null {
  try {
    const program = cook(recipe, target.wordSize);
    const memory = new Uint8Array(layoutOf(program, target.wordSize).size);
    link(program, target, baseOf(target.wordSize), memory, FUNCTIONS);
    return { program, memory };
  } catch (error) {
    assert.ok(error instanceof InternalError, `${(error as Error).stack}`);
    return null;
  }
}

for (const target of TARGETS) {
  const { wordSize } = target;
  const base = baseOf(wordSize);

  describe(`arbitrary programs with words of ${wordSize} bytes`, () => {
    test('no instruction points outside of its image', () => {
      let linked = 0;
      fc.assert(
        fc.property(program, (recipe) => {
          const result = linkOf(recipe, target);
          if (result === null) return;
          linked++;
          const words = wordsOf(result.memory, wordSize);
          const inside = (address: bigint, bytes: number): boolean =>
            address >= BigInt(base) &&
            address + BigInt(bytes) <= BigInt(base + result.memory.length);
          const { instructions } = result.program;
          instructions.forEach((instruction, i) => {
            const word = (n: number): bigint =>
              words[HEADER_WORDS + i * INSTRUCTION_WORDS + n] as bigint;
            const say = `instruction ${i} of ${JSON.stringify(recipe)}`;
            // The target is an instruction, the result a whole word.
            const distance = Number(word(WORD.target)) - base - HEADER_WORDS * wordSize;
            assert.equal(distance % (INSTRUCTION_WORDS * wordSize), 0, say);
            const leadsTo = distance / (INSTRUCTION_WORDS * wordSize);
            assert.ok(leadsTo >= 0 && leadsTo < instructions.length, say);
            assert.ok(inside(word(WORD.result), wordSize), say);
            instruction.args.forEach((operand: Operand, a) => {
              const written = word(WORD.argument + a);
              if (typeof operand === 'number') {
                assert.equal(written, BigInt.asUintN(wordSize * 8, BigInt(operand)), say);
              } else assert.ok(inside(written, 1), say);
            });
            if (instruction.op === 'call') assert.equal(word(WORD.number), BigInt(OUTSIDE), say);
          });
          for (const { at } of result.program.pointers) {
            const { data } = layoutOf(result.program, wordSize);
            assert.ok(inside(words[(data + at) / wordSize] as bigint, 1));
          }
        }),
        { numRuns: runs(3000) },
      );
      // Else the property would say nothing.
      assert.ok(linked > 100, `only ${linked} programs could be linked`);
    });

    test('what runs stays in its memory, and does not run off the end', () => {
      let ran = 0;
      fc.assert(
        fc.property(
          program,
          fc.array(fc.bigInt(-5000n, 5000n), { minLength: 1 }),
          (recipe, results) => {
            const result = linkOf(recipe, target);
            if (result === null || writesItself(result.program)) return;
            let calls = 0;
            const answer = (): bigint => results[calls++ % results.length] as bigint;
            const memory = new SimulatedMemory(result.memory, base, wordSize);
            try {
              const end = simulate(memory, { syscall: answer, call: answer }, 300);
              assert.equal(end.by, 'halt');
            } catch (error) {
              assert.match(
                (error as Error).message,
                /did not end after 300/,
                JSON.stringify(recipe),
              );
            }
            ran++;
          },
        ),
        { numRuns: runs(3000) },
      );
      assert.ok(ran > 100, `only ${ran} programs ran`);
    });
  });
}

/** Whether results go where they become addresses: then what happens is the program's own doing. */
function writesItself({ instructions }: Program): boolean {
  return instructions.some(({ result }) => (result as Place | null)?.section === 'code');
}
