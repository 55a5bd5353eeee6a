import { randomBytes } from 'node:crypto';
import { constants, fstatSync } from 'node:fs';
import { LaunchError } from '../errors.js';
import { __O_TMPFILE, AT_FDCWD, EACCES, EINTR, O_CLOEXEC } from '../plan/constants.js';
import type { InFlight } from './in-flight.js';

/** Name of the step, in errors. */
export const IMAGE_FILE = 'image file';

/** Nobody may open it for writing, and only its owner for reading. */
const MODE = 0o500;

/**
 * Writes an image into a file without a name, for where memory must not be executed. Gives a
 * descriptor that is open for reading only: the kernel does not execute what is open for writing
 * (ETXTBSY). That can still be so for a moment, if another thread has forked meanwhile. It is in
 * flight.
 */
export function writeImageFile(
  inFlight: InFlight,
  folder: string,
  image: { readonly address: number; readonly size: number },
): number {
  const { writer, reader } = openUnnamed(inFlight, folder) ?? openNamed(inFlight, folder);
  try {
    for (let at = 0; at < image.size; ) {
      const written = inFlight.kernel.call('write', writer, image.address + at, image.size - at);
      if (written !== -EINTR) at += must(written, 'write', folder);
    }
  } catch (error) {
    inFlight.close(reader);
    throw error;
  } finally {
    inFlight.close(writer);
  }
  return reader;
}

interface OpenFile {
  readonly writer: number;
  readonly reader: number;
}

/** Needs O_TMPFILE, which not every file system has, and /proc; null without them. */
function openUnnamed(inFlight: InFlight, folder: string): OpenFile | null {
  const { O_RDWR, O_DIRECTORY, O_EXCL, O_RDONLY } = constants;
  const writer = open(inFlight, folder, __O_TMPFILE | O_DIRECTORY | O_RDWR | O_EXCL);
  if (writer < 0) return null;
  // The mask of the process may have taken away what its owner needs.
  inFlight.kernel.call('fchmod', writer, MODE);
  const reader = open(inFlight, `/proc/self/fd/${writer}`, O_RDONLY);
  if (reader >= 0) return { writer, reader };
  inFlight.close(writer);
  return null;
}

/** A file whose name is gone when this returns. */
function openNamed(inFlight: InFlight, folder: string): OpenFile {
  const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const path = `${folder}/.safeexec-${randomBytes(12).toString('hex')}`;
  const writer = must(open(inFlight, path, O_RDWR | O_CREAT | O_EXCL), 'openat', folder);
  inFlight.kernel.call('fchmod', writer, MODE);
  const reader = open(inFlight, path, O_RDONLY | O_NOFOLLOW);
  inFlight.kernel.call('unlinkat', AT_FDCWD, inFlight.kernel.string(path), 0);
  // Where others may rename files of ours, the name may have led to another file by then.
  if (reader >= 0 && isSame(writer, reader)) return { writer, reader };
  for (const fd of [writer, reader]) if (fd >= 0) inFlight.close(fd);
  throw failure(reader < 0 ? -reader : EACCES, 'openat', folder);
}

function isSame(first: number, second: number): boolean {
  const [a, b] = [first, second].map((fd) => fstatSync(fd, { bigint: true }));
  return a?.ino === b?.ino && a?.dev === b?.dev;
}

function open(inFlight: InFlight, path: string, flags: number): number {
  return inFlight.open('openat', AT_FDCWD, inFlight.kernel.string(path), flags | O_CLOEXEC, MODE);
}

function must(result: number, syscall: string, folder: string): number {
  if (result < 0) throw failure(-result, syscall, folder);
  return result;
}

function failure(errno: number, syscall: string, path: string): LaunchError {
  return new LaunchError({ errno, syscall, step: IMAGE_FILE, path });
}
