import type { Answer } from './row.js';

/**
 * What a peer's documentation says of a row. A row that is not there is one that the documentation
 * knows no option for: "no". The others have a program, which is run: `yes` and `partial` hold only
 * if it shows them, `no` is what is expected of it. `documented` is not run, for the reason it says.
 */
export type Claim =
  | Exclude<Answer, 'partial'>
  | { readonly partial: string }
  | { readonly documented: string };

export interface Column {
  readonly id: string;
  readonly title: string;
  /** The page with all its options. */
  readonly page: string;
  readonly claims: Readonly<Record<string, Claim>>;
  /** The file in programs/ with the code of its rows; a column without one is not run. */
  readonly program?: string;
}

const SESSION_LEADER = { partial: "as a new session's leader only" };
const YES_IN_ALL = (rows: readonly string[]): Record<string, Claim> =>
  Object.fromEntries(rows.map((row) => [row, 'yes']));

const NAMESPACES = ['user', 'mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'time'].map(
  (kind) => `${kind}Namespace`,
);

export const COLUMNS: readonly Column[] = [
  {
    id: 'safeexec',
    title: 'safeexec',
    page: 'switching.md',
    program: 'safeexec.mjs',
    claims: YES_IN_ALL([
      ...['cwd', 'directoryDescriptor', 'env', 'argv0', 'execDescriptor', 'descriptors'],
      ...['closeDescriptors', 'signalMask', 'ignoredSignals', 'umask', 'newGroup', 'joinGroup'],
      ...['session', 'controllingTerminal', 'foreground', 'nice', 'policy', 'affinity'],
      ...['ioPriority', 'timerSlack', 'oomScore', 'hugePages', 'randomization', 'limits'],
      ...['parentDeathSignal', 'ids', 'groups', 'bounding', 'ambient', 'capabilitySets'],
      ...['securebits', 'noNewPrivileges', ...NAMESPACES, 'joinNamespaces', 'chroot', 'pivotRoot'],
      ...['bind', 'tmpfs', 'seccomp', 'landlock', 'cgroup', 'cgroupLimits', 'pidfd', 'killRace'],
      ...['timeout', 'abort', 'outputLimit', 'usage', 'channel', 'failingStep', 'badInput'],
      'noFork',
    ]),
  },
  {
    id: 'node',
    title: 'Node child_process',
    page: 'https://nodejs.org/api/child_process.html#child_processspawncommand-args-options',
    program: 'node.mjs',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'argv0', 'descriptors', 'signalMask', 'ignoredSignals']),
      closeDescriptors: 'no',
      newGroup: SESSION_LEADER,
      session: 'yes',
      ids: 'yes',
      killRace: 'no',
      ...YES_IN_ALL(['timeout', 'abort', 'outputLimit', 'channel', 'badInput']),
      failingStep: 'no',
      noFork: 'no',
    },
  },
  {
    id: 'bun',
    title: 'Bun.spawn',
    page: 'https://bun.com/reference/bun/spawn',
    program: 'bun.mjs',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'argv0', 'descriptors', 'closeDescriptors']),
      signalMask: 'no',
      ignoredSignals: 'yes',
      newGroup: SESSION_LEADER,
      session: 'yes',
      controllingTerminal: { partial: 'a pseudoterminal that Bun makes, and no other' },
      ids: 'yes',
      cgroup: 'yes',
      killRace: 'no',
      ...YES_IN_ALL(['timeout', 'abort', 'outputLimit', 'usage', 'channel', 'badInput']),
      failingStep: 'no',
      noFork: 'yes',
    },
  },
  {
    id: 'deno',
    title: 'Deno.Command',
    page: 'https://docs.deno.com/api/deno/~/Deno.CommandOptions',
    program: 'deno.mjs',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'session', 'ids', 'abort']),
      closeDescriptors: 'no',
      signalMask: 'no',
      ignoredSignals: { partial: 'SIGPIPE only' },
      newGroup: SESSION_LEADER,
      killRace: 'no',
      timeout: { partial: 'through `AbortSignal.timeout()`' },
      failingStep: { partial: 'a missing directory only' },
      badInput: 'yes',
      noFork: { partial: 'not with `uid` or `gid`' },
    },
  },
  {
    id: 'python',
    title: 'Python subprocess',
    page: 'https://docs.python.org/3/library/subprocess.html#subprocess.Popen',
    program: 'python.py',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'argv0', 'closeDescriptors', 'umask', 'newGroup']),
      descriptors: { partial: 'under the numbers that they have in the parent' },
      ...YES_IN_ALL(['joinGroup', 'session', 'ids', 'groups', 'badInput']),
      signalMask: 'no',
      ignoredSignals: { partial: 'SIGPIPE, SIGXFZ and SIGXFSZ only' },
      killRace: 'no',
      timeout: 'yes',
      failingStep: { partial: 'a missing directory only' },
      noFork: { partial: 'not with `user`, `group`, `extra_groups` or `preexec_fn`' },
    },
  },
  {
    id: 'rust',
    title: 'Rust Command',
    page: 'https://doc.rust-lang.org/std/os/unix/process/trait.CommandExt.html',
    program: 'rust.rs',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'argv0', 'newGroup', 'joinGroup', 'ids']),
      closeDescriptors: 'no',
      signalMask: 'no',
      ignoredSignals: { partial: 'SIGPIPE only' },
      session: { documented: '`CommandExt::setsid`, in nightly releases only; not run' },
      groups: { documented: '`CommandExt::groups`, in nightly releases only; not run' },
      chroot: { documented: '`CommandExt::chroot`, in nightly releases only; not run' },
      pidfd: {
        documented: '`std::os::linux::process`, in nightly releases only; not run',
      },
      killRace: 'no',
      failingStep: 'no',
      badInput: 'yes',
      noFork: { partial: 'not with `uid`, `gid` or `pre_exec`' },
    },
  },
  {
    id: 'go',
    title: 'Go os/exec',
    page: 'https://pkg.go.dev/syscall?GOOS=linux#SysProcAttr',
    program: 'go.go',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'argv0', 'descriptors', 'newGroup', 'joinGroup', 'session']),
      ...YES_IN_ALL(['controllingTerminal', 'foreground', 'ids', 'groups', 'ambient', 'chroot']),
      closeDescriptors: 'no',
      signalMask: 'no',
      ignoredSignals: 'yes',
      parentDeathSignal: 'yes',
      ...YES_IN_ALL(NAMESPACES),
      cgroup: { documented: '`SysProcAttr.UseCgroupFD`, since Go 1.20; not run' },
      pidfd: { documented: '`SysProcAttr.PidFD`, since Go 1.22; not run' },
      killRace: { documented: 'since Go 1.23; not run' },
      ...YES_IN_ALL(['timeout', 'abort', 'usage', 'badInput', 'noFork']),
      failingStep: { partial: 'a missing directory only' },
    },
  },
  {
    id: 'bubblewrap',
    title: 'bubblewrap',
    page: 'https://manpages.debian.org/bwrap.1',
    program: 'bubblewrap.sh',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'descriptors', 'session', 'parentDeathSignal']),
      argv0: { documented: '`--argv0`, in later releases; not run' },
      closeDescriptors: 'no',
      signalMask: 'no',
      ignoredSignals: 'no',
      ids: { partial: 'in a new user namespace only' },
      bounding: 'no',
      capabilitySets: 'yes',
      ambient: 'yes',
      noNewPrivileges: { partial: 'always' },
      ...YES_IN_ALL(NAMESPACES.filter((row) => row !== 'timeNamespace')),
      joinNamespaces: { partial: 'user and pid namespaces' },
      ...YES_IN_ALL(['pivotRoot', 'bind', 'tmpfs', 'seccomp', 'failingStep', 'badInput']),
      noFork: { partial: 'it is a program itself: what starts it decides' },
    },
  },
  {
    id: 'systemdRun',
    title: 'systemd-run (not run)',
    page: 'https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html',
    claims: {
      ...YES_IN_ALL(['cwd', 'env', 'closeDescriptors', 'signalMask', 'umask', 'session', 'nice']),
      argv0: { partial: '`@` before the path, in unit files' },
      descriptors: { partial: '`OpenFile=` and sockets, in the order of the unit' },
      ignoredSignals: { partial: 'SIGPIPE is ignored, unless `IgnoreSIGPIPE=no`' },
      newGroup: SESSION_LEADER,
      ...YES_IN_ALL(['controllingTerminal', 'policy', 'affinity', 'ioPriority', 'timerSlack']),
      ...YES_IN_ALL(['oomScore', 'limits', 'ids', 'groups', 'bounding', 'ambient', 'securebits']),
      noNewPrivileges: 'yes',
      ...YES_IN_ALL(['mountNamespace', 'networkNamespace', 'ipcNamespace', 'utsNamespace']),
      userNamespace: { partial: 'with a map of its own choice' },
      pidNamespace: { partial: '`PrivatePIDs=`, since systemd 257' },
      cgroupNamespace: { partial: '`ProtectControlGroups=private`, since systemd 257' },
      joinNamespaces: { partial: 'network and IPC namespaces' },
      chroot: { partial: '`RootDirectory=`: by pivot_root or chroot, as it sees fit' },
      pivotRoot: { partial: '`RootDirectory=`: by pivot_root or chroot, as it sees fit' },
      ...YES_IN_ALL(['bind', 'tmpfs', 'seccomp', 'cgroup', 'cgroupLimits', 'timeout']),
      badInput: { partial: 'of properties, not of what the program gets' },
      usage: { partial: 'of the whole unit, printed by `--wait`' },
      failingStep: { partial: 'as an exit status above 200, and in the journal' },
      noFork: { partial: 'the service manager starts it, not the caller' },
    },
  },
];
