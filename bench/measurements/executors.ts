import { type Executor, launch, spawn } from '../../src/index.js';
import { PROGRAM, type Times, WARM_UP } from '../launching.js';
import type { Measurement, Row, Target } from '../measurement.js';
import { alternate, type Sample } from '../sample.js';

const LIMIT = 60;

/** What an address space of its own for the plan costs: the image executor against `direct`. */
export const executors: Measurement = {
  name: 'executors',
  share: 2,
  async run({ budget }) {
    const schedule = { budget: budget / 2, block: 10, warmUp: WARM_UP };
    const [image, direct] = await alternate([spawned('image'), spawned('direct')], schedule);
    const kinds = [launched('image'), launched('direct')] as const;
    const [imageWaited, directWaited] = await alternate(kinds, schedule);
    const sides = ['image', 'direct'] as const;
    const row = (what: string, image: Sample, direct: Sample): Row => ({
      what,
      sides,
      unit: 'us',
      ours: image.median,
      theirs: direct.median,
      target: adds(image.median - direct.median),
      details: { image: image.summary, direct: direct.summary },
    });
    return [
      row('spawn() holds its thread', image.hold, direct.hold),
      row('spawn() to exit seen', image.total, direct.total),
      row('launch() holds its thread, until the exec', imageWaited.hold, directWaited.hold),
      row('launch() to exit seen', imageWaited.total, directWaited.total),
    ];
  },
};

function adds(microseconds: number): Target {
  return { text: `image adds less than ${LIMIT} us`, met: microseconds < LIMIT };
}

const spawned = (executor: Executor) => () =>
  new Promise<Times>((resolve) => {
    const start = performance.now();
    const child = spawn(PROGRAM, [], { stdio: 'ignore', executor });
    const hold = (performance.now() - start) * 1e3;
    child.once('exit', () => resolve({ hold, total: (performance.now() - start) * 1e3 }));
  });

const launched = (executor: Executor) => async (): Promise<Times> => {
  const start = performance.now();
  const { exited } = launch({ path: PROGRAM, executor });
  const hold = (performance.now() - start) * 1e3;
  await exited;
  return { hold, total: (performance.now() - start) * 1e3 };
};
