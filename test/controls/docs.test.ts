import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { idSteps } from '../../src/controls/credentials.js';
import { CONTROL_NAMES, type ControlOptions, prepareControls } from '../../src/controls/index.js';
import { STAGES, type StagedSteps } from '../../src/controls/stages.js';
import { STEP_TYPES } from '../../src/plan/steps/index.js';
import { combine } from './pairs/combine.js';
import { SAMPLES, type Surroundings } from './pairs/options.js';

const folder = new URL('../../../docs/', import.meta.url);
const page = (name: string): string => readFileSync(new URL(name, folder), 'utf8');

/** What controls alone do not have: the steps of spawn() and launch(), and those of a group. */
const OWN: Readonly<Record<string, readonly string[]>> = {
  signals: ['signalDefaults'],
  session: ['setsid'],
  cgroup: ['joinCgroup'],
  descriptors: [
    ...['descriptors', 'statusFlags', 'open', 'close', 'dup2', 'chdir', 'fchdir'],
    ...['closeFrom', 'closeAllBut', 'tcsetpgrp', 'closeOnExec'],
  ],
  directory: ['chdir', 'fchdir', 'close', 'dup2', 'closeOnExec'],
  credentials: idSteps(1, 1).map(({ type }) => type),
  mask: ['signalMask'],
};

/** What no sample of the pairs has, or not without another. */
const MORE: readonly ControlOptions[] = [
  { foreground: 0 },
  { namespaces: { pid: { join: 0 } }, killOnParentExit: true },
  { namespaces: { user: { uid: 0 }, uts: { hostname: 'a', domainname: 'b' } } },
  { namespaces: { pid: true }, killOnParentExit: true },
  { namespaces: { pid: true }, scheduling: { policy: 'fifo', priority: 1, resetOnFork: true } },
  {
    namespaces: { pid: true },
    scheduling: { policy: 'deadline', runtime: 1024, deadline: 1024 },
  },
  { namespaces: { user: true }, limits: { core: 0 } },
  { uid: 1, capabilities: { inheritable: ['kill'] } },
];

const HERE: Surroundings = {
  ...{ folder: '/tmp', probe: '/tmp/probe', programFd: 0, directoryFd: 0, terminal: 0 },
  ...{ cgroup: null, isRoot: true, mayRaise: true, inUserNamespace: false },
};

/** The types of steps that run in each stage. */
function typesByStage(): ReadonlyMap<string, ReadonlySet<string>> {
  const types = new Map<string, Set<string>>(
    STAGES.map((stage) => [stage, new Set(OWN[stage] ?? [])]),
  );
  const all = [...SAMPLES.map((sample) => combine([sample], HERE) ?? {}), ...MORE];
  for (const options of all) {
    const steps: StagedSteps = prepareControls(options)?.steps ?? {};
    for (const stage of STAGES) {
      for (const { type } of steps[stage] ?? []) types.get(stage)?.add(type);
    }
  }
  return types;
}

/** The stages of the page, and the types that are named at the head of an item. */
function stagesOfPage(): [string, string[]][] {
  const stages = page('steps.md')
    .split(/^## /m)
    .find((part) => part.startsWith('Stages'));
  return (stages ?? '')
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const [, stage = ''] = /^`(\w+)`/.exec(part) ?? [];
      const heads = part.match(/^ *- (`\w+`,? ?)+/gm) ?? [];
      return [stage, heads.flatMap((head) => head.match(/\w+/g) ?? [])];
    });
}

test('docs/steps.md has every stage, in its order, with the steps that run in it', () => {
  const written = stagesOfPage();
  assert.deepEqual(
    written.map(([stage]) => stage),
    STAGES,
  );
  const types = typesByStage();
  for (const [stage, named] of written) {
    assert.deepEqual([...new Set(named)].sort(), [...(types.get(stage) ?? [])].sort(), stage);
  }
  const all = new Set(written.flatMap(([, named]) => named));
  assert.deepEqual(
    STEP_TYPES.filter((type) => !all.has(type)),
    [],
  );
});

test('docs/controls.md has every option, and every page about them', () => {
  const rows = page('controls.md').match(/^\| .*$/gm) ?? [];
  const named = rows.flatMap((row) => /^\| \[?`(\w+)`/.exec(row)?.[1] ?? []);
  assert.deepEqual(named.sort(), [...CONTROL_NAMES].sort());
  for (const file of readdirSync(new URL('controls', folder))) {
    assert.ok(page('controls.md').includes(`(controls/${file})`), file);
    assert.match(page(`controls/${file}`), /\(\.\.\/steps\.md[#)]/, file);
  }
});
