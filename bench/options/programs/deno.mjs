// Deno.Command. Argument: a row.
const { PERL, PROBE, SCRATCH } = Deno.env.toObject();
const show = (value) => console.log(JSON.stringify(value));

function child(options = {}, ...args) {
  return new Deno.Command(PERL, { args: [PROBE, ...args], ...options }).spawn();
}

async function ended(options) {
  show({ ended: (await child(options, 'wait').status).signal });
}

async function failure(act) {
  try {
    await act().status;
    return null;
  } catch (error) {
    return String(error);
  }
}

const rows = {
  cwd: () => child({ cwd: `${SCRATCH}/folder` }),
  env: () => child({ clearEnv: true, env: { OPTION: 'here' } }),
  closeDescriptors: () => {
    const libc = Deno.dlopen('libc.so.6', {
      open: { parameters: ['buffer', 'i32'], result: 'i32' },
    });
    libc.symbols.open(new TextEncoder().encode(`${SCRATCH}/leak\0`), 0);
    return child();
  },
  newGroup: () => child({ detached: true }),
  session: () => child({ detached: true }),
  signalMask: () => child(),
  ignoredSignals: () => child(),
  ids: () => child({ uid: 65534, gid: 65534 }),
  killRace: () => {
    const waiting = child({}, 'wait');
    waiting.kill();
    return waiting;
  },
  timeout: () => ended({ signal: AbortSignal.timeout(100) }),
  abort: () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    return ended({ signal: controller.signal });
  },
  failingStep: async () =>
    show({
      chdir: await failure(() => child({ cwd: `${SCRATCH}/missing` })),
      exec: await failure(() => new Deno.Command(`${SCRATCH}/folder/file`).spawn()),
      setuid: await failure(() => child({ uid: 65534 })),
    }),
  badInput: async () => show({ refused: await failure(() => child({}, 'a\0b')) }),
  noFork: () => child(),
};
await (await rows[Deno.args[0]]())?.status;
