import type { Sample } from './options.js';

/** Options that cannot be had together, and the error: its code, and the step if it has one. */
interface Exclusion {
  readonly options: readonly RegExp[];
  readonly error: string;
}

const invalid = 'ERR_INVALID_ARG_VALUE';

/** docs/steps.md has the reasons. */
const EXCLUSIONS: readonly Exclusion[] = [
  // Refused before anything is started.
  { options: [/^cwd$/, /^cwdFd$/], error: invalid },
  { options: [/^scheduling: (fifo|deadline)/, /^timerSlack$/], error: invalid },
  {
    options: [
      /^sandbox$/,
      / namespace$| set$|^root: |^groups: |^(mounts|uid|gid|securebits|landlock|cwdFd)$|^(noNewPriv|killOn)/,
    ],
    error: invalid,
  },
  // Refused by the kernel.
  { options: [/^scheduling: deadline$/, /^cpus$/], error: 'EPERM scheduling' },
  {
    options: [/^scheduling: deadline$/, /^pid namespace$/, /^user namespace$/],
    error: 'EPERM scheduling',
  },
  {
    options: [/^scheduling: deadline$/, /^user namespace$/, /^groups: /],
    error: 'EAGAIN uid map',
  },
  { options: [/^scheduling: deadline$/, /^sandbox$/], error: 'EPERM scheduling' },
  // The program is nowhere in the root, of which Landlock's paths are.
  { options: [/^root: /, /^execFd$/, /^landlock$/], error: 'EACCES exec' },
  // Ids that the user namespace does not have.
  { options: [/^user namespace$/, /^uid$/], error: 'EINVAL setuid' },
  { options: [/^user namespace$/, /^gid$/], error: 'EINVAL setgid' },
  { options: [/^user namespace$/, /^groups: some$/], error: 'EINVAL setgroups' },
];

/** The errors of which one must come; none if the samples can be had together. */
export function refusalsOf(samples: readonly Sample[]): string[] {
  const includes = (pattern: RegExp): boolean => samples.some(({ name }) => pattern.test(name));
  return EXCLUSIONS.filter(({ options }) => options.every(includes)).map(({ error }) => error);
}
