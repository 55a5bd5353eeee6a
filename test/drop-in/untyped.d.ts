// Packages without types of their own, as far as the tests use them.
declare module 'cross-spawn' {
  import type { spawn, spawnSync } from 'node:child_process';

  const crossSpawn: typeof spawn & { sync: typeof spawnSync };
  export default crossSpawn;
}
declare module 'npm-run-all2' {
  export default function runAll(patterns: string[], options: object): Promise<unknown>;
}
