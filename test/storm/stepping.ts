import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

const library = new URL('../../src/index.js', import.meta.url).href;

export const missingStrace =
  spawnSync('strace', ['-V']).error !== undefined ? 'strace is missing' : false;

/** Lines of a stream, to be waited for. */
export class Lines {
  readonly #iterator: AsyncIterator<string>;

  constructor(stream: Readable) {
    this.#iterator = createInterface({ input: stream })[Symbol.asyncIterator]();
  }

  /** The next line that matches, or null if none comes. */
  async next(pattern: RegExp): Promise<RegExpExecArray | null> {
    for (;;) {
      const { value, done } = await this.#iterator.next();
      if (done) return null;
      const match = pattern.exec(value);
      if (match) return match;
    }
  }
}

/**
 * A Node that runs `code` once it is told to, with strace on it from just before: so that nothing
 * but a launch makes the system calls that are interfered with.
 */
export class SteppedParent {
  readonly process: ChildProcess;
  readonly output: Lines;
  #tracer: ChildProcess | null = null;
  #trace: Lines | null = null;

  private constructor(code: string) {
    const script = `
      import { once } from 'node:events';
      const { spawn, launch, spawnSync } = await import('${library}');
      await launch({ path: '/bin/true' }).exited;
      console.log('ready');
      await once(process.stdin, 'data');
      process.stdin.unref();
      ${code}`;
    const args = ['--input-type=module', '-e', script];
    this.process = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.output = new Lines(this.process.stdout as Readable);
  }

  static async start(code: string): Promise<SteppedParent> {
    const parent = new SteppedParent(code);
    await parent.output.next(/^ready$/);
    return parent;
  }

  /** Has strace send a signal to whoever makes a system call, and the code run. */
  async interfere(syscall: string, signal: 'KILL' | 'STOP', when = 1): Promise<void> {
    const inject = `inject=${syscall}:signal=${signal}:when=${when}`;
    const args = ['-f', '-p', `${this.process.pid}`, '-e', `trace=${syscall}`, '-e', inject];
    const tracer = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#tracer = tracer;
    this.#trace = new Lines(tracer.stderr as Readable);
    const attached = await this.#trace.next(/attached|Operation not permitted/);
    if (attached === null || attached[0] !== 'attached') throw new Error('strace cannot attach');
    this.process.stdin?.write('go\n');
  }

  /** The process that has stopped. */
  async stopped(): Promise<number> {
    const match = await this.#trace?.next(/\[pid +(\d+)\] --- stopped by SIGSTOP ---/);
    if (!match) throw new Error('nobody stopped');
    return Number(match[1]);
  }

  /** Ends both. strace goes first: one that is to detach from what is being killed may hang. */
  async end(): Promise<void> {
    for (const each of [this.#tracer, this.process]) {
      if (each === null || each.exitCode !== null || each.signalCode !== null) continue;
      const exit = once(each, 'exit');
      each.kill('SIGKILL');
      await exit;
    }
  }
}
