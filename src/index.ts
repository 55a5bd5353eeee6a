export * from './errors.js';
export { ChildProcess } from './process/child-process.js';
export { spawn } from './process/spawn.js';
