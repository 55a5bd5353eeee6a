import type { Row, Skipped } from './measurement.js';

/** The rows as a table in Markdown, and below it what was skipped. */
export function table(rows: readonly (Row | Skipped)[]): string {
  const lines = [
    ['measured', 'ours', 'theirs', 'ratio', 'target', 'met'],
    ...rows.flatMap((row) => ('skipped' in row ? [] : [cells(row)])),
  ];
  const widths = (lines[0] as string[]).map((_, i) =>
    Math.max(...lines.map((line) => (line[i] as string).length)),
  );
  const text = (line: readonly string[]): string =>
    `| ${line.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`;
  const [head, ...body] = lines.map(text);
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  const skipped = rows.flatMap((row) =>
    'skipped' in row ? [`skipped: ${row.what}: ${row.skipped}`] : [],
  );
  return [head, rule, ...body, ...(skipped.length > 0 ? [''] : []), ...skipped].join('\n');
}

function cells(row: Row): string[] {
  const { what, sides, unit, ours, theirs, target } = row;
  const amount = (value: number, side: string): string => {
    const text = `${value >= 100 ? Math.round(value) : value.toPrecision(2)} ${unit}`;
    return sides === undefined ? text : `${text} (${side})`;
  };
  return [
    what,
    amount(ours, sides?.[0] ?? ''),
    theirs === undefined ? '' : amount(theirs, sides?.[1] ?? ''),
    theirs === undefined ? '' : (ours / theirs).toFixed(2),
    target?.text ?? '',
    target === undefined ? '' : target.met ? 'yes' : 'NO',
  ];
}
