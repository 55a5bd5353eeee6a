import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MACHINES } from '../../src/machine/index.js';
import { compile } from '../../src/plan/compile.js';
import { imageOnly } from '../../src/plan/plan.js';
import { STEP_TYPES } from '../../src/plan/steps/index.js';
import { ERRNOS } from '../faults/errnos.js';
import { SAMPLE_PLANS, type SampleFiles } from './sample-plans.js';

const files: SampleFiles = {
  target: '/target',
  script: '/script',
  folder: '/folder',
  folderDescriptor: 20,
  descriptors: [21, 22],
  namespace: 23,
  terminal: '/dev/pts/0',
};

/** Steps that fork: what the new process calls is counted anew. Their tests are of namespaces. */
const FORKING = ['forkIntoPidNamespace', 'userNamespace'];

test('every kind of step occurs in a sample plan, but for those that fork', () => {
  const types = SAMPLE_PLANS.flatMap(({ plan }) => plan(files).steps.map(({ type }) => type));
  assert.deepEqual(
    STEP_TYPES.filter((type) => !types.includes(type)),
    FORKING,
  );
});

test('the errors of every system call of a sample plan are known', () => {
  for (const machine of Object.values(MACHINES)) {
    for (const { name, plan } of SAMPLE_PLANS) {
      const compiled = plan(files);
      for (const executor of ['image', 'direct'] as const) {
        if (executor === 'direct' && imageOnly(compiled) !== undefined) continue;
        for (const closeRange of [true, false]) {
          const site = { machine, executor, errorPipe: 30, argumentCount: 1, closeRange };
          for (const { op, name: syscall } of compile(compiled, site).instructions) {
            if (op === 'syscall') assert.ok(syscall in ERRNOS, `${name}: ${syscall}`);
          }
        }
      }
    }
  }
});
