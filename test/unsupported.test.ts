import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resultInNode } from './fixtures/in-node.js';

/** What spawn, launch and run throw where the platform is another. */
function errors(property: 'platform' | 'arch', value: string): unknown {
  const before = `Object.defineProperty(process, '${property}', { value: '${value}' });`;
  return resultInNode(
    `const seen = [];
    const note = ({ name, code, missing }) => seen.push([name, code, missing]);
    for (let i = 0; i < 2; i++) {
      try { spawn('/bin/true'); } catch (error) { note(error); }
      try { launch({ path: '/bin/true' }); } catch (error) { note(error); }
      await run('/bin/true').catch(note);
    }
    console.log(JSON.stringify(seen));`,
    { before },
  );
}

for (const [property, value, missing] of [
  ['platform', 'darwin', 'linux'],
  ['platform', 'win32', 'linux'],
  ['arch', 'mips', 'architecture'],
] as const) {
  test(`on ${value} the library can be imported, and says what is missing`, () => {
    const error = ['UnsupportedError', 'ERR_SAFEEXEC_UNSUPPORTED', missing];
    assert.deepEqual(errors(property, value), Array(6).fill(error));
  });
}
