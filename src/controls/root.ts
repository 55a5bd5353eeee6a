import { invalidArgType, invalidArgValue } from '../errors.js';
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY } from '../plan/constants.js';
import type { NewRoot } from '../plan/steps/root.js';
import {
  validateBoolean,
  validateCString,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';
import { needsLinux } from './kernel-version.js';
import { sizeAboveZero } from './size.js';

/** The root directory of a process. */
export type Root =
  | {
      /** A directory, with all mounts below it. */
      readonly path: string;
      /**
       * `pivotRoot` (default) leaves nothing of the old root in sight: pivot_root(2). `chroot`
       * needs no mount namespace, and is no fence for who has CAP_SYS_CHROOT: chroot(2).
       */
      readonly type?: 'pivotRoot' | 'chroot' | undefined;
      /** Nothing of it can be written to; mounts are as they say. Default false. Linux 5.12. */
      readonly readOnly?: boolean | undefined;
      /** Its set-user-ID bits and file capabilities do nothing. Default false. Linux 5.12. */
      readonly nosuid?: boolean | undefined;
      /** Its device files cannot be opened. Default false. Linux 5.12. */
      readonly nodev?: boolean | undefined;
    }
  /** An empty file system in memory, in which `mounts` puts what is to be there. */
  | {
      readonly type: 'tmpfs';
      /** Bytes, as a number or with a unit. Default: half of the memory. */
      readonly size?: number | string | undefined;
      /** Mode of the directory. Default 0o755. */
      readonly mode?: number | undefined;
      /** In the end it cannot be written to; mounts are as they say. Default false. Linux 5.12. */
      readonly readOnly?: boolean | undefined;
    };

const WHERE = 'options.root';
const TYPES = ['pivotRoot', 'chroot', 'tmpfs'] as const;

export function checkRoot(given: unknown): NewRoot {
  if (typeof given === 'string') return checkRoot({ path: given });
  // The elements of a buffer would be settings, and there may be millions of them.
  if (typeof given !== 'object' || ArrayBuffer.isView(given)) {
    throw invalidArgType(WHERE, 'of type string or object', given);
  }
  validateObject(given, WHERE);
  const root = given as Record<string, unknown>;
  const { type = 'pivotRoot', readOnly = false, ...rest } = root;
  if (!isType(type)) {
    throw invalidArgValue(`${WHERE}.type`, type, `must be one of: ${TYPES.join(', ')}`);
  }
  validateBoolean(readOnly, `${WHERE}.readOnly`);
  if (type === 'tmpfs') {
    if (readOnly) needsLinux('5.12', 'a read-only root');
    validateOptionNames(rest, ['size', 'mode', 'type', 'readOnly']);
    const { size, mode = 0o755 } = rest;
    validateInteger(mode, `${WHERE}.mode`, 0, 0o7777);
    const options = {
      mode: mode.toString(8),
      ...(size === undefined ? {} : { size: String(sizeAboveZero(size, `${WHERE}.size`)) }),
    };
    return { type, options, readOnly };
  }
  validateOptionNames(rest, ['path', 'type', 'readOnly', 'nosuid', 'nodev']);
  const { path, nosuid = false, nodev = false } = rest;
  validateCString(path, `${WHERE}.path`);
  if (path === '') throw invalidArgValue(`${WHERE}.path`, path, 'cannot be empty');
  let attributes = readOnly ? MOUNT_ATTR_RDONLY : 0;
  for (const [name, value, attribute] of [
    ['nosuid', nosuid, MOUNT_ATTR_NOSUID],
    ['nodev', nodev, MOUNT_ATTR_NODEV],
  ] as const) {
    validateBoolean(value, `${WHERE}.${name}`);
    if (value) attributes |= attribute;
  }
  if (type === 'pivotRoot') {
    if (attributes !== 0) needsLinux('5.12', 'a root with attributes');
    return { type, path, attributes };
  }
  const name = ['readOnly', 'nosuid', 'nodev'].find((each) => root[each] === true);
  if (name !== undefined) {
    throw invalidArgValue(`${WHERE}.${name}`, true, 'is only possible with pivotRoot');
  }
  return { type, path };
}

function isType(type: unknown): type is (typeof TYPES)[number] {
  return (TYPES as readonly unknown[]).includes(type);
}
