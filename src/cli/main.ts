#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { UnsupportedError } from '../errors.js';
import { HELP, isSubcommand, type Subcommand } from './help.js';
import { UsageError } from './usage.js';

/** The exit code of what was used in a wrong way. */
const MISUSED = 2;

/** That of what this machine lacks, as of any other launch that fails. */
const FAILED = 125;

/** Each is loaded when it is used: what only explains must not touch the binding. */
const SUBCOMMANDS: Readonly<Record<Subcommand, (argv: readonly string[]) => Promise<number>>> = {
  run: async (argv) => (await import('./run.js')).run(argv),
  explain: async (argv) => (await import('./explain.js')).explain(argv),
  doctor: async (argv) => (await import('./doctor.js')).doctor(argv),
  help: async ([subject = 'help']) => {
    if (!isSubcommand(subject)) throw new UsageError(`there is no subcommand '${subject}'`);
    process.stdout.write(HELP[subject]);
    return 0;
  },
};

async function main([name, ...rest]: readonly string[]): Promise<number> {
  if (name === undefined) {
    process.stderr.write(HELP.help);
    return MISUSED;
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  try {
    if (name === '--help' || name === '-h') return await SUBCOMMANDS.help(rest);
    if (isSubcommand(name)) return await SUBCOMMANDS[name](rest);
    const noun = name.startsWith('-') ? 'option' : 'subcommand';
    throw new UsageError(`there is no ${noun} '${name}'`);
  } catch (error) {
    if (error instanceof UnsupportedError) {
      process.stderr.write(`${error.message}\n`);
      return FAILED;
    }
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`safeexec: ${error.message}\nTry 'safeexec help'.\n`);
    return MISUSED;
  }
}

/** The version in package.json: one folder further up where the sources were built for tests. */
function version(): string {
  for (const up of ['../../', '../../../']) {
    try {
      const text = readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8');
      return String(JSON.parse(text).version);
    } catch {}
  }
  return 'unknown';
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read the output has seen enough.
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await main(process.argv.slice(2));
