import type { Machine } from '../machine/machine.js';
import { SIGSET_SIZE } from '../machine/structs.js';
import { ProgramBuilder } from '../program/builder.js';
import {
  HEADER,
  type Label,
  type Operand,
  type Place,
  type Program,
  type StepName,
  WORD,
} from '../program/instruction.js';
import {
  AT_FDCWD,
  EACCES,
  ENOENT,
  ENOEXEC,
  ENOTDIR,
  F_DUPFD_CLOEXEC,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_CLOEXEC,
  SIG_IGN,
  SIG_SETMASK,
  SIGNAL_LIMIT,
  TIOCSPGRP,
} from './constants.js';
import { closeAllBut, type Move, shuffle } from './descriptors.js';
import type { Exec, FileAction, Plan, SignalSet, Step } from './plan.js';

/** What runs a script without an interpreter line. */
const SHELL = '/bin/sh';

/** Where the plan will run, and what it finds there. */
export interface Site {
  readonly machine: Machine;
  /** Write end of the error pipe, as the new process has it: above all that the plan names. */
  readonly errorPipe: number;
  /**
   * `image`: in an address space of its own; argv and envp are on the initial stack, as the kernel
   * put them there. `direct`: in the parent's memory; word 0 of the header points to where they
   * are in the same way, word 1 to envp.
   */
  readonly executor: 'image' | 'direct';
  /** How many strings argv has. */
  readonly argumentCount: number;
}

/**
 * Compiles a plan. The program never ends: it becomes the target, or it writes the failed
 * instruction's address and its result (two words) to the error pipe and exits with 127.
 */
export function compile(plan: Plan, site: Site): Program {
  const { machine, errorPipe, executor } = site;
  const b = new ProgramBuilder(machine.wordSize);
  const fail = b.label('fail');
  const compiler = new StepCompiler(b, fail, site);
  if (executor === 'image') {
    b.syscall('fcntl', [errorPipe, F_SETFD, FD_CLOEXEC], {
      onError: fail,
      step: { step: 'error pipe' },
    });
  } else {
    compiler.dropHandlers();
  }
  for (const step of plan.steps) compiler.step(step);
  const concludeExec = emitExec(b, plan.exec, fail, site);

  b.place(fail);
  // The record that the interpreter left in this very instruction.
  const record = b.wordOf(b.position, WORD.failedAt);
  b.syscall('write', [errorPipe, record, 2 * machine.wordSize]);
  b.syscall('exit_group', [127]);
  concludeExec();
  return b.build();
}

class StepCompiler {
  readonly #b: ProgramBuilder;
  readonly #fail: Label;
  readonly #site: Site;
  #defaultAction: Place | null = null;

  constructor(b: ProgramBuilder, fail: Label, site: Site) {
    this.#b = b;
    this.#fail = fail;
    this.#site = site;
  }

