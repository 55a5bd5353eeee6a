import { type CompiledPolicy, compilePolicy, type FilterMachine } from '../../seccomp/compile.js';
import { decodeFilter, encodeFilter, type Filter, SOCK_FILTER_SIZE } from '../../seccomp/filter.js';
import type { Policy } from '../../seccomp/policy.js';
import { SECCOMP_FILTER_FLAG_LOG, SECCOMP_SET_MODE_FILTER } from '../constants.js';
import type { StepKinds } from './kind.js';

export type SeccompStep =
  /** A filter of system calls; without no_new_privs it takes privileges: seccomp(2). */
  {
    readonly type: 'seccomp';
    /** A policy, or a program: the bytes of its struct sock_filter. */
    readonly filter: { readonly policy: Policy } | { readonly program: readonly number[] };
    /** Tells the kernel's log of all that is not allowed. */
    readonly log: boolean;
  };

/** Filters of policies, which take longer to compile than all the rest of a plan. */
const compiled = new Map<string, CompiledPolicy & { readonly errorPipe: number }>();
const KEPT = 32;

/** The filter of a step on a machine. Throws for a policy that cannot be had there. */
export function filterOf(
  { filter }: Pick<SeccompStep, 'filter'>,
  machine: FilterMachine,
  errorPipe: number,
): Filter {
  if ('program' in filter) return decodeFilter(Uint8Array.from(filter.program));
  const key = `${machine.name} ${JSON.stringify(filter.policy)}`;
  let found = compiled.get(key);
  if (found === undefined || (found.reports && found.errorPipe !== errorPipe)) {
    found = { ...compilePolicy(filter.policy, machine, errorPipe), errorPipe };
    if (compiled.size >= KEPT) compiled.clear();
    compiled.set(key, found);
  }
  return found.filter;
}

export const SECCOMP_STEPS: StepKinds<SeccompStep> = {
  seccomp: {
    emit(step, emitter) {
      const { b, site } = emitter;
      const bytes = encodeFilter(filterOf(step, site.machine, site.errorPipe));
      const filter = b.bytes(bytes);
      // struct sock_fprog: a short, and behind padding the address.
      const program = b.words(bytes.length / SOCK_FILTER_SIZE, filter);
      const flags = step.log ? SECCOMP_FILTER_FLAG_LOG : 0;
      emitter.call('seccomp', [SECCOMP_SET_MODE_FILTER, flags, program], { step: 'seccomp' });
    },
  },
};
