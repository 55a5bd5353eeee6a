import { invalidArgValue } from '../errors.js';
import type { Step } from '../plan/plan.js';
import { validateBoolean, validateDescriptor, validateInteger } from '../validate.js';
import type { Contribution, Control } from './control.js';

/** Session, process group, terminal, umask. */
export interface SessionOptions {
  /**
   * Makes the process the leader of a new session, without a terminal: setsid(2). spawn()'s
   * `detached` is the same. Default false.
   */
  readonly setsid?: boolean | undefined;
  /**
   * The process group, by its number: 0 makes a new one with the process as its leader, any other
   * number joins a group of this session: setpgid(2). Default: this process's. A session's leader
   * leads its group: not with `setsid` or `detached`.
   */
  readonly setpgid?: number | undefined;
  /**
   * A terminal, by the descriptor that the child has of it: it becomes the controlling terminal of
   * the child's session. TIOCSCTTY of ioctl_tty(2), so it must be no other session's. Only with
   * `setsid` or `detached`.
   */
  readonly controllingTerminal?: number | undefined;
  /**
   * A terminal, by the descriptor that the child has of it: the child's process group becomes its
   * foreground group, which gets what is typed there. tcsetpgrp(3): it must be the session's
   * controlling terminal.
   */
  readonly foreground?: number | undefined;
  /** File mode creation mask, 0 to 0o777: umask(2). Default: this process's. */
  readonly umask?: number | undefined;
}

export const SESSION: Control<SessionOptions> = {
  names: ['setsid', 'setpgid', 'controllingTerminal', 'foreground', 'umask'],
  prepare,
};

function prepare(options: SessionOptions & { readonly detached?: unknown }): Contribution {
  const { setsid, setpgid, controllingTerminal, foreground, umask, detached } = options;
  const session: Step[] = [];
  const terminal: Step[] = [];
  if (setsid !== undefined) validateBoolean(setsid, 'options.setsid');
  const leads = setsid || detached === true;
  if (setsid) session.push({ type: 'setsid' });
  if (setpgid !== undefined) {
    validateInteger(setpgid, 'options.setpgid', 0, 0x7fffffff);
    if (leads) {
      const reason =
        "must not be given with setsid or detached: a session's leader leads its group";
      throw invalidArgValue('options.setpgid', setpgid, reason);
    }
    session.push({ type: 'setpgid', group: setpgid });
  }
  if (umask !== undefined) {
    validateInteger(umask, 'options.umask', 0, 0o777);
    session.push({ type: 'umask', mask: umask });
  }
  if (controllingTerminal !== undefined) {
    validateDescriptor(controllingTerminal, 'options.controllingTerminal');
    if (!leads) {
      const reason = "needs setsid or detached: only a session's leader can have it";
      throw invalidArgValue('options.controllingTerminal', controllingTerminal, reason);
    }
    terminal.push({ type: 'controllingTerminal', fd: controllingTerminal });
  }
  if (foreground !== undefined) {
    validateDescriptor(foreground, 'options.foreground');
    if (leads && controllingTerminal === undefined) {
      const reason = 'needs controllingTerminal: a new session has no terminal';
      throw invalidArgValue('options.foreground', foreground, reason);
    }
    terminal.push({ type: 'tcsetpgrp', fd: foreground });
  }
  return { steps: { session, terminal } };
}
