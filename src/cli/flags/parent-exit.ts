import type { FlagGroup } from './flag-group.js';
import { signalOf } from './values.js';

export const PARENT_EXIT_FLAGS: FlagGroup = {
  options: { 'kill-on-parent-exit': { type: 'boolean' }, 'parent-exit-signal': { type: 'string' } },
  help: `
Sudden ends:
  --kill-on-parent-exit ends the command with SIGKILL when safeexec itself is killed
  --parent-exit-signal SIGNAL
                        the same, with this signal
`,
  read(values) {
    const signal = values['parent-exit-signal'];
    if (typeof signal === 'string') {
      return { killOnParentExit: signalOf(signal) as NodeJS.Signals };
    }
    return values['kill-on-parent-exit'] === true ? { killOnParentExit: true } : {};
  },
};
