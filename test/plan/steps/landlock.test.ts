import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  EBADF,
  EINVAL,
  EMFILE,
  ENOENT,
  ENOTDIR,
  LANDLOCK_RULE_PATH_BENEATH,
} from '../../../src/plan/constants.js';
import type { LandlockStep } from '../../../src/plan/steps/landlock.js';
import { ALL_MACHINES, runSteps, type SimulatedCall } from './run-step.js';

const base: LandlockStep = {
  type: 'landlock',
  files: 0xff,
  network: 0,
  scopes: 0,
  paths: [],
  ports: [],
  flags: 0,
};

/** A kernel in which these paths are files, those not there, and all others directories. */
function simulated(log: string[], files: string[] = [], missing: string[] = []): SimulatedCall {
  const open = new Map<number, string>();
  const text = (memory: Parameters<SimulatedCall>[2], at: number): string =>
    memory.string(BigInt(at));
  return (name, args, memory) => {
    const [a0, a1, a2] = args as [number, number, number];
    const u64 = (at: number): number =>
      Number(memory.slice(BigInt(at), 8).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n));
    switch (name) {
      case 'landlock_create_ruleset': {
        const fields = Array.from({ length: a1 / 8 }, (_, i) => u64(a0 + i * 8));
        log.push(`ruleset ${fields}`);
        open.set(90, 'ruleset');
        return 90;
      }
      case 'readv':
      case 'writev':
        // The first can be read, the second neither, and the third is a directory.
        assert.deepEqual([a1, a2], [0, 0]);
        return a0 === 0 && name === 'readv' ? 0 : -EBADF;
      case 'openat': {
        const path = text(memory, a1);
        if (path === '.' && a0 < 2) return -ENOTDIR;
        if (missing.includes(path)) return -ENOENT;
        if (path === '/busy') return -EMFILE;
        open.set(91, path);
        return 91;
      }
      case 'landlock_add_rule': {
        assert.equal(open.get(a0), 'ruleset');
        const access = u64(a2);
        if (a1 !== LANDLOCK_RULE_PATH_BENEATH) {
          log.push(`port ${u64(a2 + 8)}: ${access}`);
          return 0;
        }
        const bytes = memory.slice(BigInt(a2 + 8), 4);
        const fd = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
        const path = open.get(fd) ?? `descriptor ${fd}`;
        if (files.includes(path) && (access & ~7) !== 0) return -EINVAL;
        log.push(`${path}: ${access}`);
        return 0;
      }
      case 'landlock_restrict_self':
        assert.equal(open.get(a0), 'ruleset');
        log.push(`restrict ${a1}`);
        return 0;
      case 'close':
        assert.ok(open.delete(a0));
        if (a0 === 90) log.push(`closed, ${open.size} open`);
        return 0;
      default:
        throw new Error(name);
    }
  };
}

for (const machine of ALL_MACHINES) {
  test(`${machine.name}: ruleset, rules, and no descriptor left`, () => {
    const log: string[] = [];
    const step: LandlockStep = {
      ...base,
      scopes: 3,
      paths: [
        { path: '/d', access: 0x1f },
        { path: '/f', access: 0x1f, fileAccess: 7 },
        { path: '/d', access: 0x1f, fileAccess: 7 },
        { path: '/none', access: 1, optional: true },
        { path: '/there', access: 1, optional: true },
      ],
      ports: [{ port: 80, access: 1 }],
      flags: 2,
    };
    assert.equal(runSteps(machine, [step], simulated(log, ['/f'], ['/none'])), null);
    assert.deepEqual(log, [
      'ruleset 255,0,3',
      '/d: 31',
      '/f: 7',
      '/d: 31',
      '/there: 1',
      'port 80: 1',
      'restrict 2',
      'closed, 0 open',
    ]);
  });

  test(`${machine.name}: a failure names the path`, () => {
    const run = (paths: LandlockStep['paths']): string | null =>
      runSteps(machine, [{ ...base, paths }], simulated([], ['/f'], ['/none']));
    assert.equal(run([{ path: '/none', access: 1 }]), 'landlock: openat /none');
    assert.equal(run([{ path: '/f', access: 0x1f }]), 'landlock: landlock_add_rule /f');
    assert.equal(
      run([{ path: '/f', access: 0x1f, fileAccess: 0xf }]),
      'landlock: landlock_add_rule /f',
    );
    assert.equal(run([{ path: '/busy', access: 1, optional: true }]), 'landlock: openat /busy');
  });
}

test('standard streams: what each is open for, and no directory', () => {
  for (const machine of ALL_MACHINES) {
    const log: string[] = [];
    const step: LandlockStep = { ...base, streams: { read: 4, write: 2 } };
    assert.equal(runSteps(machine, [step], simulated(log)), null);
    assert.deepEqual(log, ['ruleset 255', 'descriptor 0: 4', 'restrict 0', 'closed, 0 open']);
  }
});

test('the ruleset has no more fields than are needed', () => {
  for (const machine of ALL_MACHINES) {
    for (const [step, expected] of [
      [base, 'ruleset 255'],
      [{ ...base, files: 0, network: 1 }, 'ruleset 0,1'],
      [{ ...base, files: 0, scopes: 1 }, 'ruleset 0,0,1'],
    ] as const) {
      const log: string[] = [];
      assert.equal(runSteps(machine, [step], simulated(log)), null);
      assert.equal(log[0], expected);
    }
  }
});
