import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PROGRAM, WARM_UP } from '../launching.js';
import type { Measurement, Row, Skipped } from '../measurement.js';
import { PEER_PACKAGES } from '../peer-packages.js';
import { ROOT } from '../root.js';
import { Sample } from '../sample.js';

/** Launches that a process times before the next one's turn. */
const TURN = 250;

interface Peer {
  readonly name: string;
  /** The command that runs its script, or why there is none. */
  readonly command: readonly string[] | string;
}

interface Times {
  readonly hold: number[];
  readonly total: number[];
}

/** The same launch with other runtimes: each in processes of its own, in turns, by its own clock. */
export const peers: Measurement = {
  name: 'peers',
  share: 2,
  async run({ budget, peers: folder }) {
    const script = (name: string): string => join(ROOT, 'bench/peers', name);
    const all: readonly Peer[] = [
      {
        name: 'safeexec',
        command: [process.execPath, script('node.mjs'), join(ROOT, 'dist/index.js')],
      },
      { name: 'node', command: [process.execPath, script('node.mjs'), 'node:child_process'] },
      { name: 'Bun.spawn', command: command(find('bun', folder), script('bun.mjs')) },
      {
        name: 'Deno.Command',
        command: command(
          find('deno', folder),
          ...['run', '--quiet', '--no-config', '--allow-run', script('deno.mjs')],
        ),
      },
      {
        name: 'Python subprocess.Popen',
        command: command(find('python3', null), script('python.py')),
      },
    ];
    const taken = new Map<string, Times>();
    const end = performance.now() + budget;
    do {
      for (const { name, command } of all) {
        if (typeof command === 'string') continue;
        const times = turn(command);
        const sofar = taken.get(name) ?? { hold: [], total: [] };
        sofar.hold.push(...times.hold);
        sofar.total.push(...times.total);
        taken.set(name, sofar);
      }
    } while (performance.now() < end);

    const mine = taken.get('safeexec') as Times;
    const rows: (Row | Skipped)[] = [];
    for (const { name, command } of all) {
      if (name === 'safeexec') continue;
      const times = taken.get(name);
      if (times === undefined) {
        rows.push({ what: name, skipped: command as string });
        continue;
      }
      for (const figure of ['hold', 'total'] as const) {
        const [one, other] = [new Sample(mine[figure]), new Sample(times[figure])];
        rows.push({
          what: `${name}: ${figure === 'hold' ? 'holds its thread' : 'call to exit seen'}`,
          unit: 'us',
          ours: one.median,
          theirs: other.median,
          details: { safeexec: one.summary, [name]: other.summary },
        });
      }
    }
    return rows;
  },
};

function command(file: string | Skipped, ...args: readonly string[]): Peer['command'] {
  return typeof file === 'string' ? [file, ...args] : file.skipped;
}

/** A runtime's executable: what --peers installed, or else what PATH has. */
function find(what: string, folder: string | null): string | Skipped {
  const installed = folder === null ? [] : (PEER_PACKAGES[what]?.files(folder) ?? []);
  const onPath = (process.env.PATH ?? '').split(delimiter).map((part) => join(part, what));
  for (const file of [...installed, ...onPath]) if (existsSync(file)) return file;
  const hint = PEER_PACKAGES[what] === undefined ? '' : '; --peers installs it for the run';
  return { what, skipped: `there is no ${what} in PATH${hint}` };
}

function turn([file, ...args]: readonly string[]): Times {
  const text = execFileSync(file as string, [...args, PROGRAM, String(WARM_UP), String(TURN)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(text) as Times;
}
