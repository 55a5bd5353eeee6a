import { once } from 'node:events';
import { constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import {
  type FileAction,
  type LaunchOptions,
  launch,
  run,
  type SpawnOptions,
  spawn,
} from '../../../src/index.js';
import type { Surroundings } from './options.js';
import { parseReport, type Report } from './report.js';
import { observe } from './walk.js';

/** The program, and what is completed in its options. */
function completed(options: SpawnOptions, { probe }: Surroundings): [string, SpawnOptions] {
  const cwd = options.cwdFd === undefined ? { cwd: '/' } : {};
  return [
    options.execFd === undefined ? probe : '/no/such/program',
    { stdio: ['ignore', 'pipe', 'inherit'], env: {}, ...cwd, ...options },
  ];
}

/** A launch in each of the ways that there are. */
export const FORMS = {
  spawnSync: async (options, here) => observe(options, here),

  async spawn(given, here) {
    const [file, options] = completed(given, here);
    const child = spawn(file, [], options);
    const [bytes] = await Promise.all([
      buffer(child.stdout as NodeJS.ReadableStream),
      once(child, 'close'),
    ]);
    return parseReport(bytes);
  },

  async run(given, here) {
    const [file, options] = completed(given, here);
    const { stdout } = await run(file, [], { ...options, encoding: 'buffer' });
    return parseReport(stdout as Buffer);
  },

  async launch(given, here) {
    const [path, { stdio, detached, argv0, ...options }] = completed(given, here);
    const output = join(here.folder, 'output');
    const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
    const actions: FileAction[] = [
      { type: 'open', fd: 0, path: '/dev/null' },
      { type: 'open', fd: 1, path: output, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644 },
    ];
    const terminal = (stdio as unknown[])[3];
    if (typeof terminal === 'number') actions.push({ type: 'dup2', from: terminal, to: 3 });
    const child = launch({
      ...(options as Partial<LaunchOptions>),
      ...{ path, argv: [argv0 ?? path], actions },
      ...(detached ? { setsid: true } : {}),
    });
    await child.exited;
    return parseReport(readFileSync(output));
  },
} satisfies Record<string, (options: SpawnOptions, here: Surroundings) => Promise<Report>>;
