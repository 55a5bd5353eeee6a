import { offsetBy } from '../../program/builder.js';
import type { Label, Place } from '../../program/instruction.js';
import {
  _LINUX_CAPABILITY_VERSION_3,
  CAP_AUDIT_READ,
  EINVAL,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_SET_KEEPCAPS,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_SECUREBITS,
} from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

/** Who the process is, and what it may do. */
export type CredentialStep =
  /** No supplementary groups, where that is allowed: setgroups(2). */
  | { readonly type: 'dropGroups' }
  /** The supplementary groups: setgroups(2). */
  | { readonly type: 'setgroups'; readonly groups: readonly number[] }
  /** All three group ids, or user ids: setgid(2), setuid(2). */
  | { readonly type: 'setgid'; readonly gid: number }
  | { readonly type: 'setuid'; readonly uid: number }
  /** Takes all others out of the bounding set: PR_CAPBSET_DROP of prctl(2). */
  | { readonly type: 'boundingSet'; readonly keep: readonly number[] }
  /** The permitted set stays when the user ids change: PR_SET_KEEPCAPS of prctl(2). */
  | { readonly type: 'keepCapabilities' }
  /** capset(2). A set that is missing stays as it is; `permitted` is the permitted set before. */
  | {
      readonly type: 'capset';
      readonly effective?: CapabilitySource;
      readonly permitted?: readonly number[];
      readonly inheritable?: CapabilitySource;
    }
  /** The ambient set; `permitted`: all that are permitted. PR_CAP_AMBIENT of prctl(2). */
  | { readonly type: 'ambientSet'; readonly capabilities: CapabilitySource }
  /** PR_SET_SECUREBITS of prctl(2). */
  | { readonly type: 'securebits'; readonly bits: number }
  /** PR_SET_NO_NEW_PRIVS of prctl(2). */
  | { readonly type: 'noNewPrivileges' };

type CapabilitySource = readonly number[] | 'permitted';

/** A task with other credentials must not share the parent's memory. */
const imageOnly = 'credentials change: direct shares memory with the child';

/** Bits of a set: the kernel may know capabilities that we do not. */
const SET_BITS = 64;

