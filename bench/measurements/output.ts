import * as node from 'node:child_process';
import type { Readable } from 'node:stream';
import * as ours from '../../src/index.js';
import { atLeast, type Measurement } from '../measurement.js';
import { alternate } from '../sample.js';

const MB = 1e6;

type Start = (file: string, args: string[]) => { readonly stdout: Readable | null };

/** Reading a large output to its end. */
export const output: Measurement = {
  name: 'output',
  share: 2,
  async run({ budget, quick }) {
    const size = quick ? 256 * MB : 1000 * MB;
    const reads = (start: Start) => async () => ({ rate: await read(start, size) });
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    const [mine, theirs] = await alternate(
      [
        reads((file, args) => ours.spawn(file, args, { stdio })),
        reads((file, args) => node.spawn(file, args, { stdio: [...stdio] })),
      ],
      { budget, block: 1, warmUp: 1, atLeast: 3 },
    );
    const ratio = mine.rate.median / theirs.rate.median;
    return [
      {
        what: `reading ${size / MB} MB of stdout`,
        unit: 'MB/s',
        ours: mine.rate.median,
        theirs: theirs.rate.median,
        // Equal within what two runs of the same differ by.
        target: atLeast(ratio, 0.95, "at least Node's, within 5 %"),
        details: { ours: mine.rate.summary, node: theirs.rate.summary },
      },
    ];
  },
};

/** Megabytes a second. */
function read(start: Start, size: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    let got = 0;
    const { stdout } = start('head', ['-c', String(size), '/dev/zero']);
    stdout?.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    stdout?.once('end', () => {
      if (got !== size) reject(new Error(`read ${got} bytes of ${size}`));
      else resolve(size / MB / ((performance.now() - began) / 1e3));
    });
  });
}
