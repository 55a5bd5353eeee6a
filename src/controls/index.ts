import { serialize } from 'node:v8';
import { invalidArgType } from '../errors.js';
import type { Launcher } from '../launch/launcher.js';
import type { Step } from '../plan/plan.js';
import { ownOptions, snapshot } from '../validate.js';
import { CGROUP, type CgroupOptions } from './cgroup.js';
import type { Cgroup } from './cgroup-group.js';
import type { Contribution, Control, HeldProgram, Resource } from './control.js';
import { CREDENTIALS, type CredentialOptions } from './credentials.js';
import { EXEC, type ExecOptions } from './exec.js';
import { LANDLOCK } from './landlock.js';
import type { LandlockOption } from './landlock-options.js';
import { LIMITS, type LimitOptions } from './limits.js';
import { MEMORY, type MemoryOptions } from './memory.js';
import { NAMESPACES, type NamespaceOptions } from './namespaces.js';
import { PARENT_EXIT, type ParentExitOptions } from './parent-exit.js';
import { fullSandbox, reducedSandbox, type Sandbox, type SandboxInForce } from './sandbox.js';
import { type CheckedSandbox, checkSandbox, type SandboxOptions } from './sandbox-options.js';
import { SCHEDULING, type SchedulingOptions } from './scheduling.js';
import { SECCOMP, type SeccompOptions } from './seccomp.js';
import { SESSION, type SessionOptions } from './session.js';
import { SIGNALS, type SignalOptions } from './signals.js';
import { inOrder, STAGES, type StagedSteps } from './stages.js';

/** Options by which a process is controlled, and that Node does not have. */
export interface ControlOptions
  extends SignalOptions,
    SessionOptions,
    CgroupOptions,
    SchedulingOptions,
    MemoryOptions,
    LimitOptions,
    NamespaceOptions,
    ExecOptions,
    CredentialOptions,
    LandlockOption,
    ParentExitOptions,
    SeccompOptions,
    SandboxOptions {}

/** In the order in which the steps of one stage run. */
const CONTROLS: readonly Control<ControlOptions>[] = [
  SIGNALS,
  SESSION,
  CGROUP,
  SCHEDULING,
  MEMORY,
  LIMITS,
  NAMESPACES,
  EXEC,
  CREDENTIALS,
  PARENT_EXIT,
  LANDLOCK,
  SECCOMP,
];

/** Names of all control options. */
export const CONTROL_NAMES: readonly (keyof ControlOptions)[] = [
  ...CONTROLS.flatMap(({ names }) => names),
  'sandbox',
];

const NAMES: ReadonlySet<string> = new Set(CONTROL_NAMES);

/** What all control options of one launch ask for together. */
export interface Controls {
  readonly steps: StagedSteps;
  readonly cloneFlags: number;
  /** Paths mean something else in the child than here. */
  readonly changesRoot: boolean;
  /** The working directory and the program, by descriptor. */
  readonly cwdFd: number | undefined;
  readonly execFd: HeldProgram | undefined;
  /** What of a sandbox is in force; null where none was asked for, or it is not known yet. */
  readonly sandbox: SandboxInForce | null;
  /** Equal for equal controls. */
  readonly key: string;
  readonly acquire: readonly NonNullable<Contribution['acquire']>[];
}

/** Controls with all that they need: to be told of the launch, and of the process's end. */
export interface AcquiredControls
  extends Omit<Controls, 'acquire'>,
    Omit<Resource, 'steps' | 'group' | 'sandbox'> {
  /** The control group in which the process is to start, if one was asked for. */
  readonly group: Cgroup | null;
}

