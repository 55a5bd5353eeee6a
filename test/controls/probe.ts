import assert from 'node:assert/strict';
import { spawnSync as nodeSpawnSync } from 'node:child_process';
import { type SpawnError, type SpawnSyncOptions, spawnSync } from '../../src/index.js';

/** What a command writes that is started with some options. */
export function outputOf([file, ...args]: readonly string[], options: SpawnSyncOptions): string {
  const { stdout, stderr, status, error } = spawnSync(file as string, args, {
    encoding: 'utf8',
    ...options,
  });
  assert.ifError(error);
  assert.equal(status, 0, String(stderr));
  return String(stdout);
}

/** A file of /proc, as a process with these options has it. */
export function procFile(name: string, options: SpawnSyncOptions): string {
  return outputOf(['cat', `/proc/self/${name}`], options);
}

/** A line of /proc/self/status. */
export function statusLine(name: string, options: SpawnSyncOptions): string | undefined {
  const text = procFile('status', options);
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1];
}

/** Code and step of the error that a launch gives. */
export function failureOf(
  file: string,
  options: SpawnSyncOptions,
): [string | undefined, string | undefined] {
  const error = spawnSync(file, [], options).error as SpawnError | undefined;
  return [error?.code, error?.step];
}

/** The same, of a program that is there. */
export function failureWith(options: SpawnSyncOptions): [string | undefined, string | undefined] {
  return failureOf('/bin/true', options);
}

/** What Node's own spawnSync gets of a command, or null where that is not installed. */
export function peerOutput([file, ...args]: readonly string[]): string | null {
  const { stdout, error } = nodeSpawnSync(file as string, args, { encoding: 'utf8' });
  return error === undefined ? stdout : null;
}

export const isRoot = process.getuid?.() === 0;

/** What code writes that runs in a Node process with these options; it has `spawnSync`. */
export function nodeOutput(code: string, options: SpawnSyncOptions): string {
  const index = new URL('../../src/index.js', import.meta.url).href;
  const script = `const { spawnSync } = await import('${index}');\n${code}`;
  return outputOf([process.execPath, '--input-type=module', '-e', script], options);
}

/**
 * The failures, as `CODE step`, that somebody without privileges gets for each of some options.
 * `limits` are those that he starts with.
 */
export function failuresWithoutPrivileges(
  options: readonly SpawnSyncOptions[],
  limits: SpawnSyncOptions['limits'] = {},
): string[] {
  const code = `
    const failures = ${JSON.stringify(options)}.map((options) => {
      const { error } = spawnSync('/bin/true', [], options);
      return error ? error.code + ' ' + error.step : 'none';
    });
    console.log(JSON.stringify(failures));`;
  const nobody = isRoot ? { uid: 65_534, gid: 65_534 } : {};
  return JSON.parse(nodeOutput(code, { ...nobody, cwd: '/', limits }));
}