export const CREDENTIAL_STEPS: StepKinds<CredentialStep> = {
  dropGroups: {
    imageOnly,
    // As libuv does: who may not drop them keeps them.
    emit: (_, { b }) => b.syscall('setgroups', [0, 0], { step: { step: 'setgroups' } }),
  },
  setgroups: {
    imageOnly,
    emit({ groups }, emitter) {
      const { b } = emitter;
      const list =
        groups.length === 0 ? 0 : b.bytes(new Uint8Array(Uint32Array.from(groups).buffer), 4);
      emitter.call('setgroups', [groups.length, list], { step: 'setgroups' });
    },
  },
  // Without privileges setuid(2) changes one id of three, and would leave a way back; setresuid(2)
  // changes all that it is told to or none, but takes -1 for none.
  setgid: {
    imageOnly,
    emit({ gid }, emitter) {
      emitter.call('setgid', [gid], { step: 'setgid' });
      emitter.call('setresgid', [gid, gid, gid], { step: 'setgid' });
    },
  },
  setuid: {
    imageOnly,
    emit({ uid }, emitter) {
      emitter.call('setuid', [uid], { step: 'setuid' });
      emitter.call('setresuid', [uid, uid, uid], { step: 'setuid' });
    },
  },
  boundingSet: { imageOnly, emit: ({ keep }, emitter) => limitBoundingSet(keep, emitter) },
  keepCapabilities: {
    imageOnly,
    emit: (_, emitter) => {
      emitter.call('prctl', [PR_SET_KEEPCAPS, 1, 0, 0, 0], { step: 'keep capabilities' });
    },
  },
  capset: { imageOnly, emit: capset },
  ambientSet: {
    imageOnly,
    emit({ capabilities }, emitter) {
      const step = { step: 'ambient set' };
      emitter.call('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0], step);
      if (capabilities === 'permitted') raiseAllPermitted(emitter);
      else {
        for (const capability of capabilities) {
          emitter.call('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0], step);
        }
      }
    },
  },
  securebits: {
    imageOnly,
    emit: ({ bits }, emitter) => {
      emitter.call('prctl', [PR_SET_SECUREBITS, bits, 0, 0, 0], { step: 'securebits' });
    },
  },
  noNewPrivileges: {
    emit: (_, emitter) => {
      emitter.call('prctl', [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0], { step: 'no_new_privs' });
    },
  },
};

/** What becomes of a capability that is in the bounding set. */
const BOUNDING = { drop: 0, keep: 1, dropIfThere: 2 } as const;

/**
 * Drops what is in the set and not to be kept, also what only the kernel knows. What is not in the
 * set is passed over: dropping it once more would need CAP_SETPCAP.
 */
function limitBoundingSet(keep: readonly number[], emitter: Emitter): void {
  const { b, site } = emitter;
  const fates = Array.from({ length: SET_BITS }, (_, n) => {
    if (keep.includes(n)) return BOUNDING.keep;
    // Linux 3.16 has all up to this one, and what the oldest of ours lacks is behind it.
    return n > CAP_AUDIT_READ ? BOUNDING.dropIfThere : BOUNDING.drop;
  });
  const table = b.words(...fates);
  const fate = b.words(0);
  const isThere = b.words(0);
  eachCapability(emitter, (capability, next, done) => {
    const drop = b.label();
    const entry = b.argumentOf(b.copy(table, fate), 0);
    b.add(site.machine.wordSize, entry);
    b.branchIfEqual(fate, BOUNDING.keep, next);
    b.copy(capability, b.argumentOf(b.position + 1, 1));
    b.syscall('prctl', [PR_CAPBSET_READ, 0, 0, 0, 0], { result: isThere });
    b.branchIfEqual(isThere, 0, next);
    b.branchIfEqual(isThere, 1, drop);
    b.branchIfEqual(fate, BOUNDING.dropIfThere, done);
    b.place(drop);
    b.copy(capability, b.argumentOf(b.position + 1, 1));
    emitter.call('prctl', [PR_CAPBSET_DROP, 0, 0, 0, 0], { step: 'bounding set' });
  });
}

/** What is not permitted gives EPERM, and what no kernel has, EINVAL. */
function raiseAllPermitted(emitter: Emitter): void {
  const { b } = emitter;
  const result = b.words(0);
  eachCapability(emitter, (capability, next, done) => {
    b.copy(capability, b.argumentOf(b.position + 1, 2));
    b.syscall('prctl', [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0], {
      result,
      step: { step: 'ambient set' },
    });
    b.branchIfEqual(result, -EINVAL, done);
    b.jump(next);
  });
}

/** A loop over the numbers that capabilities can have; `body` gets the place of the number. */
function eachCapability(
  { b }: Emitter,
  body: (capability: Place, next: Label, done: Label) => void,
): void {
  const capability = b.words(0);
  const [next, done] = [b.label(), b.label()];
  const again = b.here();
  body(capability, next, done);
  b.place(next);
  b.add(1, capability);
  b.branchIfEqual(capability, SET_BITS, done);
  b.jump(again);
  b.place(done);
}

/** Sets in the order of struct __user_cap_data_struct, of which there is one for 32 bits each. */
const SETS = ['effective', 'permitted', 'inheritable'] as const;
/** Bytes of one of its fields, and of all. */
const FIELD = 4;
const DATA_SIZE = 2 * SETS.length * FIELD;

function capset(step: CredentialStep & { type: 'capset' }, { b, fail, site }: Emitter): void {
  const options = { onError: fail, step: { step: 'capabilities' } };
  const header = b.bytes(new Uint8Array(Uint32Array.of(_LINUX_CAPABILITY_VERSION_3, 0).buffer), 4);
  const given = Uint32Array.from(
    [0, 1].flatMap((half) => SETS.map((set) => bitsOf(step[set], half))),
  );
  // A copy takes a whole word, which may be two fields: it reads and writes behind the last one.
  const room = new Uint8Array(DATA_SIZE + site.machine.wordSize - FIELD);
  const old = b.bytes(room, FIELD);
  room.set(new Uint8Array(given.buffer));
  const data = b.bytes(room, FIELD);
  if (SETS.some((set) => !isList(step[set]))) {
    b.syscall('capget', [header, old], options);
    const field = (half: number, set: (typeof SETS)[number]): number =>
      (half * SETS.length + SETS.indexOf(set)) * FIELD;
    const target = b.bytes(new Uint8Array(room.length), FIELD);
    for (const half of [0, 1]) {
      for (const set of SETS) {
        const source = step[set];
        const from = field(half, source === 'permitted' ? source : set);
        // Upwards, so that each copy mends what the one before it wrote too much.
        b.copy(offsetBy(isList(source) ? data : old, from), offsetBy(target, field(half, set)));
      }
    }
    b.syscall('capset', [header, target], options);
  } else b.syscall('capset', [header, data], options);
}

function isList(source: CapabilitySource | undefined): source is readonly number[] {
  return source !== undefined && source !== 'permitted';
}

/** 32 bits of a set. */
function bitsOf(source: CapabilitySource | undefined, half: number): number {
  if (!isList(source)) return 0;
  let bits = 0;
  for (const capability of source) {
    if (capability >> 5 === half) bits |= 1 << (capability & 31);
  }
  return bits >>> 0;
}