/** Checks control options; undefined if none is set. Throws before anything is started. */
export function prepareControls(options: ControlOptions): Controls | undefined {
  if (!Object.keys(options).some((name) => NAMES.has(name))) return undefined;
  // Read once: what is checked is what is used.
  const given: Record<string, unknown> = ownOptions(options as object) as Record<string, unknown>;
  for (const name of CONTROL_NAMES) {
    if (given[name] === undefined) continue;
    given[name] = snapshot(given[name], `options.${name}`);
    if (isOpaque(given[name])) {
      throw invalidArgType(`options.${name}`, 'an object with settings', given[name]);
    }
  }
  const checked = checkSandbox(given);
  if (checked === null) return combine(contributionsOf(given), null);
  const prepare = (sandbox: Sandbox): Contribution[] => prepareSandbox(given, sandbox);
  if (!checked.bestEffort) return keptSandbox(given, checked, prepare);
  // What is no step is the same in a weaker one.
  const others = prepare(fullSandbox(checked)).map((each) => ({ ...each, steps: {} }));
  const acquire = (launcher: Launcher): Resource => weaken(launcher, checked, prepare);
  return combine([...others, { steps: {}, acquire }], null);
}

/** Whether an object is of a class, and has nothing to read: a URL, a Map, a Date. */
function isOpaque(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  // Whose keys are its elements: there may be millions of them.
  if (ArrayBuffer.isView(value)) return false;
  return Object.getPrototypeOf(value) !== null && Object.keys(value).length === 0;
}

/** How many sandboxes are kept. */
const KEPT = 16;
const kept = new Map<string, Controls | undefined>();

/**
 * The controls of a sandbox, kept by all that they depend on, for they take longer to put together
 * than the kernel does to start a process: options, the user, the directory.
 */
function keptSandbox(
  given: Record<string, unknown>,
  checked: CheckedSandbox,
  prepare: (sandbox: Sandbox) => Contribution[],
): Controls | undefined {
  const options = CONTROL_NAMES.map((name) => given[name]);
  const surroundings = [given.cwd != null, process.cwd(), process.geteuid?.(), process.getegid?.()];
  const key = keyOf([options, surroundings]);
  let controls = key === null ? undefined : kept.get(key);
  if (controls === undefined) {
    const full = fullSandbox(checked);
    controls = combine(prepare(full), full.inForce);
    if (kept.size >= KEPT) kept.clear();
    if (key !== null) kept.set(key, controls);
  }
  return controls;
}

/** Different for values that differ, as JSON is not: of NaN, and of bigints. null: has no key. */
function keyOf(value: unknown): string | null {
  try {
    return serialize(value).toString('latin1');
  } catch {
    // A function, say: no option, which the checks will tell.
    return null;
  }
}

function contributionsOf(options: ControlOptions): Contribution[] {
  const contributions: Contribution[] = [];
  // Read once: what is checked is what is used.
  const given: Record<string, unknown> = ownOptions(options as object) as Record<string, unknown>;
  for (const name of CONTROL_NAMES) {
    if (given[name] !== undefined) given[name] = snapshot(given[name], `options.${name}`);
  }
  options = given;
  for (const { names, prepare } of CONTROLS) {
    if (names.every((name) => options[name] === undefined)) continue;
    const contribution = prepare(options);
    if (contribution !== null) contributions.push(contribution);
  }
  return contributions;
}

/** Options with a sandbox: they may ask for other limits, and for another filter. */
function prepareSandbox(
  given: ControlOptions & { readonly cwd?: unknown },
  { parts, filter, directory }: Sandbox,
): Contribution[] {
  const { limits, seccomp = parts.seccomp } = given;
  // What is no object is refused as it is without a sandbox.
  const isLimits = typeof limits === 'object' && limits !== null && !Array.isArray(limits);
  const options: ControlOptions = {
    ...given,
    ...parts,
    seccomp,
    limits: limits === undefined ? parts.limits : limits,
    ...(isLimits ? { limits: ownOptions({ ...parts.limits, ...limits }) } : {}),
  };
  const contributions = contributionsOf(ownOptions(options));
  if (filter !== undefined) contributions.unshift(...contributionsOf({ seccomp: filter }));
  if (directory !== undefined && given.cwd == null) {
    contributions.push({ steps: { directory: [{ type: 'chdir', path: directory }] } });
  }
  // What this process does not find is not in the sandbox either.
  return contributions.map((each) => ({ ...each, changesRoot: false }));
}

