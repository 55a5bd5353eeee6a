import type { Executor } from '../launch/executor.js';
import { HELP } from './help.js';
import { Missing, PROBES, type Probe } from './probes.js';
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
  /** The executor to use. */
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
  const verdict = judge(findings);
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

function judge(findings: readonly Finding[]): Verdict {
  const find = (name: string) => findings.find((finding) => finding.name === name);
  const [image, direct] = [find('image executor'), find('direct executor')];
  if (image?.ok) return { ok: true, executor: 'image', why: 'it is the default, and works' };
  if (direct?.ok) {
    const ask = "it must be asked for: executor: 'direct', or --executor direct";
    return { ok: true, executor: 'direct', why: `image does not work, direct does; ${ask}` };
  }
  return { ok: false, executor: null, why: 'no process can be started; the lines above say why' };
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
