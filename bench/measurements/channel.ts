import * as node from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ours from '../../src/index.js';
import { atLeast, type Measurement } from '../measurement.js';
import { alternate } from '../sample.js';

/** Messages to a forked process and back, one after the other. */
export const channel: Measurement = {
  name: 'channel',
  share: 1,
  async run({ budget, quick }) {
    const count = quick ? 2000 : 10_000;
    const folder = mkdtempSync(join(tmpdir(), 'safeexec-bench-'));
    const echo = join(folder, 'echo.cjs');
    writeFileSync(echo, "process.on('message', (message) => process.send(message));\n");
    const trip = (fork: (file: string) => node.ChildProcess) => async () => ({
      time: await roundTrips(fork(echo), count),
    });
    try {
      const [mine, theirs] = await alternate(
        [
          trip((file) => ours.fork(file) as unknown as node.ChildProcess),
          trip((file) => node.fork(file)),
        ],
        { budget, block: 1, warmUp: 1, atLeast: 3 },
      );
      const ratio = theirs.time.median / mine.time.median;
      return [
        {
          what: `${count} messages to a forked process and back`,
          unit: 'ms',
          ours: mine.time.median,
          theirs: theirs.time.median,
          target: atLeast(ratio, 0.95, "at least Node's speed, within 5 %"),
          details: { ours: mine.time.summary, node: theirs.time.summary },
        },
      ];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/** Milliseconds from the first answer, when the process is up, to the last. */
function roundTrips(child: node.ChildProcess, count: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let began = 0;
    let left = count;
    child.on('error', reject);
    child.on('message', () => {
      if (began === 0) began = performance.now();
      else if (--left === 0) {
        const time = performance.now() - began;
        child.once('exit', () => resolve(time));
        child.disconnect();
        return;
      }
      child.send({ number: left });
    });
    child.send({ number: count });
  });
}
