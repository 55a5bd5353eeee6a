import { COLUMNS } from './columns.js';
import type { Results } from './results.js';
import { SECTIONS } from './rows.js';

const START = '<!-- options: written by npm run compare -->';
const END = '<!-- options: end -->';

/** The table, with footnotes, and the versions that were run. */
export function optionsTable(results: Results): string {
  const notes: string[] = [];
  const cell = (column: string, row: string): string => {
    const { answer, note } = results[column]?.cells[row] ?? { answer: '?' };
    if (note === undefined) return answer;
    if (!notes.includes(note)) notes.push(note);
    return `${answer} <sup>${notes.indexOf(note) + 1}</sup>`;
  };
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const lines = [
    line(['', ...COLUMNS.map(({ title, page }) => `[${title}](${page})`)]),
    line(['---', ...COLUMNS.map(() => '---')]),
  ];
  for (const section of SECTIONS) {
    lines.push(line([`**${section.title}**`, ...COLUMNS.map(() => '')]));
    for (const { id, title } of section.rows) {
      lines.push(line([title, ...COLUMNS.map((column) => cell(column.id, id))]));
    }
  }
  const versions = COLUMNS.map(({ id, title }) => {
    const result = results[id];
    return `${title.replace(' (not run)', '')} ${result?.version}, ${result?.date}`;
  });
  const footnotes = notes.map((note, i) => `${i + 1}. ${note}`);
  return [...lines, '', ...footnotes, '', `Run: ${versions.join('; ')}.`].join('\n');
}

/** The document with the table in its place. */
export function withTable(document: string, table: string): string {
  const [start, end] = [document.indexOf(START), document.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`there must be lines ${START} and ${END}`);
  return `${document.slice(0, start)}${START}\n\n${table}\n\n${document.slice(end)}`;
}
