import type { FlagGroup } from './flag-group.js';

export const PARENT_EXIT_FLAGS: FlagGroup = {
  options: { 'kill-on-parent-exit': { type: 'boolean' } },
  help: `
Sudden ends:
  --kill-on-parent-exit ends the command with SIGKILL when safeexec itself is killed
`,
  read: (values) => (values['kill-on-parent-exit'] === true ? { killOnParentExit: true } : {}),
};
