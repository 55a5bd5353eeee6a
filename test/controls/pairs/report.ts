import { machineFor } from '../../../src/machine/index.js';
import type { Machine } from '../../../src/machine/machine.js';
import { syscallNumber } from '../../../src/machine/syscall-table.js';
import { ProgramBuilder } from '../../../src/program/builder.js';
import type { Place, Program } from '../../../src/program/instruction.js';

/*
 * What a process has, as it sees it itself. The probe is an image of ours: static, so that it runs
 * in an empty root and below any limit, and says what /proc does not.
 */

const O_WRONLY = 1;
const PTRACE_PEEKDATA = 2;
const NOBODY = 0x7fff_fff0;
const F_GETFD = 1;
const AT_FDCWD = -100;
const [PR_GET_PDEATHSIG, PR_GET_SECUREBITS] = [2, 27];
const [PR_GET_TIMERSLACK, PR_GET_THP_DISABLE] = [30, 42];
/** Where the host name is in struct utsname. */
const NODENAME = 65;
const ROOM = 16_384;

const FILES = ['status', 'limits', 'stat', 'mountinfo', 'cgroup', 'oom_score_adj', 'cmdline'];
const KINDS = ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup', 'time'] as const;
/** The descriptors that are looked at. */
const DESCRIPTORS = Array.from({ length: 24 }, (_, fd) => fd);

export type NamespaceFile = (typeof KINDS)[number];

export interface Report {
  /** Results of system calls, an error as a negative number. */
  readonly words: Readonly<Record<string, number>>;
  /** Files of /proc/self. */
  readonly files: Readonly<Record<string, string>>;
  readonly namespaces: Readonly<Record<NamespaceFile, string>>;
  readonly cwd: string;
  readonly hostname: string;
  /** Numbers of open descriptors. */
  readonly open: readonly number[];
}

export function statusField({ files }: Report, name: string): string | undefined {
  return new RegExp(`^${name}:[ \t]*(.*)$`, 'm').exec(files.status ?? '')?.[1];
}

/** What is asked by a system call: what it gives is a word of the report. */
type Question = readonly [name: string, args: (b: ProgramBuilder) => readonly (number | Place)[]];

/** `marker` is a file that only one root has. */
function questions(marker: string): Readonly<Record<string, Question>> {
  return {
    pid: ['getpid', () => []],
    parent: ['getppid', () => []],
    group: ['getpgid', () => [0]],
    session: ['getsid', () => [0]],
    nice: ['getpriority', () => [0, 0]],
    policy: ['sched_getscheduler', () => [0]],
    ioPriority: ['ioprio_get', () => [1, 0]],
    timerSlack: ['prctl', () => [PR_GET_TIMERSLACK, 0, 0, 0, 0]],
    hugePagesOff: ['prctl', () => [PR_GET_THP_DISABLE, 0, 0, 0, 0]],
    securebits: ['prctl', () => [PR_GET_SECUREBITS, 0, 0, 0, 0]],
    personality: ['personality', () => [0xffff_ffff]],
    writing: ['openat', (b) => [AT_FDCWD, b.string('/dev/null'), O_WRONLY, 0]],
    tracing: ['ptrace', () => [PTRACE_PEEKDATA, NOBODY, 0, 0]],
    marker: ['openat', (b) => [AT_FDCWD, b.string(marker), 0, 0]],
  };
}

