// Runs one measurement in this process; the result goes to the parent over the IPC channel.

import type { Context } from './measurement.js';
import { MEASUREMENTS } from './measurements.js';

const [name, context] = process.argv.slice(2) as [string, string];
const measurement = MEASUREMENTS.find((each) => each.name === name);
if (measurement === undefined) throw new Error(`there is no measurement ${name}`);
const rows = await measurement.run(JSON.parse(context) as Context);
process.send?.(rows, () => process.disconnect());
