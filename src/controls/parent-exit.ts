import { invalidArgType } from '../errors.js';
import { SIGKILL } from '../plan/constants.js';
import { signalNumber } from '../validate.js';
import type { Contribution, Control } from './control.js';
import { hasMonitor, type NamespaceOptions } from './namespaces.js';

export interface ParentExitOptions {
  /**
   * Ends the process when the one that started it does, however that ends: `true` with SIGKILL, or
   * with the signal named; PR_SET_PDEATHSIG of prctl(2). Where this process is gone before the
   * program runs, it never does. Default false.
   *
   * The signal belongs to the thread that started the process: one that a Worker started is sent it
   * when the Worker ends. It is for the process itself, not for those that it starts; and the
   * kernel forgets it when the program is set-user-ID, set-group-ID or has capabilities.
   */
  killOnParentExit?: boolean | NodeJS.Signals | undefined;
}

export const PARENT_EXIT: Control<ParentExitOptions> = {
  names: ['killOnParentExit'],
  prepare(options: ParentExitOptions & NamespaceOptions): Contribution | null {
    const { killOnParentExit: given } = options;
    if (given == null || given === false) return null;
    if (given !== true && typeof given !== 'string') {
      throw invalidArgType('options.killOnParentExit', 'of type boolean or a signal name', given);
    }
    const signal = given === true ? SIGKILL : signalNumber(given);
    const parent = process.pid;
    const steps = [{ type: 'parentDeathSignal', signal, parent }] as const;
    // The target ends with its monitor, and has another parent.
    return { steps: hasMonitor(options) ? { namespaces: steps } : { restrictions: steps } };
  },
};
