import type { Executor } from '../launch/executor.js';
import { nameOf, type Way } from '../launch/ways.js';
import { HELP } from './help.js';
import { PROBES, type Probe } from './probes.js';
import { Missing, tryLaunch } from './trial.js';
import { parseOptions } from './usage.js';

const OPTIONS = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;

/** What a probe found. */
interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** Of what is there. */
  readonly detail?: string;
  /** Why it is missing, and what that means. */
  readonly reason?: string;
  readonly meaning?: string;
}

interface Verdict {
  /** Whether processes can be started. */
  readonly ok: boolean;
  /** The executor that is used where none is named. */
  readonly executor: Executor | null;
  readonly why: string;
}

/** `safeexec doctor`: what this machine offers. 0 if processes can be started, else 1. */
export async function doctor(argv: readonly string[]): Promise<number> {
  const { json = false, help } = parseOptions(argv, OPTIONS);
  if (help) {
    process.stdout.write(HELP.doctor);
    return 0;
  }
  const findings: Finding[] = [];
  for (const probe of PROBES) findings.push(await examine(probe));
  const verdict = await judge();
  process.stdout.write(
    json
      ? `${JSON.stringify({ ...verdict, node: process.version, findings }, null, 2)}\n`
      : format(findings, verdict),
  );
  return verdict.ok ? 0 : 1;
}

async function examine({ name, meaning, look }: Probe): Promise<Finding> {
  try {
    return { name, ok: true, detail: await look() };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // Anything else than Missing and what the engine itself says is worth its name.
    const known = error instanceof Missing || (error as Error).name === 'UnsupportedError';
    const text = known ? reason.replace(/^safeexec: /, '') : `unexpected: ${reason}`;
    return { name, ok: false, reason: text, meaning };
  }
}

/** What a launch takes that names no executor. */
async function judge(): Promise<Verdict> {
  let way: Way;
  try {
    ({ way } = await tryLaunch());
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    return { ok: false, executor: null, why: 'no process can be started; the lines above say why' };
  }
  const { executor } = way;
  if (way.image === 'memfd') return { ok: true, executor, why: 'it is the default, and works' };
  const why =
    way.image === 'file'
      ? `memfds are refused, so the image goes into ${nameOf(way)}`
      : 'image does not work; where credentials change, nothing does';
  return { ok: true, executor, why };
}

function format(findings: readonly Finding[], { executor, why }: Verdict): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, ok, detail, reason, meaning }) => {
    const column = name.padEnd(width);
    if (ok) return [`yes  ${column}  ${detail}`];
    return [`no   ${column}  ${reason}`, `     ${''.padEnd(width)}  meaning: ${meaning}`];
  });
  return [...lines, '', `executor: ${executor ?? 'none'} (${why})`, ''].join('\n');
}
