import { launches, TURN, WARM_UP } from '../launching.js';
import { atMost, type Measurement } from '../measurement.js';
import { alternate } from '../sample.js';

/** How long spawn() holds its thread when it makes three pipes. */
export const pipes: Measurement = {
  name: 'pipes',
  share: 2,
  async run({ budget }) {
    const schedule = { budget, block: TURN, warmUp: WARM_UP };
    const [ours, node] = await alternate(launches('pipe'), schedule);
    const ratio = ours.hold.median / node.hold.median;
    return [
      {
        what: 'spawn() with three pipes holds its thread',
        unit: 'us',
        ours: ours.hold.median,
        theirs: node.hold.median,
        target: atMost(ratio, 1 / 4, "at most 1/4 of Node's"),
        details: { ours: ours.hold.summary, node: node.hold.summary },
      },
      {
        what: 'spawn() with three pipes to close seen',
        unit: 'us',
        ours: ours.total.median,
        theirs: node.total.median,
        details: { ours: ours.total.summary, node: node.total.summary },
      },
    ];
  },
};
