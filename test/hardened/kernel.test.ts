import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, test } from 'node:test';
import { CLONE_PIDFD, MFD_EXEC, P_PIDFD } from '../../src/plan/constants.js';
import type { Rule } from './filter.js';
import { allWorks, noMounts, observe } from './observe.js';

/*
 * Old kernels: what they lack is made to fail by a system call filter, in the parent and in the
 * helper alike. docs/errors.md has the table.
 */

const { ENOSYS, EINVAL, EPERM } = constants.errno;
const NO_PROC = 'mount -t tmpfs none /proc';

const noClonePidfd: Rule = {
  call: 'clone',
  errno: EINVAL,
  argument: { index: 0, bits: CLONE_PIDFD },
};
const noCloseRange: Rule = { call: 'close_range', errno: ENOSYS };
const noPidfdOpen: Rule = { call: 'pidfd_open', errno: ENOSYS };

describe('without a system call, its substitute works', () => {
  for (const [name, rules, reasons] of [
    ['nothing is missing', [], []],
    ['close_range', [noCloseRange], ['close_range']],
    ['close_range, which a filter refuses', [{ ...noCloseRange, errno: EPERM }], ['close_range']],
    ['CLONE_PIDFD', [noClonePidfd], []],
    ['pidfd_open', [noPidfdOpen], ['pidfd_open', 'pid namespaces, mounts', 'sandbox']],
    [
      'MFD_EXEC',
      [{ call: 'memfd_create', errno: EINVAL, argument: { index: 1, bits: MFD_EXEC } }],
      ['MFD_EXEC'],
    ],
    ['clone3', [{ call: 'clone3', errno: ENOSYS }], []],
  ] as const) {
    test(name, () => {
      const { doctor, ...found } = observe({ rules });
      assert.deepEqual(found, allWorks('memfd'));
      assert.deepEqual(Object.keys(doctor.missing), reasons);
    });
  }
});

describe('without a system call that nothing replaces, nothing is started', () => {
  const noWaitid: Rule = {
    call: 'waitid',
    errno: EINVAL,
    argument: { index: 0, value: P_PIDFD },
  };
  for (const [name, rules, missing, message, finding] of [
    ['waitid(P_PIDFD)', [noWaitid], 'pidfd', /Linux 5\.4/, 'waitid(P_PIDFD)'],
    [
      'pidfd_send_signal',
      [{ call: 'pidfd_send_signal', errno: ENOSYS }],
      'pidfd',
      /Linux 5\.1/,
      'pidfd_send_signal',
    ],
    [
      'CLONE_PIDFD and pidfd_open',
      [noClonePidfd, noPidfdOpen],
      'pidfd',
      /Linux 5\.3/,
      'pidfd of a child',
    ],
    [
      'close_range and /proc',
      [noCloseRange],
      'close_range',
      /mount \/proc, or use Linux 5\.9/,
      'close_range',
    ],
  ] as const) {
    const mounts = name.includes('/proc') ? NO_PROC : undefined;
    test(name, { skip: mounts !== undefined && noMounts }, () => {
      const { doctor, first, again, image, direct, spawned, credentials, run, sync } = observe({
        rules,
        ...(mounts && { mounts }),
      });
      for (const error of [first, again, image, direct, spawned, credentials, run, sync]) {
        assert.match(
          String(error),
          new RegExp(`^UnsupportedError ERR_SAFEEXEC_UNSUPPORTED ${missing}:`),
        );
        assert.match(String(error), message);
      }
      assert.ok(finding in doctor.missing, finding);
    });
  }
});

test('without /proc everything works', { skip: noMounts }, () => {
  const { doctor, ...found } = observe({ mounts: NO_PROC });
  assert.deepEqual(found, allWorks('memfd', false));
  assert.deepEqual(Object.keys(doctor.missing), [
    '/proc',
    // What is written there.
    'user namespaces',
    'pid namespaces, mounts',
    'other namespaces',
    'time namespaces',
    'sandbox',
    'oom_score_adj',
    'personality',
    'control groups',
  ]);
});
