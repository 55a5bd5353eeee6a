import { ProgramBuilder } from '../program/builder.js';
import { HEADER, type Label, type Program, WORD } from '../program/instruction.js';
import {
  AT_EMPTY_PATH,
  EACCES,
  ENOENT,
  ENOEXEC,
  ENOTDIR,
  F_SETFD,
  FD_CLOEXEC,
} from './constants.js';
import type { Exec, Plan } from './plan.js';
import { Emitter, type Site } from './steps/emitter.js';
import { emitStep } from './steps/index.js';
import { dropHandlers } from './steps/signals.js';

export type { Site } from './steps/emitter.js';

/** What runs a script without an interpreter line. */
const SHELL = '/bin/sh';

/**
 * Compiles a plan. The program never ends: it becomes the target, or it writes the failed
 * instruction's address and its result (two words) to the error pipe and exits with 127.
 */
export function compile(plan: Plan, site: Site): Program {
  const { machine, errorPipe, executor } = site;
  const b = new ProgramBuilder(machine.wordSize);
  const fail = b.label('fail');
  const emitter = new Emitter(b, fail, site);
  if (executor === 'image') {
    b.syscall('fcntl', [errorPipe, F_SETFD, FD_CLOEXEC], {
      onError: fail,
      step: { step: 'error pipe' },
    });
  } else {
    dropHandlers(emitter);
  }
  for (const step of plan.steps) emitStep(step, emitter);
  const { fd, file } = plan.exec;
  const concludeExec =
    fd === undefined
      ? emitExec(b, plan.exec, fail, site)
      : emitExecDescriptor(b, fd, file, fail, site);

  b.place(fail);
  // The record that the interpreter left in this very instruction.
  const record = b.wordOf(b.position, WORD.failedAt);
  b.syscall('write', [errorPipe, record, 2 * machine.wordSize]);
  b.syscall('exit_group', [127]);
  concludeExec();
  return b.build();
}

/** argv and envp, as arguments `first` and the next of the instruction at `call`. */
function emitVectors(b: ProgramBuilder, call: number, first: number, site: Site): void {
  const { executor, argumentCount } = site;
  const { wordSize } = site.machine;
  const [argv, envp] = [b.argumentOf(call, first), b.argumentOf(call, first + 1)];
  // argv stands behind the word that the header points to, envp behind argv.
  b.copy(b.header(HEADER.stack), argv);
  b.add(wordSize, argv);
  b.copy(b.header(executor === 'image' ? HEADER.stack : HEADER.env), envp);
  if (executor === 'image') b.add((argumentCount + 2) * wordSize, envp);
}

/** How many instructions that takes. */
function vectorsLength({ executor }: Site): number {
  return executor === 'image' ? 4 : 3;
}

/** Execs what a descriptor refers to. */
function emitExecDescriptor(
  b: ProgramBuilder,
  fd: number,
  path: string,
  fail: Label,
  site: Site,
): () => void {
  emitVectors(b, b.position + vectorsLength(site), 2, site);
  b.syscall('execveat', [fd, b.string(''), 0, 0, AT_EMPTY_PATH], {
    onError: fail,
    step: { step: 'exec', path, fd },
  });
  // Never reached: nothing follows exit_group(2).
  return () => b.jump(fail);
}

/**
 * The candidates one after the other, as execvpe(3) goes about it: on after ENOENT, ENOTDIR and
 * EACCES, and at the end EACCES if it was seen. ENOEXEC has the file run by /bin/sh.
 * Gives back the part that must stand behind the failure handler: it writes into that.
 */
function emitExec(b: ProgramBuilder, exec: Exec, fail: Label, site: Site): () => void {
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

  const execve = b.position + vectorsLength(site) + 2;
  const path = b.argumentOf(execve, 0);
  emitVectors(b, execve, 1, site);

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