  step(step: Step): void {
    switch (step.type) {
      case 'setsid':
        this.#call('setsid', [], { step: 'setsid' });
        break;
      case 'setpgid':
        this.#call('setpgid', [0, step.group], { step: 'setpgid' });
        break;
      case 'umask':
        this.#call('umask', [step.mask], { step: 'umask' });
        break;
      case 'descriptors':
        this.#moves(shuffle(step.map, this.#site.errorPipe));
        break;
      case 'statusFlags':
        this.#call('fcntl', [step.fd, F_SETFL, step.flags], {
          step: 'status flags',
          fd: step.fd,
        });
        break;
      case 'closeOnExec':
        for (const fd of step.fds) {
          this.#b.syscall('fcntl', [fd, F_SETFD, FD_CLOEXEC], {
            step: { step: 'close-on-exec', fd },
          });
        }
        break;
      case 'dropGroups':
        // As libuv does: who may not drop them keeps them.
        this.#b.syscall('setgroups', [0, 0], { step: { step: 'setgroups' } });
        break;
      case 'setgid':
        this.#call('setgid', [step.gid], { step: 'setgid' });
        break;
      case 'setuid':
        this.#call('setuid', [step.uid], { step: 'setuid' });
        break;
      case 'signalDefaults':
        this.#signalDefaults(step.signals);
        break;
      case 'signalMask':
        this.#call('rt_sigprocmask', [SIG_SETMASK, this.#set(step.signals), 0, SIGSET_SIZE], {
          step: 'signalMask',
        });
        break;
      default:
        this.#fileAction(step);
    }
  }

  /**
   * In the parent's memory no handler of the parent's may run, so every signal that has one gets
   * its default action while all are still blocked. Ignored ones stay ignored, as after an exec.
   */
  dropHandlers(): void {
    const b = this.#b;
    const { sigaction } = this.#site.machine.structs;
    // One word more: qemu 7.2 for riscv64 takes its struct for one with a sa_restorer.
    const old = b.reserve(sigaction.size + this.#site.machine.wordSize);
    this.#eachSignal((signal) => {
      const skip = b.label();
      b.copy(signal, b.argumentOf(b.position + 1, 0));
      b.syscall('rt_sigaction', [0, 0, old, SIGSET_SIZE]);
      b.branchIfEqual(old, SIG_IGN, skip);
      b.copy(signal, b.argumentOf(b.position + 1, 0));
      b.syscall('rt_sigaction', [0, this.#default(), 0, SIGSET_SIZE]);
      b.place(skip);
    });
  }

  #fileAction(action: FileAction): void {
    const b = this.#b;
    const { errorPipe } = this.#site;
    switch (action.type) {
      case 'open':
        this.#open(action);
        break;
      case 'close':
        b.syscall('close', [action.fd], { step: { step: 'close', fd: action.fd } });
        break;
      case 'dup2': {
        const { from, to } = action;
        const step = { step: 'dup2', fd: from };
        // Equal descriptors: dup3 refuses them, and dup2 would leave the flag as it is.
        if (from === to) this.#call('fcntl', [from, F_SETFD, 0], step);
        else this.#call('dup3', [from, to, 0], step);
        break;
      }
      case 'chdir':
        this.#call('chdir', [b.string(action.path)], { step: 'chdir', path: action.path });
        break;
      case 'fchdir':
        this.#call('fchdir', [action.fd], { step: 'fchdir', fd: action.fd });
        break;
      case 'closeFrom':
        this.#moves(closeAllBut([], errorPipe, action.fd));
        break;
      case 'closeAllBut':
        this.#moves(closeAllBut(action.fds, errorPipe));
        break;
      case 'tcsetpgrp': {
        const step = { step: 'tcsetpgrp', fd: action.fd };
        const group = b.words(0);
        const get = this.#call('getpgid', [0], step);
        b.resultTo(get, group);
        this.#call('ioctl', [action.fd, TIOCSPGRP, group], step);
        break;
      }
    }
  }

  #open({ fd, path, flags = 0, mode = 0o666 }: FileAction & { type: 'open' }): void {
    const b = this.#b;
    const step = { step: 'open', path };
    const done = b.label();
    const opened = b.words(0);
    const how = (flags & ~O_CLOEXEC) | (this.#site.machine.largeFile ?? 0);
    const open = this.#call('openat', [AT_FDCWD, b.string(path), how, mode], step);
    b.resultTo(open, opened);
    // Opened as `fd` by chance: then it is in its place.
    b.branchIfEqual(opened, fd, done);
    b.copy(opened, b.argumentOf(b.position + 2, 0));
    b.copy(opened, b.argumentOf(b.position + 2, 0));
    this.#call('dup3', [0, fd, 0], step);
    b.syscall('close', [0], { step });
    b.place(done);
  }

  #moves(moves: readonly Move[]): void {
    const b = this.#b;
    const duplicates: Place[] = [];
    for (const move of moves) {
      switch (move.move) {
        case 'duplicate': {
          const { from, floor } = move;
          const step = { step: 'descriptors', fd: from };
          const number = b.words(0);
          const call = this.#call('fcntl', [from, F_DUPFD_CLOEXEC, floor], step);
          b.resultTo(call, number);
          duplicates.push(number);
          break;
        }
        case 'place': {
          const { from, to } = move;
          const step = { step: 'descriptors', fd: to };
          if (typeof from !== 'number') {
            b.copy(duplicates[from.duplicate] as Place, b.argumentOf(b.position + 1, 0));
          }
          this.#call('dup3', [typeof from === 'number' ? from : 0, to, 0], step);
          break;
        }
        case 'close':
          if (move.first <= move.last) {
            this.#call('close_range', [move.first, move.last, 0], { step: 'close descriptors' });
          }
          break;
      }
    }
  }

  #signalDefaults(signals: SignalSet): void {
    const b = this.#b;
    const [low, high] = signals;
    if (low >>> 0 === 0xffffffff && high >>> 0 === 0xffffffff) {
      this.#eachSignal((signal) => {
        b.copy(signal, b.argumentOf(b.position + 1, 0));
        // SIGKILL and SIGSTOP refuse.
        b.syscall('rt_sigaction', [0, this.#default(), 0, SIGSET_SIZE]);
      });
      return;
    }
    for (let signal = 1; signal <= SIGNAL_LIMIT; signal++) {
      const word = signal <= 32 ? low : high;
      if (word & (1 << ((signal - 1) % 32))) {
        b.syscall('rt_sigaction', [signal, this.#default(), 0, SIGSET_SIZE]);
      }
    }
  }

  /** A loop over all signals; `body` gets the place of the number. */
  #eachSignal(body: (signal: Place) => void): void {
    const b = this.#b;
    const done = b.label();
    const signal = b.words(1);
    const again = b.here();
    body(signal);
    b.add(1, signal);
    b.branchIfEqual(signal, SIGNAL_LIMIT + 1, done);
    b.jump(again);
    b.place(done);
  }

  /** A struct sigaction that says SIG_DFL: all zero. */
  #default(): Place {
    this.#defaultAction ??= this.#b.reserve(this.#site.machine.structs.sigaction.size);
    return this.#defaultAction;
  }

  #set([low, high]: SignalSet): Place {
    return this.#b.bytes(new Uint8Array(Uint32Array.of(low, high).buffer), 8);
  }

  #call(name: string, args: readonly Operand[], step: StepName): number {
    return this.#b.syscall(name, args, { onError: this.#fail, step });
  }
}

