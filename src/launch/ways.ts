import { type LaunchError, UnsupportedError } from '../errors.js';
import type { Executor } from './executor.js';
import type { Features } from './features.js';
import { executableFolders } from './folders.js';
import { IMAGE_FILE } from './image-file.js';

/** What carries a plan into the new process. */
export type Way =
  | { readonly executor: 'image'; readonly image: 'memfd' }
  /** An image in a file without a name, made in `folder`. */
  | { readonly executor: 'image'; readonly image: 'file'; readonly folder: string }
  | { readonly executor: 'direct'; readonly image: null };

const DIRECT: Way = { executor: 'direct', image: null };

/** What a launch may use. */
interface Choice {
  readonly executor: Executor | undefined;
  /** Why `direct` cannot run the plan. */
  readonly imageOnly: string | undefined;
}

/** The ways of starting a process that there are, and what has been found out about them. */
export class Ways {
  /** Those of the image executor that have not failed, in order. */
  #images: readonly Way[];
  /** The same, and at the end the other executor. */
  #all: readonly Way[];

  constructor({ execveat }: Features) {
    const folders = executableFolders();
    this.#images = execveat
      ? [
          { executor: 'image', image: 'memfd' },
          ...folders.map((folder) => ({ executor: 'image', image: 'file', folder }) as const),
        ]
      : [];
    this.#all = [...this.#images, DIRECT];
  }

  /** What may be tried, in order; nothing where only an image would do, and none can be executed. */
  choose({ executor, imageOnly }: Choice): readonly Way[] {
    if (executor === 'direct') return [DIRECT];
    return executor === 'image' || imageOnly !== undefined ? this.#images : this.#all;
  }

  /** A way has worked after others were refused for good: those are not tried again. */
  remember(way: Way): void {
    this.#all = this.#all.slice(this.#all.indexOf(way));
    if (way.executor === 'image') this.#images = this.#images.slice(this.#images.indexOf(way));
  }
}

const FORBIDDEN = new Set(['EACCES', 'EPERM', 'ENOSYS', 'ENOEXEC']);
/** What has nothing to do with where an image stands. */
const SHORTAGE = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** Whether an error says that a way is not to be had here, so that the next may be tried. */
export function isRefusal(error: LaunchError): boolean {
  const { step, code } = error;
  if (step === IMAGE_FILE) return !SHORTAGE.has(code);
  return (step === 'memfd_create' || step === 'start helper') && FORBIDDEN.has(code);
}

/** Whether the image is still open for writing: in a child that another thread forked. */
export function isBusy({ step, code }: LaunchError): boolean {
  return step === 'start helper' && code === 'ETXTBSY';
}

/** No way is left: says why, and what to change. */
export function noWay({ imageOnly }: Choice, refusals: readonly Refusal[]): UnsupportedError {
  const need = imageOnly === undefined ? "executor 'image' was asked for" : imageOnly;
  if (refusals.length === 0) {
    return new UnsupportedError(
      `a helper image cannot be started without execveat(2), and ${need}: a filter or an emulator must allow it`,
      'execveat',
    );
  }
  const tried = refusals.map(({ way, error }) => `${nameOf(way)}: ${error.code}`).join(', ');
  const advice = 'set vm.memfd_noexec to 0 or 1, or TMPDIR to a folder on a mount without noexec';
  return new UnsupportedError(
    `a helper image cannot be executed here (${tried}), and ${need}; ${advice}`,
    'executable image',
    refusals[0]?.error,
  );
}

export interface Refusal {
  readonly way: Way;
  readonly error: LaunchError;
}

/** A way in a few words, for people. */
export function nameOf(way: Way): string {
  if (way.image === 'file') return `a file in ${way.folder}`;
  return way.image ?? way.executor;
}