/** The probe. It writes words, the parent-death signal, the host name, and then texts with NULs. */
export function probeProgram(marker: string): Program {
  const b = new ProgramBuilder(machine().wordSize);
  const asked = Object.values(questions(marker));
  const words = b.words(...asked.map(() => 0), ...DESCRIPTORS.map(() => 0), 0);
  let at = words;
  const result = (): Place => {
    const place = at;
    at = { ...at, offset: at.offset + b.wordSize };
    return place;
  };
  // Before anything is opened here.
  const places = asked.map(result);
  for (const fd of DESCRIPTORS) b.syscall('fcntl', [fd, F_GETFD, 0], { result: result() });
  // With a limit of one descriptor, say.
  for (const fd of [0, 2]) b.syscall('close', [fd]);
  asked.forEach(([name, args], i) => {
    b.syscall(name, args(b), { result: places[i] });
    if (name !== 'openat') return;
    b.copy(places[i] as Place, b.argumentOf(b.position + 1, 0));
    b.syscall('close', [0]);
  });
  b.syscall('prctl', [PR_GET_PDEATHSIG, result(), 0, 0, 0]);
  b.syscall('write', [1, words, at.offset - words.offset]);

  const buffer = b.reserve(ROOM);
  const end = b.string('');
  const write = (read: number): void => {
    const done = b.label();
    const length = b.words(0);
    b.resultTo(read, length);
    b.branchIfEqual(length, 0, done);
    b.copy(length, b.argumentOf(b.position + 1, 2));
    b.syscall('write', [1, buffer, 0]);
    b.place(done);
  };
  b.syscall('uname', [buffer]);
  b.syscall('write', [1, { ...buffer, offset: buffer.offset + NODENAME }, NODENAME]);
  write(b.syscall('getcwd', [buffer, ROOM]));
  for (const kind of KINDS) {
    write(b.syscall('readlinkat', [AT_FDCWD, b.string(`/proc/self/ns/${kind}`), buffer, ROOM]));
    b.syscall('write', [1, end, 1]);
  }
  for (const file of FILES) {
    const [fd, length] = [b.words(0), b.words(0)];
    const [again, done] = [b.label(), b.label()];
    const opened = [AT_FDCWD, b.string(`/proc/self/${file}`), 0, 0];
    b.syscall('openat', opened, { result: fd, onError: done });
    b.place(again);
    b.copy(fd, b.argumentOf(b.position + 1, 0));
    b.syscall('read', [0, buffer, ROOM], { result: length, onError: done });
    b.branchIfEqual(length, 0, done);
    b.copy(length, b.argumentOf(b.position + 1, 2));
    b.syscall('write', [1, buffer, 0]);
    b.jump(again);
    b.place(done);
    b.copy(fd, b.argumentOf(b.position + 1, 0));
    b.syscall('close', [0]);
    b.syscall('write', [1, b.string('\x01'), 1]);
  }
  const last = b.here();
  b.syscall('exit_group', [0]);
  b.jump(last);
  return b.build();
}

/** This machine, with the number of the one call that programs of ours never make. */
export function machine(): Machine {
  const own = machineFor(process.arch);
  return {
    ...own,
    syscallNumber: (name) =>
      name === 'ptrace' ? (syscallNumber(name, own.name) as number) : own.syscallNumber(name),
  };
}

export function parseReport(bytes: Buffer): Report {
  const { wordSize } = machine();
  let at = 0;
  const word = (): number => {
    const value = wordSize === 8 ? Number(bytes.readBigInt64LE(at)) : bytes.readInt32LE(at);
    at += wordSize;
    return value;
  };
  const words: Record<string, number> = {};
  const names = Object.keys(questions(''));
  for (const name of names) words[name] = word();
  const open = DESCRIPTORS.filter(() => word() >= 0);
  words.parentDeathSignal = word();
  const text = (separator: number): string => {
    const end = bytes.indexOf(separator, at);
    if (end < 0) throw new Error(`the report ends early: ${bytes.length} bytes`);
    const value = bytes.toString('latin1', at, end);
    at = end + 1;
    return value;
  };
  const name = bytes.toString('latin1', at, at + NODENAME);
  at += NODENAME;
  const cwd = text(0);
  const namespaces = Object.fromEntries(KINDS.map((kind) => [kind, text(0)]));
  const files = Object.fromEntries(FILES.map((file) => [file, text(1)]));
  return {
    ...{ words, open, cwd, files },
    namespaces: namespaces as Report['namespaces'],
    hostname: name.slice(0, name.indexOf('\0')),
  };
}
