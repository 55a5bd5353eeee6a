// Bun.spawn. Argument: a row.
import { dlopen, FFIType } from 'bun:ffi';
import { openSync } from 'node:fs';

const { PERL, PROBE, SCRATCH, GROUP } = process.env;
const show = (value) => console.log(JSON.stringify(value));

function child(options = {}, ...args) {
  return Bun.spawn([PERL, PROBE, ...args], {
    stdio: ['inherit', 'inherit', 'inherit'],
    ...options,
  });
}

async function ended(options) {
  const waiting = child(options, 'wait');
  await waiting.exited;
  show({ ended: waiting.signalCode });
}

async function failure(act) {
  try {
    await act().exited;
    return null;
  } catch (error) {
    return `${error.message} ${error.path} ${error.syscall} ${error.code}`;
  }
}

const rows = {
  cwd: () => child({ cwd: `${SCRATCH}/folder` }),
  env: () => child({ env: { OPTION: 'here' } }),
  argv0: () => child({ argv0: 'another-name' }),
  descriptors: () =>
    child({ stdio: ['inherit', 'inherit', 'inherit', openSync(`${SCRATCH}/folder/file`)] }),
  closeDescriptors: () => {
    const { symbols } = dlopen('libc.so.6', {
      open: { args: [FFIType.cstring, FFIType.i32], returns: FFIType.i32 },
    });
    symbols.open(Buffer.from(`${SCRATCH}/leak\0`), 0);
    child();
  },
  newGroup: () => child({ detached: true }),
  session: () => child({ detached: true }),
  controllingTerminal: async () => {
    let output = '';
    const terminal = {
      cols: 10_000,
      data: (_terminal, data) => {
        output += Buffer.from(data).toString();
      },
    };
    const other = Bun.spawn([PERL, PROBE], { terminal });
    await other.exited;
    console.log(output);
  },
  signalMask: () => child(),
  ignoredSignals: () => child(),
  ids: () => child({ uid: 65534, gid: 65534 }),
  cgroup: () => child({ cgroup: GROUP }),
  killRace: () => child({}, 'wait').kill(),
  timeout: () => ended({ timeout: 100 }),
  abort: () => ended({ signal: AbortSignal.timeout(100) }),
  outputLimit: async () => {
    const other = child({ stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1000 }, 'write');
    const output = await other.stdout.text();
    await other.exited;
    show({ collected: output.length, exceeded: other.signalCode });
  },
  usage: async () => {
    const other = child({ stdio: ['ignore', 'ignore', 'inherit'] });
    await other.exited;
    show({ maxRSS: Number(other.resourceUsage().maxRSS) });
  },
  channel: () => {
    const path = new URL('ipc-child.mjs', import.meta.url).pathname;
    const ipc = (answer) => show({ answer });
    Bun.spawn([process.execPath, path], { ipc, stdout: 'inherit' }).send('ping');
  },
  failingStep: async () =>
    show({
      chdir: await failure(() => child({ cwd: `${SCRATCH}/missing` })),
      exec: await failure(() => Bun.spawn([`${SCRATCH}/folder/file`])),
      setuid: await failure(() => child({ uid: 65534 })),
    }),
  badInput: async () => show({ refused: await failure(() => child({}, 'a\0b')) }),
  noFork: () => child(),
};
await rows[process.argv[2]]();
