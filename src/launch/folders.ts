import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this module; null in bundles of CommonJS, which do not know where they are. */
export function packageFolder(): string | null {
  try {
    return dirname(fileURLToPath(import.meta.url));
  } catch {
    return null;
  }
}

/**
 * Folders that may be good for a file that is executed and has no name, the likeliest first. Which
 * of them are there, writable, and not mounted noexec is found out by trying.
 */
export function executableFolders(): string[] {
  const { XDG_RUNTIME_DIR } = process.env;
  const folders = [XDG_RUNTIME_DIR, tmpdir(), '/dev/shm', '/tmp', '/var/tmp', packageFolder()];
  folders.push(workingDirectory());
  return [...new Set(folders)].filter((folder) => folder != null && isUsable(folder)) as string[];
}

/** Absolute, and with a file's name not longer than PATH_MAX allows. */
const isUsable = (folder: string) => folder.startsWith('/') && folder.length < 4000;

function workingDirectory(): string | null {
  try {
    return process.cwd();
  } catch {
    return null; // it was removed
  }
}
