import type { SpawnError } from '../process/child-process.js';
import { engine } from '../process/engine.js';
import { spawn } from '../process/spawn.js';
import { signalNumber } from '../validate.js';
import { COMMAND_OPTIONS, type Command, readCommand, withControls } from './command.js';
import { parseDuration } from './duration.js';
import { HELP } from './help.js';
import { forwardSignals, numberOfSignal } from './signals.js';
import { parseOptions, splitCommand, UsageError } from './usage.js';

/** Exit codes, as of timeout(1) and env(1). */
const TIMED_OUT = 124;
const FAILED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

const OPTIONS = {
  ...COMMAND_OPTIONS,
  timeout: { type: 'string' },
  'kill-signal': { type: 'string' },
  debug: { type: 'boolean' },
} as const;

/** Errors of exec that are the file's own fault. */
const REFUSED = new Set(['EACCES', 'ENOEXEC', 'EPERM', 'EISDIR', 'ELIBBAD', 'ELOOP', 'ETXTBSY']);

/** `safeexec run`: starts a command, and gives the code to exit with when it has ended. */
export async function run(argv: readonly string[]): Promise<number> {
  const flags = withControls(OPTIONS);
  const { own, command: words } = splitCommand(argv, flags);
  const values = parseOptions(own, flags);
  if (values.help) {
    process.stdout.write(HELP.run);
    return 0;
  }
  const command = readCommand(values, words);
  const timeout = values.timeout === undefined ? 0 : parseDuration(values.timeout);
  const killSignal = readSignal(values['kill-signal'] ?? 'SIGTERM');
  try {
    return await runCommand(command, timeout, killSignal, values.debug ?? false);
  } catch (error) {
    const { message, step, code } = error as SpawnError;
    // An error that has no message of its own would say nothing at all.
    const where = step === undefined ? '' : ` (step: ${step})`;
    const text = (message || String(code)).replace(/^safeexec: /, '');
    process.stderr.write(`safeexec: ${text}${where}\n`);
    return exitCodeFor(error as SpawnError);
  }
}

async function runCommand(
  { file, args, cwd, env, argv0, executor, controls }: Command,
  timeout: number,
  killSignal: number,
  debug: boolean,
): Promise<number> {
  // The listeners come first: a signal that arrives during the launch is for the child too.
  let pid: number | undefined;
  let kill = (_: NodeJS.Signals): void => {};
  const stop = forwardSignals(
    () => pid,
    (signal) => kill(signal),
  );
  let timer: NodeJS.Timeout | undefined;
  let timedOut = false;
  try {
    const before = performance.now();
    const own = { stdio: 'inherit', cwd, env, argv0, executor } as const;
    const child = spawn(file, args, { ...controls, ...own });
    const took = performance.now() - before;
    pid = child.pid;
    kill = (signal) => void child.kill(signal);
    const ended = new Promise<number>((resolve, reject) => {
      child.on('error', (error: SpawnError) => {
        // A signal that must not be sent, to a set-user-ID program say: the command goes on.
        if (error.syscall === 'kill') process.stderr.write(`safeexec: ${error.message}\n`);
        else reject(error);
      });
      child.once('exit', (code, signal) => {
        if (code !== null) resolve(code);
        else if (signal !== null) resolve(128 + numberOfSignal(signal));
        else reject(new Error(`somebody else reaped the process ${pid}: its code is not known`));
      });
    });
    if (debug && pid !== undefined) {
      const { executor: used } = engine().launcher.last ?? {};
      const line = `pid ${pid}, executor ${used}, the launch took ${took.toFixed(2)} ms`;
      process.stderr.write(`safeexec: ${line}\n`);
    }
    if (timeout > 0) {
      timer = setTimeout(() => {
        timedOut = true;
        child.kill(killSignal);
        // A stopped process takes no other signal than SIGKILL until it is continued.
        child.kill('SIGCONT');
      }, timeout);
    }
    const code = await ended;
    return timedOut ? TIMED_OUT : code;
  } finally {
    clearTimeout(timer);
    stop();
  }
}

/** A signal by its number, or its name, with SIG or without. */
function readSignal(text: string): number {
  const name = text.toUpperCase();
  for (const spelling of [/^\d+$/.test(text) ? Number(text) : name, `SIG${name}`]) {
    try {
      return signalNumber(spelling);
    } catch {}
  }
  throw new UsageError(`there is no signal '${text}'`);
}

function exitCodeFor({ step, code }: SpawnError): number {
  if (step !== 'exec' || code === undefined) return FAILED;
  if (code === 'ENOENT' || code === 'ENOTDIR') return NOT_FOUND;
  return REFUSED.has(code) ? NOT_EXECUTABLE : FAILED;
}
