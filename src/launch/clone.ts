import {
  CLONE_ARGS_SIZE,
  CLONE_CHILD_CLEARTID,
  CLONE_INTO_CGROUP,
  CLONE_PIDFD,
  CLONE_VFORK,
  CLONE_VM,
  EINVAL,
  ENOSYS,
  EPERM,
  SIGCHLD,
  SIGKILL,
} from '../plan/constants.js';
import { offsetBy, type ProgramBuilder } from '../program/builder.js';
import { type Label, type Operand, type Place, WORD } from '../program/instruction.js';

/** The child shares our memory: we wait until it has its own, or the kernel clears a word then. */
export function cloneFlags(sharing: number | null): number {
  return CLONE_VM | (sharing === null ? CLONE_VFORK : CLONE_CHILD_CLEARTID);
}

/** Bytes of the stack of a child that runs beside its parent: ia32 saves a register there. */
const CHILD_STACK = 64;

export interface CloneSite {
  readonly pid: Place;
  readonly pidfd: Place;
  /** Where the child goes on, where the parent does, and where it does after an error. */
  readonly child: Label;
  readonly restoring: Label;
  readonly failed: Label;
}

export interface Clone {
  /** Of the clone, with CLONE_PIDFD, and of a second attempt without, where there is one. */
  readonly flags: readonly [Place, Place | null];
  readonly cgroup: Place | null;
  readonly failures: readonly Label[];
}

const STEP = { step: 'clone' };

// The clones. Whatever comes of one, the instruction behind it is that of `failed`.

export function emitCloneIntoCgroup(b: ProgramBuilder, site: CloneSite): Clone {
  const { pid, pidfd, child, restoring, failed } = site;
  // struct clone_args: fields of 64 bits on every machine.
  const fields: Operand[] = [CLONE_INTO_CGROUP, pidfd, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0];
  const args = b.words(...fields.flatMap((field) => quad(field, b.wordSize)));
  b.clone('clone3', [args, CLONE_ARGS_SIZE], child, { result: pid, onError: failed, step: STEP });
  b.jump(restoring);
  return { flags: [args, null], cgroup: offsetBy(args, CLONE_ARGS_SIZE - 8), failures: [] };
}

/** The parent goes on at once. What the child is at work with has to stay as it is for a while. */
export function emitCloneBeside(b: ProgramBuilder, site: CloneSite, sharing: number): Clone {
  const { pid, pidfd, child, restoring, failed } = site;
  const stack = b.reserve(CHILD_STACK, 16);
  b.copy(b.words(1), sharing);
  // Which of the last two is the word that the kernel clears depends on the machine. The other,
  // for the thread's own storage, is not looked at.
  const flags = cloneFlags(sharing) | CLONE_PIDFD | SIGCHLD;
  const top = offsetBy(stack, CHILD_STACK - 16);
  const clone = b.clone('clone', [flags, top, pidfd, sharing, sharing], child, {
    result: pid,
    onError: failed,
    step: STEP,
  });
  b.copy(pid, sharing + b.wordSize);
  b.jump(restoring);
  return { flags: [b.argumentOf(clone, 0), null], cgroup: null, failures: [] };
}

/** The parent goes on when the child has its own memory, or is gone. */
export function emitClone(b: ProgramBuilder, site: CloneSite): Clone {
  const { pid, pidfd, child, restoring, failed } = site;
  const [refused, again] = [b.label('clone refused'), b.label('clone again')];
  const [asked, unnamed] = [b.label(), b.label('no pidfd')];
  const flags = cloneFlags(null) | SIGCHLD;
  const clone = b.clone('clone', [flags | CLONE_PIDFD, 0, pidfd, 0, 0], child, {
    result: pid,
    onError: refused,
    step: STEP,
  });
  b.jump(restoring);

  // An emulator of system calls may not know CLONE_PIDFD. Any other error is one of the clone:
  // without a free descriptor a second one would start the target, only for it to be ended.
  b.place(refused);
  b.branchIfEqual(pid, -EINVAL, again);
  b.jump(failed);
  // Not even a process that would only be ended is made if nothing can name it; 0 is no process.
  b.place(again);
  b.copy(b.words(0), b.wordOf(refused.index, WORD.failedAt));
  b.syscall('pidfd_open', [0, 0], { onError: asked, step: { step: 'pidfd_open' } });
  b.place(asked);
  const answer = b.wordOf(asked.index, WORD.failedWith);
  b.branchIfEqual(answer, -ENOSYS, failed);
  b.branchIfEqual(answer, -EPERM, failed);
  b.copy(b.words(0), b.wordOf(asked.index, WORD.failedAt));
  const without = b.clone('clone', [flags, 0, 0, 0, 0], child, {
    result: pid,
    onError: failed,
    step: STEP,
  });
  b.copy(pid, b.argumentOf(b.position + 1, 0));
  b.syscall('pidfd_open', [0, 0], {
    result: pidfd,
    onError: unnamed,
    step: { step: 'pidfd_open' },
  });
  b.jump(restoring);
  // A child that cannot be watched is ended. No signal interrupts: they are blocked.
  b.place(unnamed);
  b.copy(pid, b.argumentOf(b.position + 2, 0));
  b.copy(pid, b.argumentOf(b.position + 2, 0));
  b.syscall('kill', [0, SIGKILL]);
  b.syscall('wait4', [0, 0, 0, 0]);
  return {
    flags: [b.argumentOf(clone, 0), b.argumentOf(without, 0)],
    cgroup: null,
    failures: [refused, asked, unnamed],
  };
}

/** A field of 64 bits as words. */
function quad(value: Operand, wordSize: 4 | 8): Operand[] {
  if (wordSize === 8) return [value];
  if (typeof value !== 'number') return [value, 0];
  return [value | 0, Math.floor(value / 0x100000000)];
}
