import {
  type ChildProcess,
  execFile,
  type SendHandle,
  type Serializable,
} from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The preload, for `--import` and for `--require`. */
export const REGISTER = new URL('../../src/register.js', import.meta.url).href;
export const REGISTER_CJS = fileURLToPath(new URL('../../src/register.cjs', import.meta.url));
export const LIBRARY = new URL('../../src/index.js', import.meta.url).href;

/** Path of a program in fixtures/. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface NodeOptions {
  readonly node?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Runs Node to its end, with Node's own functions; one that hangs is ended after a minute. */
export function runNode(args: readonly string[], options: NodeOptions = {}): Promise<Ended> {
  const { node = process.execPath, env, cwd } = options;
  const settings = { timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 2 ** 27 } as const;
  return new Promise((resolve) => {
    const child = execFile(
      node,
      [...args],
      { ...settings, cwd, env: environment(env) },
      (_, stdout, stderr) => {
        resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr });
      },
    );
  });
}

/** This process's environment, without what its own run by a test runner put there. */
export function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...rest } = process.env;
  return { ...rest, ...extra };
}

/** The next message of a child, with its handle if it has one. */
export async function message(child: ChildProcess): Promise<[Serializable, SendHandle?]> {
  return (await once(child, 'message')) as [Serializable, SendHandle?];
}

export async function exit(child: ChildProcess): Promise<[number | null, string | null]> {
  if (child.exitCode !== null || child.signalCode !== null) {
    return [child.exitCode, child.signalCode];
  }
  return (await once(child, 'exit')) as [number | null, string | null];
}

/** Reads a stream to its end. */
export async function text(stream: NodeJS.ReadableStream | null | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

/** A JSON.parse that says what it could not parse. */
export function parse<T>({ stdout, stderr, code, signal }: Ended): T {
  try {
    return JSON.parse(stdout) as T;
  } catch {
    throw new Error(`no JSON from a child (${code ?? signal}): ${stdout}\n${stderr}`);
  }
}
