import type { Row } from './cells.js';

/** The matrix as text, by step: what came of which errors. */
export function table(rows: readonly Row[]): string {
  const lines = new Map<string, { readonly columns: readonly string[]; errnos: string[] }>();
  for (const { site, errno, outcome, fault } of rows) {
    const { operation, executor, by, event, nth, step, syscall } = site;
    const columns = [executor, operation, by, step ?? '-', syscall];
    const result = fault === null ? outcome : `FAULT: ${fault}`;
    const key = `${columns} ${event} ${nth} ${result}`;
    const line = lines.get(key) ?? { columns: [...columns, result], errnos: [] };
    line.errnos.push(errno);
    lines.set(key, line);
  }
  const sorted = [...lines].sort(([a], [b]) => (a < b ? -1 : 1));
  const head = ['executor', 'operation', 'made by', 'step', 'system call', 'outcome', 'errors'];
  const cells = [head, ...sorted.map(([, { columns, errnos }]) => [...columns, errnos.join(' ')])];
  const widths = head.map((_, i) => Math.max(...cells.map((line) => line[i]?.length ?? 0)));
  return cells
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
