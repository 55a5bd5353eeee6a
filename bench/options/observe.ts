import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { machine } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../root.js';
import { LIMITS } from './limits.js';
import { type Observation, type Probe, type Report, statField } from './observation.js';
import type { Answer, Row } from './row.js';
import type { Scratch } from './scratch.js';

/** What a row came to, and what is to be said of it. */
export interface Seen {
  readonly answer: Answer;
  /** What the program wrote to standard error. */
  readonly complaint: string;
}

/** Runs a peer's program for a row, and judges what it shows. */
export function observe(argv: readonly string[], row: Row, scratch: Scratch): Seen {
  const trace = join(scratch.path, 'trace');
  rmSync(trace, { force: true });
  const command = [...inSetting(row, trace), ...argv, row.id];
  const { stdout, stderr, status } = spawnSync(command[0] as string, command.slice(1), {
    cwd: scratch.path,
    encoding: 'utf8',
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      LC_ALL: 'C',
      PERL: scratch.perl,
      PROBE: scratch.probe,
      SCRATCH: scratch.path,
      GROUP: scratch.group,
      REPOSITORY: ROOT,
      MACHINE: machine(),
      LIMITS: JSON.stringify(LIMITS),
    },
  });
  const lines = stdout.split(/\r?\n/).filter((line) => line.startsWith('{'));
  const printed: unknown = lines.length === 0 ? null : JSON.parse(lines.at(-1) as string);
  const complaint = `${stderr.trim()} (exit code ${status})`;
  const traced = row.setting === 'traced' && existsSync(trace);
  if (printed === null && !traced) return { answer: 'no', complaint };
  const verdict = row.judge({
    probe: printed as Probe,
    report: (printed ?? {}) as Report,
    trace: traced ? readFileSync(trace, 'latin1') : '',
    scratch: scratch.path,
    group: scratch.group,
    here: here(),
  });
  const answer = typeof verdict === 'string' ? verdict : verdict ? 'yes' : 'no';
  return { answer, complaint };
}

/** The command in front of the peer's, by which its start differs. */
function inSetting({ setting }: Row, trace: string): readonly string[] {
  const terminal = join(ROOT, 'bench/options/programs/terminal.pl');
  switch (setting) {
    case 'signals':
      return ['env', '--block-signal=USR2', '--ignore-signal=PIPE', '--ignore-signal=USR1'];
    case 'terminal':
      return ['perl', terminal, 'free'];
    case 'ownTerminal':
      return ['perl', terminal, 'own'];
    case 'traced': {
      const calls = ['clone', 'clone3', '?fork', '?vfork', 'execve', 'execveat', 'kill', 'tgkill'];
      const all = [...calls, 'pidfd_send_signal'].join(',');
      return [
        'strace',
        '-f',
        '-qq',
        '-s',
        '200',
        '-o',
        trace,
        '-e',
        `trace=${all}`,
        '-e',
        'signal=none',
      ];
    }
    case 'withoutSetuid':
      return ['setpriv', '--bounding-set=-setuid', '--inh-caps=-setuid'];
    default:
      return [];
  }
}

function here(): Observation['here'] {
  const folder = '/proc/self/ns';
  return {
    ns: Object.fromEntries(
      readdirSync(folder).map((kind) => [kind, readlinkSync(join(folder, kind))]),
    ),
    group: statField({ stat: readFileSync('/proc/self/stat', 'latin1') }, 5),
  };
}
