import * as node from 'node:child_process';
import * as ours from '../../src/index.js';
import { PROGRAM } from '../launching.js';
import { atLeast, type Measurement } from '../measurement.js';
import { alternate } from '../sample.js';

const BATCH = 1000;
const AT_A_TIME = 200;

type Start = () => { once(event: 'exit', listener: () => void): unknown };

/** Launches a second when many run at a time. */
export const throughput: Measurement = {
  name: 'throughput',
  share: 2,
  async run({ budget, quick }) {
    const batches = (start: Start) => async () => ({ rate: await batch(start) });
    const [mine, theirs] = await alternate(
      [
        batches(() => ours.spawn(PROGRAM, [], { stdio: 'ignore' })),
        batches(() => node.spawn(PROGRAM, [], { stdio: 'ignore' })),
      ],
      { budget, block: 1, warmUp: 1, atLeast: quick ? 2 : 3 },
    );
    const ratio = mine.rate.median / theirs.rate.median;
    return [
      {
        what: `${BATCH} launches, ${AT_A_TIME} at a time`,
        unit: 'launches/s',
        ours: mine.rate.median,
        theirs: theirs.rate.median,
        target: atLeast(ratio, 1.5, "at least 1.5 times Node's"),
        details: { ours: mine.rate.summary, node: theirs.rate.summary },
      },
    ];
  },
};

/** Runs a batch; launches a second. */
function batch(start: Start): Promise<number> {
  return new Promise((resolve) => {
    let started = 0;
    let ended = 0;
    const began = performance.now();
    const next = (): void => {
      started++;
      start().once('exit', () => {
        ended++;
        if (started < BATCH) next();
        if (ended === BATCH) resolve((BATCH * 1000) / (performance.now() - began));
      });
    };
    while (started < AT_A_TIME) next();
  });
}
