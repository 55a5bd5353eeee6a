import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  _LINUX_CAPABILITY_VERSION_3,
  EINVAL,
  EPERM,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
} from '../../../src/plan/constants.js';
import { imageOnly, type Step } from '../../../src/plan/plan.js';
import { ALL_MACHINES, runSteps } from './run-step.js';

const machine = fc.constantFrom(...ALL_MACHINES);
const capability = fc.nat(40);
const list = fc.uniqueArray(capability).map((set) => set.sort((a, b) => a - b));

test('the bounding set is what was there and is to be kept, up to the last of any kernel', () => {
  fc.assert(
    fc.property(
      machine,
      fc.integer({ min: 37, max: 63 }),
      fc.uniqueArray(fc.nat(63)),
      list,
      (machine, last, given, keep) => {
        const set = new Set(given.filter((n) => n <= last));
        const expected = [...set].filter((n) => keep.includes(n));
        const failure = runSteps(machine, [{ type: 'boundingSet', keep }], (name, [option, n]) => {
          assert.equal(name, 'prctl');
          if ((n as number) > last) return -EINVAL;
          if (option === PR_CAPBSET_READ) return set.has(n as number) ? 1 : 0;
          assert.equal(option, PR_CAPBSET_DROP);
          set.delete(n as number);
          return 0;
        });
        assert.equal(failure, null);
        assert.deepEqual([...set], expected);
      },
    ),
    { numRuns: 100 },
  );
});

test('what cannot be dropped, or not even asked for, is a failure', () => {
  for (const machine of ALL_MACHINES) {
    const step: Step = { type: 'boundingSet', keep: [0] };
    const refused = runSteps(machine, [step], (_, [option]) =>
      option === PR_CAPBSET_READ ? 1 : -EPERM,
    );
    assert.equal(refused, 'bounding set: prctl');
    assert.equal(
      runSteps(machine, [step], () => -EINVAL),
      'bounding set: prctl',
    );
  }
});

/** effective, permitted, inheritable, as capget(2) has them. */
function readSets(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return [0, 4, 8].map(
    (at) => BigInt(view.getUint32(at, true)) | (BigInt(view.getUint32(at + 12, true)) << 32n),
  );
}

function writeSets(bytes: Uint8Array, sets: readonly bigint[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const [i, set] of sets.entries()) {
    view.setUint32(i * 4, Number(set & 0xffffffffn), true);
    view.setUint32(i * 4 + 12, Number(set >> 32n), true);
  }
}

const bits = (set: readonly number[]): bigint =>
  set.reduce((sum, n) => sum | (1n << BigInt(n)), 0n);
const sets = fc.tuple(...[0, 1, 2].map(() => fc.bigInt(0n, (1n << 64n) - 1n)));
const source = fc.oneof(fc.constant(undefined), fc.constant('permitted' as const), list);

test('capset: what is given is set, and the rest stays, on every machine', () => {
  fc.assert(
    fc.property(
      machine,
      sets,
      source,
      fc.option(list, { nil: undefined }),
      source,
      (machine, old, effective, permitted, inheritable) => {
        let found: bigint[] | undefined;
        const step = {
          type: 'capset',
          ...(effective === undefined ? {} : { effective }),
          ...(permitted === undefined ? {} : { permitted }),
          ...(inheritable === undefined ? {} : { inheritable }),
        } as const;
        const failure = runSteps(machine, [step], (name, [header, data], memory) => {
          const version = memory.slice(BigInt(header as number), 8);
          assert.equal(
            new DataView(version.buffer, version.byteOffset).getUint32(0, true),
            _LINUX_CAPABILITY_VERSION_3,
          );
          const bytes = memory.slice(BigInt(data as number), 24);
          if (name === 'capget') writeSets(bytes, old);
          else found = readSets(bytes);
          return 0;
        });
        assert.equal(failure, null);
        const value = (
          given: typeof source extends fc.Arbitrary<infer T> ? T : never,
          i: number,
        ) => (given === undefined ? old[i] : given === 'permitted' ? old[1] : bits(given));
        assert.deepEqual(found, [value(effective, 0), value(permitted, 1), value(inheritable, 2)]);
      },
    ),
    { numRuns: 200 },
  );
});

test('the ambient set: a list must be raised as it is, all is what can be', () => {
  for (const machine of ALL_MACHINES) {
    const permitted = [1, 2, 33];
    const raised: number[] = [];
    const kernel = (_: string, [option, action, n]: readonly number[]): number => {
      assert.equal(option, PR_CAP_AMBIENT);
      if (action === PR_CAP_AMBIENT_CLEAR_ALL) return 0;
      assert.equal(action, PR_CAP_AMBIENT_RAISE);
      if ((n as number) > 40) return -EINVAL;
      if (!permitted.includes(n as number)) return -EPERM;
      raised.push(n as number);
      return 0;
    };
    assert.equal(runSteps(machine, [{ type: 'ambientSet', capabilities: [2, 33] }], kernel), null);
    assert.deepEqual(raised.splice(0), [2, 33]);
    assert.equal(
      runSteps(machine, [{ type: 'ambientSet', capabilities: [2, 3] }], kernel),
      'ambient set: prctl',
    );
    raised.length = 0;
    const all: Step = { type: 'ambientSet', capabilities: 'permitted' };
    assert.equal(runSteps(machine, [all], kernel), null);
    assert.deepEqual(raised, permitted);
  }
});

test('groups and ids: their calls, in the order of the steps', () => {
  for (const machine of ALL_MACHINES) {
    const calls: string[] = [];
    const steps: Step[] = [
      { type: 'setgroups', groups: [7, 0xfffffffe] },
      { type: 'setgroups', groups: [] },
      { type: 'setgid', gid: 0xfffffffe },
      { type: 'setuid', uid: 5 },
    ];
    const failure = runSteps(machine, steps, (name, args, memory) => {
      if (name === 'setgroups') {
        const [count, at] = args as [number, number];
        const bytes = count === 0 ? new Uint8Array() : memory.slice(BigInt(at), count * 4);
        const ids = Array.from({ length: count }, (_, i) =>
          new DataView(bytes.buffer, bytes.byteOffset).getUint32(i * 4, true),
        );
        calls.push(`setgroups ${ids}`);
      } else calls.push(`${name} ${args.filter(Boolean).map((id) => id >>> 0)}`);
      return 0;
    });
    assert.equal(failure, null);
    const last = 0xfffffffe;
    assert.deepEqual(calls, [
      `setgroups 7,${last}`,
      'setgroups ',
      `setgid ${last}`,
      `setresgid ${last},${last},${last}`,
      'setuid 5',
      'setresuid 5,5,5',
    ]);
  }
});

test('only no_new_privs can be had by the direct executor', () => {
  const refused: Step[] = [
    { type: 'setgroups', groups: [] },
    { type: 'boundingSet', keep: [] },
    { type: 'keepCapabilities' },
    { type: 'capset', permitted: [] },
    { type: 'ambientSet', capabilities: [] },
    { type: 'securebits', bits: 1 },
  ];
  for (const step of refused) assert.match(imageOnly({ steps: [step] }) ?? '', /credentials/);
  assert.equal(imageOnly({ steps: [{ type: 'noNewPrivileges' }] }), undefined);
});
