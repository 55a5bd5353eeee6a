import { writeSync } from 'node:fs';
import type { LaunchReport } from '../launch/launcher.js';

/** With SAFEEXEC_DEBUG=1 every launch leaves a line on stderr: who, how, and for how long. */
export const debugReport: LaunchReport | undefined = /^(?:1|true|on)$/.test(
  process.env.SAFEEXEC_DEBUG ?? '',
)
  ? ({ argv, executor, plan }, outcome, milliseconds) => {
      const what = typeof outcome === 'number' ? `pid ${outcome}` : outcome.message;
      // By a descriptor there are no candidates.
      const { candidates, file } = plan.exec;
      const line = `safeexec[${process.pid}] ${executor} ${milliseconds.toFixed(3)} ms ${candidates[0] ?? file} ${JSON.stringify(argv)}: ${what}\n`;
      try {
        writeSync(2, line);
      } catch {
        // Standard error is closed, or full: then nobody reads it.
      }
    }
  : undefined;
