import * as node from 'node:child_process';
import * as ours from '../../src/index.js';
import { PROGRAM, WARM_UP } from '../launching.js';
import { atMost, type Measurement, type Row } from '../measurement.js';
import { alternate, type Take } from '../sample.js';

interface Time {
  readonly time: number;
}

/** The other forms: to the end of a program that does nothing, and of one that writes much. */
export const forms: Measurement = {
  name: 'forms',
  share: 2,
  async run({ budget, quick }) {
    const size = quick ? 20e6 : 100e6;
    const output = [['-c', String(size), '/dev/zero'], { maxBuffer: size }] as const;
    const rows: Row[] = [];
    const row = async (
      what: string,
      unit: 'us' | 'ms',
      takes: readonly [Take<Time>, Take<Time>],
      [block, warmUp, share]: readonly [number, number, number],
    ): Promise<void> => {
      const schedule = { budget: budget * share, block, warmUp, atLeast: 3 };
      const [mine, theirs] = await alternate(takes, schedule);
      const scale = unit === 'us' ? 1e3 : 1;
      rows.push({
        what,
        unit,
        ours: mine.time.median * scale,
        theirs: theirs.time.median * scale,
        target: atMost(mine.time.median / theirs.time.median, 1.05, "at most Node's, within 5 %"),
        details: { ours: mine.time.summary, node: theirs.time.summary },
      });
    };
    const cheap = [10, WARM_UP / 3, 0.2] as const;
    await row('execFile() to its callback', 'us', pair(callback('execFile')), cheap);
    await row('exec() to its callback', 'us', pair(callback('exec')), cheap);
    await row('spawnSync()', 'us', pair(timed((cp) => cp.spawnSync(PROGRAM))), cheap);
    await row(
      `execFileSync() with ${size / 1e6} MB of output`,
      'ms',
      pair(timed((cp) => cp.execFileSync('head', output[0], output[1]))),
      [1, 1, 0.4],
    );
    return rows;
  },
};

type Module = Pick<typeof node, 'exec' | 'execFile' | 'execFileSync' | 'spawnSync'>;

/** The same with ours and with Node's. */
function pair(take: (module: Module) => Take<Time>): readonly [Take<Time>, Take<Time>] {
  return [take(ours as unknown as Module), take(node)];
}

function timed(run: (module: Module) => unknown): (module: Module) => Take<Time> {
  return (module) => () => {
    const began = performance.now();
    run(module);
    return { time: performance.now() - began };
  };
}

function callback(form: 'exec' | 'execFile'): (module: Module) => Take<Time> {
  return (module) => () =>
    new Promise((resolve, reject) => {
      const began = performance.now();
      const done = (error: Error | null): void => {
        if (error) reject(error);
        else resolve({ time: performance.now() - began });
      };
      if (form === 'exec') module.exec(PROGRAM, done);
      else module.execFile(PROGRAM, done);
    });
}
