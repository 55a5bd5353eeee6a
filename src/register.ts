/**
 * `node --import safeexec/register app.js`, or `--require`, or either in NODE_OPTIONS: puts the
 * engine under every user of `node:child_process` in the process and its Worker threads.
 *
 * SAFEEXEC=off leaves everything as it is. SAFEEXEC_DEBUG=1 prints a line to stderr for each launch.
 * Where the engine cannot work, one warning says why, and Node's own functions stay.
 */
import { createRequire } from 'node:module';

try {
  createRequire(import.meta.url)('./install.js');
} catch (error) {
  // Node before 20.19 cannot require an ES module.
  if ((error as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ESM') throw error;
  await import('./install.js');
}
