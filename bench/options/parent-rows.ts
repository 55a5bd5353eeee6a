import type { Section } from './row.js';

const MENTIONS = {
  chdir: /chdir|cwd|\/missing/i,
  setuid: /setuid|set[ -]user|\buid\b|--userns/i,
};

/** What is seen in the parent. */
export const PARENT_SECTION: Section = {
  title: 'In the parent',
  rows: [
    {
      id: 'pidfd',
      title: 'pidfd of the child',
      judge: ({ report }) => report.pid !== undefined && report.pid === report.pidOfDescriptor,
    },
    {
      id: 'killRace',
      title: 'kill through the pidfd: never another process',
      setting: 'traced',
      judge: ({ trace }) => /pidfd_send_signal\(\d+, SIG/.test(trace),
    },
    { id: 'timeout', title: 'Timeout', judge: ({ report }) => /^SIG/.test(report.ended ?? '') },
    {
      id: 'abort',
      title: 'Abort by a signal or context',
      judge: ({ report }) => /^SIG/.test(report.ended ?? ''),
    },
    {
      id: 'outputLimit',
      title: 'Collected output, with a limit',
      judge: ({ report }) => (report.collected ?? 1e9) <= 262_144 && report.exceeded != null,
    },
    {
      id: 'usage',
      title: "The child's own resource usage",
      judge: ({ report }) => (report.maxRSS ?? 0) > 0,
    },
    {
      id: 'channel',
      title: 'Channel for messages',
      judge: ({ report }) => report.answer === 'ping',
    },
    {
      id: 'failingStep',
      title: 'Errors tell which step failed',
      setting: 'withoutSetuid',
      judge: ({ report: { chdir, exec, setuid } }) => {
        // Each must be an error, and the exec's not taken for the others.
        if (!chdir || !exec || !setuid || !MENTIONS.chdir.test(chdir)) return 'no';
        if (MENTIONS.chdir.test(exec)) return 'no';
        return MENTIONS.setuid.test(setuid) && !MENTIONS.setuid.test(exec) ? 'yes' : 'partial';
      },
    },
    {
      id: 'badInput',
      title: 'Bad input (a NUL in an argument) refused before anything is started',
      setting: 'traced',
      judge: ({ report, trace }) => Boolean(report.refused) && creation(trace) === null,
    },
    {
      id: 'noFork',
      title: 'No fork: the size of the parent does not matter',
      setting: 'traced',
      judge: ({ trace }) => {
        const call = creation(trace);
        return call !== null && (call.includes('CLONE_VM') || call.includes('vfork('));
      },
    },
  ],
};

/** The system call that made the process that ran the probe; null if none did. */
function creation(trace: string): string | null {
  const pid = /^(\d+)\s+execve(?:at)?\(.*probe\.pl.*(?:= 0|unfinished.*)$/m.exec(trace)?.[1];
  if (pid === undefined) return null;
  // A call that others interrupted has its result on a line of its own.
  const lines = trace.split('\n');
  const end = lines.findIndex((line) =>
    new RegExp(`(clone|clone3|fork|vfork).* = ${pid}$`).test(line),
  );
  const line = lines[end];
  if (line === undefined || !line.includes('resumed')) return line ?? null;
  const caller = line.split(' ')[0];
  const start = lines
    .slice(0, end)
    .findLast((each) =>
      new RegExp(`^${caller}\\s+(clone|clone3|fork|vfork)\\(.*unfinished`).test(each),
    );
  return `${start} ${line}`;
}
