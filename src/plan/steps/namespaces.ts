import {
  AF_UNIX,
  AT_FDCWD,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  IFF_UP,
  IFNAMSIZ,
  O_CLOEXEC,
  O_WRONLY,
  SIOCSIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

/** The kinds of namespaces there are, and the flag of each: namespaces(7). */
export const NAMESPACE_FLAGS = {
  user: CLONE_NEWUSER,
  mount: CLONE_NEWNS,
  pid: CLONE_NEWPID,
  network: CLONE_NEWNET,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
  cgroup: CLONE_NEWCGROUP,
  time: CLONE_NEWTIME,
} as const;

export type NamespaceKind = keyof typeof NAMESPACE_FLAGS;

export type NamespaceStep =
  /** Namespaces that a descriptor refers to; several kinds only of a pidfd: setns(2). */
  | {
      readonly type: 'joinNamespaces';
      readonly fd: number;
      readonly kinds: readonly NamespaceKind[];
    }
  /** A new namespace: unshare(2). Of pids and times the process's next child is in it. */
  | { readonly type: 'unshare'; readonly kind: Exclude<NamespaceKind, 'user'> }
  /** sethostname(2), setdomainname(2). */
  | { readonly type: 'hostname'; readonly name: string }
  | { readonly type: 'domainname'; readonly name: string }
  /** The loopback interface is brought up: netdevice(7). */
  | { readonly type: 'loopback' }
  /** Lines for /proc/self/timens_offsets: time_namespaces(7). */
  | { readonly type: 'timeOffsets'; readonly offsets: string };

const imageOnly = 'namespaces change: direct shares memory with the child';

export const NAMESPACE_STEPS: StepKinds<NamespaceStep> = {
  joinNamespaces: {
    imageOnly,
    names: ({ fd }) => [fd],
    emit({ fd, kinds }, emitter) {
      let flags = 0;
      for (const kind of kinds) flags |= NAMESPACE_FLAGS[kind];
      emitter.call('setns', [fd, flags], { step: 'join namespace', fd });
    },
  },
  unshare: {
    imageOnly,
    emit({ kind }, emitter) {
      emitter.call('unshare', [NAMESPACE_FLAGS[kind]], { step: `${kind} namespace` });
    },
  },
  hostname: {
    imageOnly,
    emit: ({ name }, emitter) => setName('sethostname', 'hostname', name, emitter),
  },
  domainname: {
    imageOnly,
    emit: ({ name }, emitter) => setName('setdomainname', 'domainname', name, emitter),
  },
  loopback: {
    imageOnly,
    emit(_, emitter) {
      const { b } = emitter;
      const step = { step: 'loopback' };
      // struct ifreq: the name, then a union that is 24 bytes at the most.
      const request = new Uint8Array(IFNAMSIZ + 24);
      request.set([0x6c, 0x6f]);
      request[IFNAMSIZ] = IFF_UP;
      const type = SOCK_DGRAM | SOCK_CLOEXEC;
      // A socket of any family will do, and this one every kernel has.
      const socket = emitter.call('socket', [AF_UNIX, type, 0], step);
      b.resultTo(socket, b.argumentOf(socket + 2, 0));
      b.copy(b.argumentOf(socket + 2, 0), b.argumentOf(socket + 3, 0));
      emitter.call('ioctl', [0, SIOCSIFFLAGS, b.bytes(request, 8)], step);
      b.syscall('close', [0]);
    },
  },
  timeOffsets: {
    imageOnly,
    emit({ offsets }, emitter) {
      writeFile(emitter, AT_FDCWD, '/proc/self/timens_offsets', offsets, 'time offsets');
    },
  },
};

function setName(syscall: string, step: string, name: string, emitter: Emitter): void {
  emitter.call(syscall, [emitter.b.string(name), Buffer.byteLength(name)], { step });
}

/**
 * Writes `text` to a file of /proc with a single write(2), as those want it. `directory` is the
 * descriptor that `path` starts from, or the place where its number is.
 */
export function writeFile(
  { b, fail }: Emitter,
  directory: Parameters<Emitter['b']['copy']>[0],
  path: string,
  text: string,
  step: string,
): void {
  const name = { step, path: path.startsWith('/') ? path : `/proc/self/${path}` };
  let from = 0;
  if (typeof directory === 'number') from = directory;
  else b.copy(directory, b.argumentOf(b.position + 1, 0));
  const open = b.syscall('openat', [from, b.string(path), O_WRONLY | O_CLOEXEC, 0], {
    onError: fail,
    step: name,
  });
  b.resultTo(open, b.argumentOf(open + 2, 0));
  b.copy(b.argumentOf(open + 2, 0), b.argumentOf(open + 3, 0));
  b.syscall('write', [0, b.string(text), Buffer.byteLength(text)], { onError: fail, step: name });
  b.syscall('close', [0]);
}
