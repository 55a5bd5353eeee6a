import { mkdirSync, mkdtempSync, openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageTemplate, writeImageHead } from '../../src/elf/image.js';
import { LaunchError, launch, type SpawnError, spawn, spawnSync } from '../../src/index.js';
import { tableWord } from '../../src/launch/binding.js';
import { EXECUTORS, type Executor } from '../../src/launch/executor.js';
import { features } from '../../src/launch/features.js';
import { Launcher } from '../../src/launch/launcher.js';
import { Ways } from '../../src/launch/ways.js';
import { O_RDWR } from '../../src/plan/constants.js';
import { imageOnly, type Plan } from '../../src/plan/plan.js';
import type { Engine } from '../../src/process/engine.js';
import { Watcher } from '../../src/process/watcher.js';
import { ProgramBuilder } from '../../src/program/builder.js';
import { layoutOf, link } from '../../src/program/link.js';
import { SAMPLE_PLANS, type SampleFiles } from '../plan/sample-plans.js';
import type { Variant } from './cells.js';

const VARIANTS: readonly Variant[] = [...EXECUTORS, 'default', 'file', 'no close_range'];

/** How an operation ended. */
export interface Outcome {
  /** What the target ended with; null if there was none, and no error: then something is wrong. */
  readonly exit: number | string | null;
  readonly error: {
    readonly code: string | undefined;
    readonly errno: number | undefined;
    readonly syscall: string | undefined;
    readonly step: string | undefined;
    readonly text: string;
  } | null;
}

/** Something that starts a process, and waits for its end. */
export interface Operation {
  readonly name: string;
  readonly executor: Variant;
  /** Whether its children's calls are of interest; then it makes a new launcher each time. */
  readonly plan: boolean;
  /** Whether the event loop has a part in it. */
  readonly async: boolean;
  readonly run: (unobserved: <T>(act: () => T) => T) => Outcome | Promise<Outcome>;
}

/** Folder and files for samples, and descriptors of this process. */
export function sampleFiles({ kernel }: Engine): SampleFiles {
  const folder = mkdtempSync(join(tmpdir(), 'safeexec-faults-'));
  const target = join(folder, 'target');
  writeFileSync(target, exitImage(kernel.binding.machine), { mode: 0o755 });
  const script = join(folder, 'script');
  writeFileSync(script, 'exit 0\n', { mode: 0o755 });
  writeFileSync(join(folder, 'cgroup.procs'), '');
  kernel.call('fchmodat', -100, kernel.string(folder), 0o755);
  const folderDescriptor = openSync(folder, 'r');
  const descriptors = [openSync(target, 'r'), openSync('/dev/null', 'r+')] as const;
  return {
    target,
    script,
    folder,
    folderDescriptor,
    descriptors,
    namespace: openSync('/proc/self/ns/uts', 'r'),
    terminal: terminal(kernel),
  };
}

/** A program that ends at once. */
function exitImage(machine: Engine['kernel']['binding']['machine']): Uint8Array {
  const b = new ProgramBuilder(machine.wordSize);
  const end = b.here();
  b.syscall('exit_group', [0]);
  b.jump(end);
  const program = b.build();
  const template = imageTemplate(machine);
  const { size } = layoutOf(program, machine.wordSize);
  const bytes = new Uint8Array(template.head.length + size);
  writeImageHead(template, machine.wordSize, size, bytes);
  link(program, machine, template.programAddress, bytes.subarray(template.head.length));
  return bytes;
}

const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;

/** The path of a new terminal, whose other side stays open. */
function terminal(kernel: Engine['kernel']): string {
  const fd = openSync('/dev/ptmx', O_RDWR);
  kernel.memory.setInt32(kernel.scratchAt, 0);
  kernel.call('ioctl', fd, TIOCSPTLCK, kernel.scratchAddress);
  kernel.call('ioctl', fd, TIOCGPTN, kernel.scratchAddress);
  return `/dev/pts/${kernel.memory.int32(kernel.scratchAt)}`;
}

export function errorOf(error: unknown): Outcome {
  const { code, errno, syscall, step, message } = error as SpawnError;
  const typed = error instanceof LaunchError || step !== undefined;
  const text = typed ? message : `untyped: ${(error as Error).stack}`;
  return { exit: null, error: { code, errno, syscall, step, text } };
}

