import { Readable } from 'node:stream';
import fc from 'fast-check';

/** What getters, traps and conversions of hostile values throw: the caller's own error. */
export class Sentinel extends Error {
  readonly code = 'SENTINEL';
}

function fail(): never {
  throw new Sentinel('thrown by a value');
}

function cyclic(): object {
  const value: Record<string, unknown> = { a: 1 };
  value.self = value;
  value.list = [value];
  return value;
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

/** Says something else each time that it is looked at. */
function shifting(): object {
  let n = 0;
  const next = (): unknown => ['/bin/true', 7, '\0', null, undefined, ['x\0'], {}][n++ % 7];
  return new Proxy(
    {},
    { get: next, ownKeys: () => ['cwd', 'argv0', 'stdio'], has: () => n++ % 2 === 0 },
  );
}

function shiftingList(): unknown[] {
  let n = 0;
  const lengths = [2, 2 ** 32 - 1, 0, 1, -1, 2 ** 53, Number.NaN];
  return new Proxy([], {
    get: (_, key) => (key === 'length' ? lengths[n++ % 7] : `${String(key)}\0`),
  });
}

class Odd extends Array<unknown> {
  static override get [Symbol.species](): ArrayConstructor {
    return fail();
  }
  override slice(): never {
    return fail();
  }
  override *[Symbol.iterator](): ArrayIterator<unknown> {
    for (;;) yield '\0';
  }
}

const LONG = 'x'.repeat(2 ** 24 + 1);
/** As long as a string can be: any longer one cannot be made of it. */
const LONGEST = 'y'.repeat(2 ** 29 - 24);

/** Values that are wrong in ways of their own. Made anew each time, for some have a state. */
const FACTORIES: readonly (() => unknown)[] = [
  () => Symbol('s'),
  () => Symbol.iterator,
  () => () => {},
  () => class {},
  () => fail,
  () => async () => {},
  () => 'x\0y',
  () => '\ud800',
  () => 'a\udc00b',
  () => '',
  () => '__proto__',
  () => 'constructor',
  () => LONG,
  () => LONGEST,
  () => 'z'.repeat(131072),
  () => Number.NaN,
  () => -0,
  () => -1,
  () => 0.5,
  () => 2 ** 31,
  () => 2 ** 32 + 1,
  () => 2 ** 53,
  () => -(2 ** 63),
  () => Number.POSITIVE_INFINITY,
  () => 10n ** 30n,
  () => new Array(2 ** 32 - 1),
  () => new Array(200_000).fill('x'),
  () => new Array(3),
  () => Odd.from(['a', 'b']),
  () => Object.assign(['x'], { slice: () => 7, [Symbol.iterator]: fail }),
  () => [[[[[[[[[[[[1]]]]]]]]]]]],
  cyclic,
  () => [cyclic()],
  shifting,
  shiftingList,
  () => revoked({}),
  () => revoked([]),
  () => new Proxy({}, { get: fail }),
  () => new Proxy({}, { ownKeys: fail }),
  () => new Proxy([], { get: fail }),
  () => new Proxy(() => {}, { get: fail, apply: fail }),
  () => ({
    get cwd() {
      return fail();
    },
  }),
  () => ({ toString: fail }),
  () => ({ toString: () => 'a\0b' }),
  () => ({ toString: () => ({}) }),
  () => ({ [Symbol.toPrimitive]: fail }),
  () => ({ valueOf: () => 1, toString: undefined }),
  () => ({
    get constructor() {
      return fail();
    },
  }),
  () => ({ constructor: { name: Symbol('n') } }),
  () => Object.create(null),
  () => Object.create({ uid: 1, shell: true, file: 'x' }),
  () => JSON.parse('{"__proto__": {"shell": true}, "constructor": {"prototype": 1}}'),
  () => Object.freeze({ a: 1 }),
  () => new Uint8Array(3),
  () => new Uint8Array(50_000_000),
  () => new Float64Array([Number.NaN]),
  () => new DataView(new ArrayBuffer(8)),
  () => new SharedArrayBuffer(8),
  () => Buffer.from('x\0'),
  () => Object.create(Uint8Array.prototype),
  () => Object.create(URL.prototype),
  () => new URL('file:///x%00y'),
  () => new URL('file:///x'),
  () => new URL('file://host/x'),
  () => new URL('http://x/'),
  () => AbortSignal.abort(),
  () => AbortSignal.abort(fail),
  () => ({ aborted: false }),
  () => ({ aborted: false, addEventListener: fail }),
  () => ({
    get aborted() {
      return fail();
    },
  }),
  () => new Map([['a', 1]]),
  () => new Set(['x']),
  () => new WeakMap(),
  () => new Date(Number.NaN),
  () => /x/g,
  () => Promise.resolve(1),
  () => new Error('x'),
  () => new Readable({ read() {} }),
  () => ({ fd: 2 ** 32 }),
  () => ({ fd: Number.NaN }),
  () => ({ fd: { valueOf: fail } }),
  () => ({ _handle: {} }),
  () => ({ handle: { fd: 1 }, pause: fail }),
  () => globalThis,
  () => process.stdout,
];

/** A value, and how to tell of it without looking at it. */
export interface Hostile {
  readonly name: string;
  readonly make: () => unknown;
}

const special: fc.Arbitrary<Hostile> = fc
  .nat(FACTORIES.length - 1)
  .map((n) => ({ name: `factory ${n}`, make: FACTORIES[n] as () => unknown }));
const plain: fc.Arbitrary<Hostile> = fc
  .anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withSparseArray: true,
    withTypedArray: true,
  })
  .map((value) => ({ name: fc.stringify(value), make: () => value }));

