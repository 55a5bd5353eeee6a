// safeexec. Argument: a row.
import { openSync, readFileSync } from 'node:fs';

const { PERL, PROBE, SCRATCH, REPOSITORY, GROUP } = process.env;
const { fork, launch, run, spawn } = await import(`${REPOSITORY}/dist/index.js`);
const show = (value) => console.log(JSON.stringify(value));
const folder = `${SCRATCH}/folder`;

function child(options = {}, ...args) {
  return spawn(PERL, [PROBE, ...args], { stdio: 'inherit', ...options });
}

function inRoot(root, ...args) {
  return spawn('/usr/bin/perl', ['/probe.pl', ...args], { stdio: 'inherit', root, cwd: '/' });
}

const namespace = (kind) => () => child({ namespaces: { [kind]: true } });

function ended(options) {
  child(options, 'wait')
    .on('error', () => {})
    .on('exit', (_code, signal) => show({ ended: signal }));
}

function failure(act) {
  return new Promise((resolve) => {
    try {
      const text = ({ message, step }) => `step ${step}: ${message}`;
      act()
        .on('error', (error) => resolve(text(error)))
        .on('exit', () => resolve(null));
    } catch (error) {
      resolve(String(error));
    }
  });
}

// Resource limits that differ from each other, and from what is usual.
const limits = Object.fromEntries(
  Object.entries(JSON.parse(process.env.LIMITS)).map(([name, [soft, hard]]) => [
    name,
    { soft, hard },
  ]),
);

const rows = {
  cwd: () => child({ cwd: folder }),
  env: () => child({ env: { OPTION: 'here' } }),
  argv0: () => child({ argv0: 'another-name' }),
  descriptors: () =>
    child({ stdio: ['inherit', 'inherit', 'inherit', openSync(`${folder}/file`)] }),
  async closeDescriptors() {
    // Node opens everything close-on-exec; an add-on or a library need not.
    const { engine } = await import(`${REPOSITORY}/build/src/process/engine.js`);
    engine().kernel.call('fcntl', openSync(`${SCRATCH}/leak`), 2, 0);
    child();
  },
  directoryDescriptor: () => child({ cwdFd: openSync(folder) }),
  execDescriptor: () =>
    spawn('by-descriptor', [PROBE], { stdio: 'inherit', execFd: openSync(PERL) }),
  umask: () => child({ umask: 0o123 }),
  newGroup: () => child({ setpgid: 0 }),
  joinGroup: () => {
    const waiting = child({ setpgid: 0 }, 'wait');
    child({ setpgid: waiting.pid }).on('exit', () => waiting.kill());
  },
  session: () => child({ detached: true }),
  controllingTerminal: () => child({ detached: true, controllingTerminal: 0 }),
  foreground: () => child({ setpgid: 0, foreground: 0 }),
  signalMask: () => child(),
  ignoredSignals: () => child(),
  nice: () => child({ nice: 7 }),
  policy: () => child({ scheduling: { policy: 'batch' } }),
  affinity: () => child({ cpus: [0] }),
  ioPriority: () => child({ ioPriority: { class: 'best-effort', level: 6 } }),
  oomScore: () => child({ oomScoreAdjust: 321 }),
  timerSlack: () => child({ timerSlack: 123_456 }),
  hugePages: () => child({ transparentHugePages: false }),
  randomization: () => child({ addressRandomization: false }),
  limits: () => child({ limits }),
  ids: () => child({ uid: 65534, gid: 65534 }),
  groups: () => child({ groups: [1, 2] }),
  bounding: () => child({ capabilities: { bounding: ['kill'] } }),
  ambient: () => child({ uid: 65534, capabilities: { ambient: ['kill'] } }),
  capabilitySets: () => {
    const set = ['kill'];
    child({ capabilities: { bounding: set, inheritable: set, permitted: set, effective: set } });
  },
  securebits: () => child({ securebits: ['noroot'] }),
  noNewPrivileges: () => child({ noNewPrivileges: true }),
  parentDeathSignal: () => child({ killOnParentExit: true }),
  chroot: () => inRoot({ path: `${SCRATCH}/root`, type: 'chroot' }, 'escape'),
  pivotRoot: () => inRoot(`${SCRATCH}/root`, 'escape'),
  userNamespace: namespace('user'),
  mountNamespace: namespace('mount'),
  pidNamespace: namespace('pid'),
  networkNamespace: namespace('network'),
  ipcNamespace: namespace('ipc'),
  utsNamespace: namespace('uts'),
  cgroupNamespace: namespace('cgroup'),
  timeNamespace: namespace('time'),
  joinNamespaces: () => {
    const waiting = child({ namespaces: { uts: true } }, 'wait');
    waiting.on('spawn', () => {
      const join = openSync(`/proc/${waiting.pid}/ns/uts`);
      child({ namespaces: { uts: { join } } }).on('exit', () => waiting.kill());
    });
  },
  bind: () =>
    child({
      mounts: [{ type: 'bind', source: folder, target: `${SCRATCH}/target`, readOnly: true }],
    }),
  tmpfs: () => child({ mounts: [{ type: 'tmpfs', target: `${SCRATCH}/target` }] }),
  seccomp: () => {
    const rules = [{ syscalls: ['mkdir', 'mkdirat'], action: { errno: 'EPERM' } }];
    child({ seccomp: { default: 'allow', rules } });
  },
  landlock: () => {
    const paths = ['/usr', '/lib', '/lib64', '/etc', '/proc', folder, PROBE];
    const rules = paths.map((path) => ({ path, access: 'execute', optional: true }));
    child({ landlock: { paths: rules } });
  },
  cgroup: () => child({ cgroup: GROUP }),
  cgroupLimits: () => child({ cgroup: { parent: GROUP, pidsMax: 12 } }),
  pidfd: () => {
    const { pid, pidfd } = launch({ path: PERL, argv: [PERL, '-e', '1'] });
    const info = readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1');
    show({ pid, pidOfDescriptor: Number(/^Pid:\s*(\d+)$/m.exec(info)?.[1]) });
  },
  killRace: () => {
    const waiting = child({}, 'wait').on('spawn', () => waiting.kill());
  },
  timeout: () => ended({ timeout: 100 }),
  abort: () => {
    const controller = new AbortController();
    ended({ signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
  },
  outputLimit: async () => {
    const { stdout, error } = await run(PERL, [PROBE, 'write'], {
      maxBuffer: 1000,
      reject: false,
    });
    show({ collected: stdout.length, exceeded: error?.code ?? null });
  },
  usage: async () => {
    const { resourceUsage } = await run(PERL, [PROBE]);
    show({ maxRSS: resourceUsage.maxRSS });
  },
  channel: () => {
    const other = fork(new URL('ipc-child.mjs', import.meta.url));
    other.on('message', (answer) => show({ answer }));
    other.send('ping');
  },
  async failingStep() {
    show({
      chdir: await failure(() => child({ cwd: `${SCRATCH}/missing` })),
      exec: await failure(() => spawn(`${folder}/file`)),
      setuid: await failure(() => child({ uid: 65534 })),
    });
  },
  badInput: async () => show({ refused: await failure(() => child({}, 'a\0b')) }),
  noFork: () => child(),
};
await rows[process.argv[2]]();
