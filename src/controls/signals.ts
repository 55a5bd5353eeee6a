import { invalidArgValue } from '../errors.js';
import { SIGKILL, SIGSTOP } from '../plan/constants.js';
import { ALL_SIGNALS, type SignalSet, type Step } from '../plan/plan.js';
import { signalSet } from '../validate.js';
import type { Contribution, Control } from './control.js';

/** Signals by name, or by number from 1 to 64. */
export type SignalList = readonly (NodeJS.Signals | number)[];

/** Dispositions of signals, and which are blocked. */
export interface SignalOptions {
  /**
   * Signals that are blocked in the child: sigprocmask(2). SIGKILL and SIGSTOP cannot be, and are
   * not. Default: none; of launch(): those blocked in this thread.
   */
  readonly signalMask?: SignalList | undefined;
  /** Signals that the child ignores until it does otherwise: SIG_IGN of sigaction(2). */
  readonly ignoredSignals?: SignalList | undefined;
  /**
   * Signals that get their default action; `all` is all of them. What this process ignores (Node:
   * SIGPIPE and SIGXFSZ) and is not among them is ignored by the child. Handlers never get there.
   * Default: `all`; of launch(): none.
   */
  readonly signalDefaults?: 'all' | SignalList | undefined;
}

export const SIGNALS: Control<SignalOptions> = {
  names: ['signalMask', 'ignoredSignals', 'signalDefaults'],
  prepare,
};

function prepare({ signalMask, ignoredSignals, signalDefaults }: SignalOptions): Contribution {
  const signals: Step[] = [];
  const mask: Step[] = [];
  let defaults: SignalSet | undefined;
  if (signalDefaults !== undefined) {
    defaults =
      signalDefaults === 'all' ? ALL_SIGNALS : signalSet(signalDefaults, 'options.signalDefaults');
    signals.push({ type: 'signalDefaults', signals: defaults });
  }
  if (ignoredSignals !== undefined) {
    const name = 'options.ignoredSignals';
    const set = signalSet(ignoredSignals, name);
    if (has(set, SIGKILL) || has(set, SIGSTOP)) {
      throw invalidArgValue(name, ignoredSignals, 'must not have SIGKILL or SIGSTOP in it');
    }
    if (Array.isArray(signalDefaults) && defaults !== undefined && meet(set, defaults)) {
      throw invalidArgValue(name, ignoredSignals, 'has signals of options.signalDefaults in it');
    }
    signals.push({ type: 'ignoredSignals', signals: set });
  }
  if (signalMask !== undefined) {
    mask.push({ type: 'signalMask', signals: signalSet(signalMask, 'options.signalMask') });
  }
  return { steps: { signals, mask } };
}

function has([low]: SignalSet, signal: number): boolean {
  return (low & (1 << (signal - 1))) !== 0;
}

function meet(a: SignalSet, b: SignalSet): boolean {
  return (a[0] & b[0]) !== 0 || (a[1] & b[1]) !== 0;
}
