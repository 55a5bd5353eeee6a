import { readFileSync, writeFileSync } from 'node:fs';

const MEMORY = '/proc/sys/vm/overcommit_memory';
const RATIO = '/proc/sys/vm/overcommit_ratio';

/**
 * Acts while the kernel promises no memory that it does not have: vm.overcommit_memory is 2. That is
 * so for the whole machine, so it is undone in any case, and not done at all while memory is short.
 * null, or the reason why it was not.
 */
export async function withoutOvercommit(
  bytes: number,
  act: () => Promise<void>,
): Promise<string | null> {
  const meminfo = readFileSync('/proc/meminfo', 'utf8');
  const bytesOf = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
  const total = bytesOf('MemTotal') + bytesOf('SwapTotal');
  if (process.getuid?.() !== 0) return 'only root changes vm.overcommit_memory';
  // What others are promised meanwhile has to fit as well.
  if (bytesOf('Committed_AS') + bytes > 0.85 * total || bytesOf('MemAvailable') < bytes * 0.5) {
    return 'memory is short';
  }
  const before = [MEMORY, RATIO].map((file) => readFileSync(file, 'utf8').trim());
  const restore = (): void => {
    writeFileSync(MEMORY, before[0] as string);
    // Writing either ratio sets the other to 0; where vm.overcommit_kbytes is in use it is 0.
    if (before[1] !== '0') writeFileSync(RATIO, before[1] as string);
  };
  if (before[1] === '0') return 'vm.overcommit_kbytes is in use';
  const onSignal = (): never => {
    restore();
    process.exit(1);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  process.on('exit', restore);
  try {
    writeFileSync(RATIO, '100');
    writeFileSync(MEMORY, '2');
  } catch (error) {
    return `vm.overcommit_memory cannot be changed: ${error}`;
  } finally {
    if (readFileSync(MEMORY, 'utf8').trim() !== '2') restore();
  }
  try {
    await act();
    return null;
  } finally {
    restore();
    process.off('exit', restore);
    for (const signal of signals) process.off(signal, onSignal);
  }
}
