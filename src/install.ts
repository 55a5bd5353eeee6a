/**
 * What `safeexec/register` does: puts the engine under every user of `node:child_process` in this
 * thread. Nothing here is asynchronous: a process with a channel to its parent may get messages
 * before its program listens, and Node loses those that come while a preload is awaited.
 */
import childProcess from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import workerThreads from 'node:worker_threads';
import { binding } from './launch/binding.js';
import { ChildProcess } from './process/child-process.js';
import { exec, execFile } from './process/exec-file.js';
import { fork } from './process/fork.js';
import { spawn } from './process/spawn.js';
import { execFileSync, execSync, spawnSync } from './process/spawn-sync.js';
import { RegisteredWorker } from './worker.js';

const replacements = {
  ChildProcess,
  exec,
  execFile,
  execFileSync,
  execSync,
  fork,
  spawn,
  spawnSync,
};

if (process.env.SAFEEXEC !== 'off') {
  try {
    binding();
    Object.assign(childProcess, replacements);
    workerThreads.Worker = RegisteredWorker;
    syncBuiltinESMExports();
  } catch (error) {
    if (workerThreads.isMainThread) {
      const message = `${(error as Error).message}; node:child_process stays as it is`;
      process.emitWarning(message, { type: 'SafeexecWarning', code: 'SAFEEXEC_UNAVAILABLE' });
    }
  }
}
