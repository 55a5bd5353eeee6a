import { offsetBy } from '../../program/builder.js';
import type { Place, StepName } from '../../program/instruction.js';
import * as constants from '../constants.js';
import type { Emitter } from './emitter.js';
import type { StepKinds } from './kind.js';

/** Resources of getrlimit(2), by their names in prlimit(1). */
export const RESOURCES = {
  as: constants.RLIMIT_AS,
  core: constants.RLIMIT_CORE,
  cpu: constants.RLIMIT_CPU,
  data: constants.RLIMIT_DATA,
  fsize: constants.RLIMIT_FSIZE,
  locks: constants.RLIMIT_LOCKS,
  memlock: constants.RLIMIT_MEMLOCK,
  msgqueue: constants.RLIMIT_MSGQUEUE,
  nice: constants.RLIMIT_NICE,
  nofile: constants.RLIMIT_NOFILE,
  nproc: constants.RLIMIT_NPROC,
  rss: constants.RLIMIT_RSS,
  rtprio: constants.RLIMIT_RTPRIO,
  rttime: constants.RLIMIT_RTTIME,
  sigpending: constants.RLIMIT_SIGPENDING,
  stack: constants.RLIMIT_STACK,
} as const;

export type Resource = keyof typeof RESOURCES;

/** A limit: a number from 0 to 2^53 - 1, or none. */
export type Limit = number | 'unlimited';

export type LimitStep =
  /** Soft and hard limit of a resource; null leaves one as it is: prlimit(2). */
  | {
      readonly type: 'limit';
      readonly resource: Resource;
      readonly soft: Limit | null;
      readonly hard: Limit | null;
    }
  /**
   * The hard limit alone, before the right to raise it is gone; the soft one, which is what counts,
   * stays for a `limit` to come. That one also tells of what is refused here.
   */
  | { readonly type: 'hardLimit'; readonly resource: Resource; readonly hard: Limit };

/** struct rlimit64 has 64 bits for each, on every machine. */
const HALF = 8;

export const LIMIT_STEPS: StepKinds<LimitStep> = {
  limit: {
    emit({ resource, soft, hard }, emitter) {
      const number = RESOURCES[resource];
      const step = { step: `limit ${resource}` };
      const limits =
        soft === null || hard === null
          ? withPresent(resource, soft, hard, emitter, step)
          : emitter.b.bytes(pair(soft, hard), HALF);
      emitter.call('prlimit64', [0, number, limits, 0], step);
    },
  },
  hardLimit: {
    emit({ resource, hard }, emitter) {
      const step = { step: `hard limit ${resource}` };
      const limits = withPresent(resource, null, hard, emitter, step);
      emitter.b.syscall('prlimit64', [0, RESOURCES[resource], limits, 0], { step });
    },
  },
};

/** Limits of which one is the present one. */
function withPresent(
  resource: Resource,
  soft: Limit | null,
  hard: Limit | null,
  emitter: Emitter,
  step: StepName,
): Place {
  const { b } = emitter;
  const given = b.bytes(pair(soft, hard), HALF);
  const limits = b.reserve(2 * HALF, HALF);
  emitter.call('prlimit64', [0, RESOURCES[resource], 0, limits], step);
  const from = soft === null ? HALF : 0;
  for (let at = from; at < from + HALF; at += emitter.site.machine.wordSize) {
    b.copy(offsetBy(given, at), offsetBy(limits, at));
  }
  return limits;
}

function pair(soft: Limit | null, hard: Limit | null): Uint8Array {
  const words = [soft, hard].map((limit) =>
    // RLIM64_INFINITY
    limit === 'unlimited' ? 0xffff_ffff_ffff_ffffn : BigInt(limit ?? 0),
  );
  return new Uint8Array(BigUint64Array.from(words).buffer);
}