export const hostile: fc.Arbitrary<Hostile> = fc.oneof(
  { weight: 2, arbitrary: special },
  { weight: 1, arbitrary: plain },
);

export function soundValue(...values: readonly unknown[]): fc.Arbitrary<Hostile> {
  return fc
    .constantFrom(...values)
    .map((value) => ({ name: fc.stringify(value), make: () => value }));
}

export const listOfHostile: fc.Arbitrary<Hostile> = fc
  .array(fc.oneof(hostile, soundValue('x', 'pipe', 'ignore', 'ipc', 0, 1, 2, 'SIGTERM')), {
    maxLength: 4,
  })
  .map((list) => ({
    name: `[${list.map(({ name }) => name).join(', ')}]`,
    make: () => list.map(({ make }) => make()),
  }));

/** Some of these options, with values of any kind; sometimes through getters that change. */
export function hostileOptions(
  names: readonly string[],
  sound: Readonly<Record<string, readonly unknown[]>>,
): fc.Arbitrary<Hostile> {
  const value = (name: string): fc.Arbitrary<Hostile> =>
    fc.oneof(hostile, listOfHostile, soundValue(undefined, ...(sound[name] ?? [])));
  const entry = fc.constantFrom(...names).chain((name) =>
    fc.record({
      name: fc.constant(name),
      first: value(name),
      later: value(name),
      kind: fc.nat(3),
    }),
  );
  return fc.array(entry, { maxLength: 4 }).map((entries) => ({
    name: `{${entries.map(({ name, first, later, kind }) => `${name}: ${first.name}${kind === 0 ? ` then ${later.name}` : ''}`).join(', ')}}`,
    make: () => {
      const options: Record<string, unknown> = {};
      for (const { name, first, later, kind } of entries) {
        let reads = 0;
        const shifts = { get: () => (reads++ === 0 ? first : later).make() };
        const stays = { value: first.make(), writable: true };
        const property = kind === 0 ? shifts : stays;
        Object.defineProperty(options, name, { ...property, enumerable: true, configurable: true });
      }
      return options;
    },
  }));
}