/**
 * A sandbox of what there is: asks the kernel for namespaces, and goes without if need be. It is
 * asked for nothing else: what other options have refused must not make the sandbox weaker.
 */
function weaken(
  launcher: Launcher,
  checked: CheckedSandbox,
  prepare: (sandbox: Sandbox) => Contribution[],
): Resource {
  const full = fullSandbox(checked);
  const alone = prepareSandbox({}, full).map(({ steps }) => steps);
  const refusal = launcher.refusalOf(inOrder(merge(alone)));
  const sandbox = refusal === null ? full : reducedSandbox(checked, refusal);
  const steps = merge(prepare(sandbox).map((each) => each.steps));
  const nothing = (): void => {};
  const { inForce } = sandbox;
  return { steps, sandbox: inForce, launched: nothing, failed: nothing, ended: nothing };
}

function combine(
  contributions: readonly Contribution[],
  sandbox: SandboxInForce | null,
): Controls | undefined {
  if (contributions.length === 0) return undefined;
  let cloneFlags = 0;
  for (const contribution of contributions) cloneFlags |= contribution.cloneFlags ?? 0;
  const steps = merge(contributions.map((each) => each.steps));
  const cwdFd = contributions.find((each) => each.cwdFd !== undefined)?.cwdFd;
  const execFd = contributions.find((each) => each.execFd !== undefined)?.execFd;
  return {
    steps,
    cloneFlags,
    changesRoot: contributions.some(({ changesRoot }) => changesRoot),
    cwdFd,
    execFd,
    sandbox,
    key: JSON.stringify([cloneFlags, steps, cwdFd, execFd]),
    acquire: contributions.flatMap(({ acquire }) => acquire ?? []),
  };
}

/** Opens and makes what controls need. Throws LaunchError, and leaves nothing behind. */
export function acquireControls(controls: Controls, launcher: Launcher): AcquiredControls {
  const resources: Resource[] = [];
  const each = (act: 'launched' | 'failed' | 'ended') => (): void => {
    for (const resource of resources) resource[act]();
  };
  try {
    for (const acquire of controls.acquire) resources.push(acquire(launcher));
  } catch (error) {
    each('launched')();
    each('failed')();
    throw error;
  }
  const more = resources.map(({ steps }) => steps);
  const steps = more.length === 0 ? controls.steps : merge([controls.steps, ...more]);
  return {
    steps,
    cloneFlags: controls.cloneFlags,
    changesRoot: controls.changesRoot,
    cwdFd: controls.cwdFd,
    execFd: controls.execFd,
    key: more.length === 0 ? controls.key : `${controls.key} ${JSON.stringify(more)}`,
    cgroup: resources.find(({ cgroup }) => cgroup !== undefined)?.cgroup,
    sandbox: resources.find(({ sandbox }) => sandbox !== undefined)?.sandbox ?? controls.sandbox,
    group: resources.find(({ group }) => group !== undefined)?.group ?? null,
    launched: each('launched'),
    failed: each('failed'),
    ended: each('ended'),
  };
}

function merge(parts: readonly StagedSteps[]): StagedSteps {
  return Object.fromEntries(
    STAGES.map((stage) => [stage, onceOnly(parts.flatMap((part) => part[stage] ?? []))]),
  );
}

/** Several options ask for no_new_privs. */
function onceOnly(steps: readonly Step[]): readonly Step[] {
  const first = steps.findIndex(({ type }) => type === 'noNewPrivileges');
  return steps.filter(({ type }, i) => type !== 'noNewPrivileges' || i === first);
}