/**
 * The candidates one after the other, as execvpe(3) goes about it: on after ENOENT, ENOTDIR and
 * EACCES, and at the end EACCES if it was seen. ENOEXEC has the file run by /bin/sh.
 * Gives back the part that must stand behind the failure handler: it writes into that.
 */
function emitExec(b: ProgramBuilder, exec: Exec, fail: Label, site: Site): () => void {
  const { executor, argumentCount } = site;
  const { wordSize } = site.machine;
  const paths = b.words(...exec.candidates.map((path) => b.string(path)), 0);
  const result = b.words(0);
  const denied = b.words(0);
  const [attempt, failed, seen, next, shell, final] = [1, 2, 3, 4, 5, 6].map(() => b.label()) as [
    Label,
    Label,
    Label,
    Label,
    Label,
    Label,
  ];

  // The vectors: argv stands behind the word that the header points to, envp behind argv.
  const execve = b.position + (executor === 'image' ? 6 : 5);
  const path = b.argumentOf(execve, 0);
  b.copy(b.header(HEADER.stack), b.argumentOf(execve, 1));
  b.add(wordSize, b.argumentOf(execve, 1));
  b.copy(b.header(executor === 'image' ? HEADER.stack : HEADER.env), b.argumentOf(execve, 2));
  if (executor === 'image') b.add((argumentCount + 2) * wordSize, b.argumentOf(execve, 2));

  b.place(attempt);
  const source = b.argumentOf(b.copy(paths, path), 0);
  b.branchIfEqual(path, 0, final);
  const step = { step: 'exec', path: exec.file };
  b.syscall('execve', [0, 0, 0], { result, onError: failed, step });
  b.place(failed);
  if (exec.shellFallback) b.branchIfEqual(result, -ENOEXEC, shell);
  b.branchIfEqual(result, -ENOENT, next);
  b.branchIfEqual(result, -ENOTDIR, next);
  b.branchIfEqual(result, -EACCES, seen);
  b.copy(result, denied);
  b.jump(final);
  b.place(seen);
  b.copy(result, denied);
  b.place(next);
  b.add(wordSize, source);
  b.jump(attempt);

  if (exec.shellFallback) {
    // The word before argv is free: there goes the name of the shell, and the path in argv[0].
    b.place(shell);
    const name = b.string(SHELL);
    const run = b.position + 7;
    b.copy(b.argumentOf(execve, 1), b.argumentOf(run, 1));
    b.add(-wordSize, b.argumentOf(run, 1));
    b.copy(b.argumentOf(execve, 2), b.argumentOf(run, 2));
    b.copy(b.argumentOf(run, 1), b.wordOf(b.position + 1, WORD.result));
    b.copy(b.words(name), 0);
    b.copy(b.argumentOf(execve, 1), b.wordOf(b.position + 1, WORD.result));
    b.copy(path, 0);
    b.syscall('execve', [name, 0, 0], { onError: fail, step: { step: 'exec', path: SHELL } });
  }

  return () => {
    const settled = b.label();
    b.place(final);
    b.branchIfEqual(denied, 0, settled);
    b.copy(denied, result);
    b.place(settled);
    b.copy(b.words(b.wordOf(execve, WORD.op)), b.wordOf(fail.index, WORD.failedAt));
    b.copy(result, b.wordOf(fail.index, WORD.failedWith));
    b.jump(fail);
  };
}
