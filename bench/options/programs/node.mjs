// node:child_process. Argument: a row.
import { exec, fork, spawn } from 'node:child_process';
import { openSync } from 'node:fs';

const { PERL, PROBE, SCRATCH, REPOSITORY } = process.env;
const show = (value) => console.log(JSON.stringify(value));

function child(options = {}, ...args) {
  return spawn(PERL, [PROBE, ...args], { stdio: 'inherit', ...options });
}

function ended(options) {
  child(options, 'wait')
    .on('error', () => {})
    .on('exit', (_code, signal) => show({ ended: signal }));
}

function failure(act) {
  return new Promise((resolve) => {
    try {
      const text = ({ message, path, syscall, code }) => `${message} ${path} ${syscall} ${code}`;
      act()
        .on('error', (error) => resolve(text(error)))
        .on('exit', () => resolve(null));
    } catch (error) {
      resolve(String(error));
    }
  });
}

const rows = {
  cwd: () => child({ cwd: `${SCRATCH}/folder` }),
  env: () => child({ env: { OPTION: 'here' } }),
  argv0: () => child({ argv0: 'another-name' }),
  descriptors: () =>
    child({ stdio: ['inherit', 'inherit', 'inherit', openSync(`${SCRATCH}/folder/file`)] }),
  async closeDescriptors() {
    // Node opens everything close-on-exec; an add-on or a library need not.
    const { engine } = await import(`${REPOSITORY}/build/src/process/engine.js`);
    engine().kernel.call('fcntl', openSync(`${SCRATCH}/leak`), 2, 0);
    child();
  },
  newGroup: () => child({ detached: true }),
  session: () => child({ detached: true }),
  signalMask: () => child(),
  ignoredSignals: () => child(),
  ids: () => child({ uid: 65534, gid: 65534 }),
  killRace: () => {
    const waiting = child({}, 'wait').on('spawn', () => waiting.kill());
  },
  timeout: () => ended({ timeout: 100 }),
  abort: () => {
    const controller = new AbortController();
    ended({ signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
  },
  outputLimit: () =>
    exec(`"${PERL}" "${PROBE}" write`, { maxBuffer: 1000 }, (error, stdout) =>
      show({ collected: stdout.length, exceeded: error?.code ?? null }),
    ),
  channel: () => {
    const other = fork(new URL('ipc-child.mjs', import.meta.url));
    other.on('message', (answer) => show({ answer }));
    other.send('ping');
  },
  async failingStep() {
    show({
      chdir: await failure(() => child({ cwd: `${SCRATCH}/missing` })),
      exec: await failure(() => spawn(`${SCRATCH}/folder/file`)),
      setuid: await failure(() => child({ uid: 65534 })),
    });
  },
  badInput: async () => show({ refused: await failure(() => child({}, 'a\0b')) }),
  noFork: () => child(),
};
await rows[process.argv[2]]();
