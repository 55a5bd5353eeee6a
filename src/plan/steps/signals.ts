import { SIGSET_SIZE } from '../../machine/structs.js';
import type { Place } from '../../program/instruction.js';
import { SIG_IGN, SIG_SETMASK, SIGNAL_LIMIT } from '../constants.js';
import type { SignalSet } from '../plan.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

export type SignalStep =
  /** Signals that get their default action: sigaction(2). */
  | { readonly type: 'signalDefaults'; readonly signals: SignalSet }
  /** Signals that are ignored: sigaction(2). */
  | { readonly type: 'ignoredSignals'; readonly signals: SignalSet }
  /** The blocked signals: sigprocmask(2). */
  | { readonly type: 'signalMask'; readonly signals: SignalSet };

export const SIGNAL_STEPS: StepKinds<SignalStep> = {
  signalDefaults: {
    emit({ signals }, emitter) {
      const { b } = emitter;
      const [low, high] = signals;
      if (low >>> 0 === 0xffffffff && high >>> 0 === 0xffffffff) {
        eachSignal(emitter, (signal) => {
          b.copy(signal, b.argumentOf(b.position + 1, 0));
          // SIGKILL and SIGSTOP refuse.
          b.syscall('rt_sigaction', [0, emitter.defaultAction(), 0, SIGSET_SIZE]);
        });
        return;
      }
      for (const signal of signalsIn(signals)) {
        b.syscall('rt_sigaction', [signal, emitter.defaultAction(), 0, SIGSET_SIZE]);
      }
    },
  },
  ignoredSignals: {
    emit({ signals }, emitter) {
      const { b } = emitter;
      const { sigaction } = emitter.site.machine.structs;
      const action = new Uint8Array(sigaction.size);
      action[0] = SIG_IGN;
      const ignore = b.bytes(action, emitter.site.machine.wordSize);
      for (const signal of signalsIn(signals)) {
        emitter.call('rt_sigaction', [signal, ignore, 0, SIGSET_SIZE], { step: 'ignoredSignals' });
      }
    },
  },
  signalMask: {
    emit({ signals }, emitter) {
      const set = emitter.signalSet(signals);
      emitter.call('rt_sigprocmask', [SIG_SETMASK, set, 0, SIGSET_SIZE], { step: 'signalMask' });
    },
  },
};

/**
 * In the parent's memory no handler of the parent's may run, so every signal that has one gets
 * its default action while all are still blocked. Ignored ones stay ignored, as after an exec.
 */
export function dropHandlers(emitter: Emitter): void {
  const { b, site } = emitter;
  const { sigaction } = site.machine.structs;
  // One word more: qemu 7.2 for riscv64 takes its struct for one with a sa_restorer.
  const old = b.reserve(sigaction.size + site.machine.wordSize);
  eachSignal(emitter, (signal) => {
    const skip = b.label();
    b.copy(signal, b.argumentOf(b.position + 1, 0));
    b.syscall('rt_sigaction', [0, 0, old, SIGSET_SIZE]);
    b.branchIfEqual(old, SIG_IGN, skip);
    b.copy(signal, b.argumentOf(b.position + 1, 0));
    b.syscall('rt_sigaction', [0, emitter.defaultAction(), 0, SIGSET_SIZE]);
    b.place(skip);
  });
}

function signalsIn([low, high]: SignalSet): number[] {
  const all = Array.from({ length: SIGNAL_LIMIT }, (_, i) => i + 1);
  return all.filter((signal) => (signal <= 32 ? low : high) & (1 << ((signal - 1) % 32)));
}

/** A loop over all signals; `body` gets the place of the number. */
function eachSignal({ b }: Emitter, body: (signal: Place) => void): void {
  const done = b.label();
  const signal = b.words(1);
  const again = b.here();
  body(signal);
  b.add(1, signal);
  b.branchIfEqual(signal, SIGNAL_LIMIT + 1, done);
  b.jump(again);
  b.place(done);
}
