import { invalidArgValue, outOfRange } from '../errors.js';
import type { Step } from '../plan/plan.js';
import {
  validateArray,
  validateInteger,
  validateObject,
  validateOptionNames,
} from '../validate.js';

/** `size` ids that follow each other: from `inside` on in the namespace, from `outside` on here. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  /** Default 1. */
  readonly size?: number | undefined;
}

/** The ids of a new user namespace: user_namespaces(7). */
export interface UserNamespace {
  /** What this process's user id is inside. Default: the same. */
  readonly uid?: number | undefined;
  /** What this process's group id is inside. Default: the same. */
  readonly gid?: number | undefined;
  /**
   * The whole map, in place of `uid` or `gid`. With any other ids than this process's own it
   * takes CAP_SETUID and CAP_SETGID here. A process whose own ids are not mapped becomes the
   * first that is.
   */
  readonly uidMap?: readonly IdRange[] | undefined;
  readonly gidMap?: readonly IdRange[] | undefined;
}

/** The highest id; the one above stands for none. */
const LAST_ID = 0xffff_fffe;
/** The kernel's limit: Linux 4.15. */
const MOST_RANGES = 340;

/**
 * The step that makes a user namespace. Who maps its own ids loses the right to set groups
 * (`setsGroups`), unless it has the privileges that the others need.
 */
export function userNamespace(
  value: true | UserNamespace,
  name: string,
  setsGroups: boolean,
): Step {
  const { uid, gid, uidMap, gidMap } = value === true ? {} : value;
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const users = ranges(uid, uidMap, own.uid, name, 'uid');
  const groups = ranges(gid, gidMap, own.gid, name, 'gid');
  const isSelf = isOwn(users, own.uid) && isOwn(groups, own.gid);
  const become = { ...missing('uid', users, own.uid), ...missing('gid', groups, own.gid) };
  return {
    type: 'userNamespace',
    uidMap: mapText(users),
    gidMap: mapText(groups),
    writer: isSelf && !(setsGroups && own.uid === 0) ? 'self' : 'parent',
    ...(Object.keys(become).length === 0 ? {} : { become }),
  };
}

function ranges(
  id: unknown,
  map: unknown,
  own: number,
  name: string,
  kind: 'uid' | 'gid',
): Required<IdRange>[] {
  if (map === undefined) {
    if (id !== undefined) validateInteger(id, `${name}.${kind}`, 0, LAST_ID);
    return [{ inside: id ?? own, outside: own, size: 1 }];
  }
  const where = `${name}.${kind}Map`;
  if (id !== undefined) throw invalidArgValue(where, map, `excludes ${kind}`);
  validateArray(map, where);
  if (map.length === 0 || map.length > MOST_RANGES) {
    throw outOfRange(`${where}.length`, `>= 1 && <= ${MOST_RANGES}`, map.length);
  }
  const checked = map.map((range, i) => checkRange(range, `${where}[${i}]`));
  for (const side of ['inside', 'outside'] as const) {
    const sorted = checked.toSorted((a, b) => a[side] - b[side]);
    sorted.forEach((range, i) => {
      const next = sorted[i + 1];
      if (next !== undefined && range[side] + range.size > next[side]) {
        throw invalidArgValue(where, map, `has ids ${side} that are in two ranges`);
      }
    });
  }
  return checked;
}

function checkRange(range: unknown, name: string): Required<IdRange> {
  validateObject(range, name);
  validateOptionNames(range, ['inside', 'outside', 'size']);
  const { inside, outside, size = 1 } = range as IdRange;
  validateInteger(inside, `${name}.inside`, 0, LAST_ID);
  validateInteger(outside, `${name}.outside`, 0, LAST_ID);
  validateInteger(size, `${name}.size`, 1, LAST_ID + 1 - Math.max(inside, outside));
  return { inside, outside, size };
}

/** Whether a map has one id, the process's own. */
function isOwn(map: readonly Required<IdRange>[], own: number): boolean {
  return map.length === 1 && map[0]?.outside === own && map[0].size === 1;
}

/** The id to become, if the process's own is not mapped. */
function missing(kind: 'uid' | 'gid', map: readonly Required<IdRange>[], own: number) {
  if (map.some(({ outside, size }) => own >= outside && own < outside + size)) return {};
  return { [kind]: map[0]?.inside };
}

function mapText(map: readonly Required<IdRange>[]): string {
  return map.map(({ inside, outside, size }) => `${inside} ${outside} ${size}\n`).join('');
}