/** The operations of the matrix: each sample plan, and the public functions. */
export function operations(current: Engine, files: SampleFiles): Operation[] {
  const list: Operation[] = [];
  const root = process.getuid?.() === 0;
  for (const executor of VARIANTS) {
    for (const sample of SAMPLE_PLANS) {
      if (sample.root && !root) continue;
      const plan = sample.plan(files);
      if (executor === 'direct' && imageOnly(plan) !== undefined) continue;
      list.push({
        name: sample.name,
        executor,
        plan: true,
        async: false,
        run: (unobserved) => planned(current, { plan, executor }, unobserved),
      });
    }
  }
  const cgroup = openCgroup();
  if (cgroup !== undefined) {
    list.push({
      name: 'into cgroup',
      executor: 'image',
      plan: true,
      async: false,
      run: (unobserved) => {
        const exec = { candidates: [files.target], file: files.target, shellFallback: false };
        const given = { plan: { steps: [], exec }, executor: 'image', cgroup } as const;
        return planned(current, given, unobserved);
      },
    });
  }
  for (const executor of EXECUTORS) {
    const { target, folder } = files;
    list.push(
      {
        name: 'spawn()',
        executor,
        plan: false,
        async: true,
        run: () => spawned(target, folder, executor),
      },
      {
        name: 'launch()',
        executor,
        plan: false,
        async: true,
        run: () => launched(files, executor),
      },
      {
        name: 'spawnSync()',
        executor,
        plan: false,
        async: false,
        run: () => {
          const { error, status, signal } = spawnSync(target, {
            cwd: folder,
            executor,
            input: 'x',
          });
          return error ? errorOf(error) : { exit: status ?? signal, error: null };
        },
      },
    );
  }
  list.push(
    { name: 'Watcher', executor: 'default', plan: false, async: true, run: () => watched(current) },
    {
      name: 'first Watcher',
      executor: 'default',
      plan: false,
      async: true,
      run: () => {
        // As if the process had no waiter yet.
        const { kernel } = current;
        const at = tableWord(kernel.binding, 'waiter');
        const waiter = kernel.load(at);
        kernel.store(at, 0);
        return watched(current).finally(() => kernel.store(at, waiter));
      },
    },
  );
  return list;
}

/** A control group of version 2, if one can be made where it is mounted; removed at the end. */
function openCgroup(): number | undefined {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const point = mounts.find((line) => line.includes(' - cgroup2 '))?.split(' ')[4];
  if (point === undefined) return undefined;
  const path = join(point, `safeexec-faults-${process.pid}`);
  try {
    mkdirSync(path);
  } catch {
    return undefined;
  }
  process.on('exit', () => rmdirSync(path));
  return openSync(path, 'r');
}

/** Runs a plan with a launcher of its own, whose programs are made while this happens. */
function planned(
  { kernel, inFlight, watcher }: Engine,
  given: { readonly plan: Plan; readonly executor: Variant; readonly cgroup?: number },
  unobserved: <T>(act: () => T) => T,
): Outcome {
  const launcher = unobserved(() => {
    const found = features(inFlight);
    const closeRange = found.closeRange && given.executor !== 'no close_range';
    return new Launcher(inFlight, { ...found, closeRange }, watcher);
  });
  const { choose } = Ways.prototype;
  if (given.executor === 'file') {
    Ways.prototype.choose = function (this: Ways, choice) {
      return choose.call(this, choice).filter(({ image }) => image === 'file');
    };
  }
  const { executor } = given;
  try {
    const { pidfd } = launcher.launch({
      ...given,
      argv: ['target', 'argument'],
      env: ['A=B'],
      executor: executor === 'default' ? undefined : executor === 'direct' ? executor : 'image',
      wait: true,
    });
    return unobserved(() => {
      const { scratchAddress, scratchAt, memory, binding } = kernel;
      kernel.call('waitid', 3, pidfd, scratchAddress, 4);
      watcher.release(pidfd);
      return {
        exit: memory.int32(scratchAt + binding.machine.structs.siginfo.status),
        error: null,
      };
    });
  } catch (error) {
    return errorOf(error);
  } finally {
    Ways.prototype.choose = choose;
  }
}

/** Ways that failed are tried again: what fails here is no sign of more to come. */
Ways.prototype.remember = () => {};

async function spawned(file: string, cwd: string, executor: Executor): Promise<Outcome> {
  try {
    const child = spawn(file, [], { cwd, executor, stdio: ['pipe', 'pipe', 'inherit', 'pipe'] });
    return await new Promise<Outcome>((resolve) => {
      child.on('spawn', () => {});
      child.on('error', (error) => resolve(errorOf(error)));
      child.on('close', (code, signal) => resolve({ exit: code ?? signal, error: null }));
    });
  } catch (error) {
    return errorOf(error);
  }
}

async function launched(files: SampleFiles, executor: Executor): Promise<Outcome> {
  try {
    const { exited } = launch({
      path: files.target,
      executor,
      closeOthers: false,
      actions: [{ type: 'dup2', from: files.descriptors[0], to: 0 }],
    });
    const exit = await exited;
    return { exit: exit && (exit.exitCode ?? exit.signal), error: null };
  } catch (error) {
    return errorOf(error);
  }
}

/** Sets a watcher up; the waiter takes it down when its stream is gone, as of a Worker that ended. */
async function watched({ inFlight }: Engine): Promise<Outcome> {
  const { resume } = Socket.prototype;
  let stream: Socket | undefined;
  Socket.prototype.resume = function (this: Socket) {
    stream = this;
    return resume.call(this);
  };
  try {
    new Watcher(inFlight);
    return { exit: 0, error: null };
  } catch (error) {
    return errorOf(error);
  } finally {
    Socket.prototype.resume = resume;
    stream?.destroy();
  }
}
