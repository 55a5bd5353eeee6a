import { offsetBy } from '../../program/builder.js';
import type { Place } from '../../program/instruction.js';
import {
  AT_FDCWD,
  ENOENT,
  ENOTDIR,
  LANDLOCK_RULE_NET_PORT,
  LANDLOCK_RULE_PATH_BENEATH,
  O_CLOEXEC,
  O_PATH,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

/** What is allowed beneath a path. */
export interface LandlockPathRule {
  readonly path: string;
  readonly access: number;
  /** What of that is asked for where the path is no directory: else it must be one. */
  readonly fileAccess?: number;
  /** Whether the path may be missing. */
  readonly optional?: boolean;
}

/** A ruleset of landlock(7), made and put in force; needs no_new_privs. */
export interface LandlockStep {
  readonly type: 'landlock';
  /** Masks of what is denied, but for the rules: struct landlock_ruleset_attr. */
  readonly files: number;
  readonly network: number;
  readonly scopes: number;
  readonly paths: readonly LandlockPathRule[];
  readonly ports: readonly { readonly port: number; readonly access: number }[];
  /** What is allowed with a file that is a standard stream, as far as it is open for that. */
  readonly streams?: { readonly read: number; readonly write: number };
  /** Of landlock_restrict_self(2). */
  readonly flags: number;
}

/** In struct landlock_path_beneath_attr. */
const PARENT_FD = 8;

export const LANDLOCK_STEPS: StepKinds<LandlockStep> = {
  landlock: {
    emit({ files, network, scopes, paths, ports, streams, flags }, emitter) {
      const { b } = emitter;
      const step = { step: 'landlock' };
      const attr = [files, network, scopes];
      // Older kernels know the first fields only, and take no more of them.
      while (attr.at(-1) === 0) attr.pop();
      const ruleset = b.words(0);
      const created = emitter.call(
        'landlock_create_ruleset',
        [u64(emitter, ...attr), attr.length * 8, 0],
        step,
      );
      b.resultTo(created, ruleset);
      for (const rule of paths) addPath(rule, ruleset, emitter);
      if (streams !== undefined) {
        for (const fd of [0, 1, 2]) addStream(fd, streams, ruleset, emitter);
      }
      for (const { port, access } of ports) {
        const attr = u64(emitter, access, port);
        b.copy(ruleset, b.argumentOf(b.position + 1, 0));
        emitter.call('landlock_add_rule', [0, LANDLOCK_RULE_NET_PORT, attr, 0], step);
      }
      b.copy(ruleset, b.argumentOf(b.position + 1, 0));
      emitter.call('landlock_restrict_self', [0, flags], step);
      b.copy(ruleset, b.argumentOf(b.position + 1, 0));
      b.syscall('close', [0], { step });
    },
  },
};

function addPath(
  { path, access, fileAccess, optional }: LandlockPathRule,
  ruleset: Place,
  emitter: Emitter,
): void {
  const { b } = emitter;
  const step = { step: 'landlock', path };
  const done = b.label();
  // The descriptor takes 32 bits, and is written as a word.
  const attr = u64(emitter, access, 0);
  const fd = offsetBy(attr, PARENT_FD);
  const open = [AT_FDCWD, b.string(path), O_PATH | O_CLOEXEC, 0];
  if (optional) {
    const opened = b.label();
    const missing = b.label();
    b.syscall('openat', open, { result: fd, onError: missing, step });
    b.jump(opened);
    b.place(missing);
    b.branchIfEqual(fd, -ENOENT, done);
    // Any other error is found once more, and reported.
    b.resultTo(emitter.call('openat', open, step), fd);
    b.place(opened);
  } else b.resultTo(emitter.call('openat', open, step), fd);

  b.copy(ruleset, b.argumentOf(b.position + 1, 0));
  const rule = [0, LANDLOCK_RULE_PATH_BENEATH, attr, 0];
  if (fileAccess === undefined) emitter.call('landlock_add_rule', rule, step);
  else {
    const added = b.label();
    const isFile = b.label();
    b.syscall('landlock_add_rule', rule, { onError: isFile, step });
    b.jump(added);
    // EINVAL, for what only directories have; any other error comes once more.
    b.place(isFile);
    const less = u64(emitter, fileAccess, 0);
    b.copy(fd, offsetBy(less, PARENT_FD));
    b.copy(ruleset, b.argumentOf(b.position + 1, 0));
    emitter.call('landlock_add_rule', [0, LANDLOCK_RULE_PATH_BENEATH, less, 0], step);
    b.place(added);
  }
  b.copy(fd, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0], { step });
  b.place(done);
}

/**
 * What a descriptor can do without a path, it may do by one too: /dev/stderr. Whether it is open for
 * that, a call without buffers tells, which does nothing to the file. A directory is left out, for
 * its rule would hold beneath it; what has no path, a pipe, takes no rule and needs none.
 */
function addStream(
  fd: number,
  { read, write }: NonNullable<LandlockStep['streams']>,
  ruleset: Place,
  emitter: Emitter,
): void {
  const { b } = emitter;
  const step = { step: 'landlock' };
  const [isFile, done] = [b.label(), b.label()];
  const inside = b.words(0);
  b.syscall('openat', [fd, b.string('.'), O_PATH | O_CLOEXEC, 0], { result: inside, step });
  b.branchIfEqual(inside, -ENOTDIR, isFile);
  b.copy(inside, b.argumentOf(b.position + 1, 0));
  b.syscall('close', [0], { step });
  b.jump(done);
  b.place(isFile);
  for (const [call, access] of [
    ['readv', read],
    ['writev', write],
  ] as const) {
    if (access === 0) continue;
    const closed = b.label();
    b.syscall(call, [fd, 0, 0], { onError: closed, step });
    b.copy(ruleset, b.argumentOf(b.position + 1, 0));
    const attr = u64(emitter, access, fd);
    b.syscall('landlock_add_rule', [0, LANDLOCK_RULE_PATH_BENEATH, attr, 0], { step });
    b.place(closed);
  }
  b.place(done);
}

/** Values of 64 bits, of which 32 are enough. */
function u64({ b }: Emitter, ...values: number[]): Place {
  const words = Uint32Array.from(values.flatMap((value) => [value, 0]));
  return b.bytes(new Uint8Array(words.buffer), 8);
}
