import { availableMemory } from '../available-memory.js';
import { launches, TURN, WARM_UP } from '../launching.js';
import { atMost, type Measurement, type Row, type Skipped } from '../measurement.js';
import { alternate } from '../sample.js';

const GIB = 1024 ** 3;
const LARGE = 4 * GIB;

/** How long spawn() holds its thread, and how long a launch takes; in a small and a large process. */
export const hold: Measurement = {
  name: 'hold',
  share: 3,
  async run({ budget }) {
    const kinds = launches('ignore');
    const schedule = { budget: budget * 0.65, block: TURN, warmUp: WARM_UP };
    const [ours, node] = await alternate(kinds, schedule);
    const small = megabytes();
    const ratio = ours.hold.median / node.hold.median;
    const totalRatio = ours.total.median / node.total.median;
    const rows: (Row | Skipped)[] = [
      {
        what: `spawn() holds its thread, ${small} MB resident`,
        unit: 'us',
        ours: ours.hold.median,
        theirs: node.hold.median,
        target: atMost(ratio, 1 / 6, "at most 1/6 of Node's"),
        details: { ours: ours.hold.summary, node: node.hold.summary },
      },
      {
        what: 'spawn() to exit seen, one at a time',
        unit: 'us',
        ours: ours.total.median,
        theirs: node.total.median,
        target: atMost(totalRatio, 0.75, "at most 0.75 of Node's"),
        details: { ours: ours.total.summary, node: node.total.summary },
      },
    ];

    const what = 'spawn() holds its thread, 4 GB resident';
    const available = availableMemory();
    if (available < LARGE * 1.5) {
      const free = (available / GIB).toFixed(1);
      return [...rows, { what, skipped: `needs 6 GiB of memory, and ${free} are free` }];
    }
    const ballast = Array.from({ length: 4 }, () => Buffer.alloc(GIB, 1));
    // Few turns: at this size a fork takes a tenth of a second, and leaves a million pages behind
    // that are paid for one by one.
    const [large, largeNode] = await alternate(kinds, {
      budget: budget * 0.35,
      block: TURN / 2,
      warmUp: 2,
    });
    const resident = megabytes();
    if (ballast.length === 0) throw new Error('the ballast is gone');
    const growth = large.hold.median / ours.hold.median;
    rows.push(
      {
        what: `spawn() holds its thread, ${resident} MB resident`,
        unit: 'us',
        ours: large.hold.median,
        theirs: largeNode.hold.median,
        details: { ours: large.hold.summary, node: largeNode.hold.summary },
      },
      {
        what: `the same, ${resident} against ${small} MB resident`,
        sides: ['large', 'small'],
        unit: 'us',
        ours: large.hold.median,
        theirs: ours.hold.median,
        target: atMost(growth, 1.5, 'at most 1.5 times'),
      },
    );
    return rows;
  },
};

function megabytes(): number {
  return Math.round(process.memoryUsage().rss / 1024 ** 2);
}
