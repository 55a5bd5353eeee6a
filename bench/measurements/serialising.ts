import { CompiledPlans } from '../../src/launch/compiled-plans.js';
import { Memory } from '../../src/launch/memory.js';
import { vectorsSize, writeVectors } from '../../src/launch/vectors.js';
import { engine } from '../../src/process/engine.js';
import { pairs } from '../../src/process/environment.js';
import { spawnPlan } from '../../src/process/spawn-plan.js';
import { PROGRAM } from '../launching.js';
import type { Measurement } from '../measurement.js';
import { Sample } from '../sample.js';

const VARIABLES = 40;
const LIMIT = 20;
/** As high as the error pipe of a small process is. */
const ERROR_PIPE = 24;

/**
 * From options with a plain object of 40 variables to the bytes that a launch starts from: the
 * vectors and the image. Nothing is started.
 */
export const serialising: Measurement = {
  name: 'serialising',
  share: 0.5,
  async run({ budget }) {
    const { binding } = engine().kernel;
    const env = Object.fromEntries(
      Array.from({ length: VARIABLES }, (_, i) => [`VARIABLE_${i}`, `/some/value/of/number/${i}`]),
    );
    const argv = [PROGRAM];
    const arena = new Memory(binding.run, binding.machine.wordSize, 1 << 16);
    const serialise = (plans: CompiledPlans): number => {
      const plan = spawnPlan({ file: PROGRAM }, [PROGRAM], new Map(), [
        { type: 'open', fd: 0, path: '/dev/null', flags: 0 },
        { type: 'open', fd: 1, path: '/dev/null', flags: 2 },
        { type: 'open', fd: 2, path: '/dev/null', flags: 2 },
      ]);
      const list = pairs(env);
      plans.compile(plan, plans.study(plan), 'image', ERROR_PIPE, argv.length);
      if (vectorsSize(argv, list, arena.wordSize) > arena.bytes.length) {
        throw new Error('the arena is too small');
      }
      return writeVectors(arena, 0, argv, list).end;
    };
    const kept = new CompiledPlans(binding, true);
    const warm = sample(budget / 2, () => serialise(kept));
    // A thread has one CompiledPlans from its first launch on; only the plan is new to it.
    const cold = sample(budget / 2, serialise, () => new CompiledPlans(binding, true));
    return [
      {
        what: `plan and ${VARIABLES} variables to bytes, plan seen before`,
        unit: 'us',
        ours: warm.median,
        target: { text: `less than ${LIMIT} us`, met: warm.median < LIMIT },
        details: { warm: warm.summary },
      },
      {
        what: `plan and ${VARIABLES} variables to bytes, plan new`,
        unit: 'us',
        ours: cold.median,
        details: { cold: cold.summary },
      },
    ];
  },
};

/** Microseconds of each call of `work`, without what `prepare` takes. */
function sample<T>(budget: number, work: (prepared: T) => void, prepare?: () => T): Sample {
  const times: number[] = [];
  const end = performance.now() + budget;
  while (performance.now() < end) {
    const prepared = prepare?.() as T;
    const start = performance.now();
    work(prepared);
    times.push((performance.now() - start) * 1e3);
  }
  return new Sample(times.slice(Math.floor(times.length / 4)));
}
