import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository, seen from where this is built: build/bench. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
