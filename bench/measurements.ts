import type { Measurement } from './measurement.js';
import { channel } from './measurements/channel.js';
import { executors } from './measurements/executors.js';
import { forms } from './measurements/forms.js';
import { hold } from './measurements/hold.js';
import { output } from './measurements/output.js';
import { peers } from './measurements/peers.js';
import { pipes } from './measurements/pipes.js';
import { sandbox } from './measurements/sandbox.js';
import { serialising } from './measurements/serialising.js';
import { throughput } from './measurements/throughput.js';

/** All measurements, in the order of the table. */
export const MEASUREMENTS: readonly Measurement[] = [
  hold,
  throughput,
  executors,
  serialising,
  pipes,
  output,
  forms,
  channel,
  sandbox,
  peers,
];
