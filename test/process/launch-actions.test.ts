import assert from 'node:assert/strict';
import { existsSync, mkdirSync, openSync, readlinkSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type FileAction, LaunchError, launch } from '../../src/index.js';
import { EXECUTORS } from '../../src/launch/executor.js';
import { F_GETFD, FD_CLOEXEC } from '../../src/plan/constants.js';
import { engine } from '../../src/process/engine.js';
import { act, type Model, ModelFailure, type ModelFiles } from './action-model.js';
import { OpenFiles } from './descriptor-fixture.js';
import { descriptorsOf, STOPS, stopped, traces } from './observe.js';

const open = new OpenFiles();
const folder = open.path('folder');
mkdirSync(folder);
const folderDescriptor = openSync(folder, 'r');
open.paths.set(folderDescriptor, folder);
for (let i = 0; i < 4; i++) open.create(`file-${i}`);
const here = process.cwd();
after(() => open.close());

const files: ModelFiles = {
  resolve,
  exists: existsSync,
  isFolder: (path) => existsSync(path) && statSync(path).isDirectory(),
};

const used = [0, 1, 2, ...open.descriptors];
const child = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...used) },
  { weight: 4, arbitrary: fc.nat(12) },
  { weight: 2, arbitrary: fc.nat(60) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 1000 }) },
);
const path = fc.constantFrom(
  ...[0, 1, 2, 3].map((i) => open.path(`file-${i}`)),
  '../file-1',
  open.path('missing'),
);
const directory = fc.constantFrom(folder, open.folder, '.', '..', '/', open.path('file-0'));

const action: fc.Arbitrary<FileAction> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(child, path).map(([fd, path]): FileAction => ({ type: 'open', fd, path })),
  },
  { weight: 4, arbitrary: child.map((fd): FileAction => ({ type: 'close', fd })) },
  {
    weight: 8,
    arbitrary: fc.tuple(child, child).map(([from, to]): FileAction => ({ type: 'dup2', from, to })),
  },
  { weight: 2, arbitrary: directory.map((path): FileAction => ({ type: 'chdir', path })) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(folderDescriptor, folderDescriptor, 5)
      .map((fd): FileAction => ({ type: 'fchdir', fd })),
  },
  { weight: 2, arbitrary: child.map((fd): FileAction => ({ type: 'closeFrom', fd })) },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom(...used), { maxLength: 4 })
      .map((fds): FileAction => ({ type: 'closeAllBut', fds })),
  },
  { weight: 0, arbitrary: fc.constant<FileAction>({ type: 'tcsetpgrp', fd: folderDescriptor }) },
);

type Descriptors = ReadonlyMap<number, string>;

/** What the child ends up with, or the code of the first failure. */
function predict(
  parent: Descriptors,
  actions: readonly FileAction[],
  closeOthers: boolean,
): Model | string {
  const given = (fd: number): boolean => fd <= 2 || (!closeOthers && !isCloseOnExec(fd));
  const table = new Map([...parent].map(([fd, file]) => [fd, { file, given: given(fd) }] as const));
  const model: Model = { table, cwd: here };
  try {
    act(model, actions, files);
    return model;
  } catch (error) {
    if (error instanceof ModelFailure) return error.code;
    throw error;
  }
}

/** Whether an action asks for a descriptor that is open nowhere: refused before all others. */
function asksInVain(parent: Descriptors, actions: readonly FileAction[]): boolean {
  const there = new Set(parent.keys());
  return actions.some((action) => {
    if (action.type === 'open') there.add(action.fd);
    if (action.type === 'dup2') {
      const missing = !there.has(action.from);
      there.add(action.to);
      return missing;
    }
    if (action.type === 'closeAllBut') return action.fds.some((fd) => !there.has(fd));
    return (action.type === 'fchdir' || action.type === 'tcsetpgrp') && !there.has(action.fd);
  });
}

async function expectActions(
  actions: readonly FileAction[],
  executor: 'image' | 'direct',
  closeOthers = true,
): Promise<void> {
  const parent = descriptorsOf('self');
  const predicted = asksInVain(parent, actions) ? 'EBADF' : predict(parent, actions, closeOthers);
  const [path, args] = STOPS;
  const options = { path, argv: ['sh', ...args], actions, executor, closeOthers };
  if (typeof predicted === 'string') {
    assert.throws(
      // One that starts all the same is not left behind.
      () => launch(options).kill('SIGKILL'),
      (error) => error instanceof LaunchError && error.code === predicted,
      `expected ${predicted}`,
    );
    return;
  }
  const process = launch(options);
  try {
    await stopped(process.pid);
    const expected = [...predicted.table]
      .filter(([, { given }]) => given)
      .map(([fd, { file }]): [number, string] => [fd, file]);
    assert.deepEqual(descriptorsOf(process.pid), new Map(expected.sort(([a], [b]) => a - b)));
    assert.equal(readlinkSync(`/proc/${process.pid}/cwd`), predicted.cwd);
  } finally {
    process.kill('SIGKILL');
    await process.exited;
  }
}

for (const executor of EXECUTORS) {
  test(`${executor}: any sequence of actions does what the model does`, async () => {
    const before = traces();
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 9 }), (actions) =>
        expectActions(actions, executor),
      ),
      { numRuns: 200 },
    );
    assert.deepEqual(traces(), before);
  });

  test(`${executor}: without closing others, they are there as exec leaves them`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 6 }), (actions) =>
        expectActions(actions, executor, false),
      ),
      { numRuns: 100 },
    );
  });

  test(`${executor}: tcsetpgrp on what is no terminal`, async () => {
    await expectActions([{ type: 'tcsetpgrp', fd: folderDescriptor }], executor);
  });

  test(`${executor}: numbers up to the limit`, async () => {
    // The error pipe has to be above all of them: one number at least is not to be had.
    const last = descriptorLimit() - 2;
    const path = open.path('file-0');
    await expectActions(
      [
        { type: 'open', fd: last, path },
        { type: 'dup2', from: last, to: 4 },
        { type: 'dup2', from: 0, to: last - 1 },
      ],
      executor,
    );
    assert.throws(
      () =>
        launch({ path: '/bin/true', actions: [{ type: 'open', fd: last + 2, path }], executor }),
      { code: 'EINVAL', step: 'error pipe', fd: last + 2 },
    );
  });

  test(`${executor}: numbers up to the limit and beyond can be closed`, async () => {
    const limit = descriptorLimit();
    await expectActions(
      [
        { type: 'close', fd: limit - 1 },
        { type: 'close', fd: 0x7fffffff },
        { type: 'dup2', from: 0, to: 4 },
        { type: 'closeFrom', fd: limit },
        { type: 'closeFrom', fd: 0x7fffffff },
      ],
      executor,
    );
    // All numbers there are, one by one: the error pipe is among them, and open until the exec.
    const actions = Array.from({ length: 200 }, (_, i) => ({ type: 'close', fd: i + 3 }) as const);
    await expectActions(actions, executor, false);
    assert.throws(() => launch({ path: open.path('missing'), actions, executor }), {
      code: 'ENOENT',
      step: 'exec',
    });
  });
}

function isCloseOnExec(fd: number): boolean {
  return (engine().kernel.call('fcntl', fd, F_GETFD) & FD_CLOEXEC) !== 0;
}

function descriptorLimit(): number {
  const probe = process.report?.getReport() as unknown as {
    userLimits: { open_files: { soft: number } };
  };
  return probe.userLimits.open_files.soft;
}
