import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resultInNode } from './fixtures/in-node.js';

/** What spawn, launch and run throw where the platform is another: `before` makes it so. */
function errors(before: string): unknown {
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
  ['arch', 's390x', 'architecture'],
  ['arch', 'loong64', 'architecture'],
] as const) {
  test(`on ${value} the library can be imported, and says what is missing`, () => {
    const error = ['UnsupportedError', 'ERR_SAFEEXEC_UNSUPPORTED', missing];
    const before = `Object.defineProperty(process, '${property}', { value: '${value}' });`;
    assert.deepEqual(errors(before), Array(6).fill(error));
  });
}

for (const arch of ['arm', 'arm64']) {
  test(`on a big-endian ${arch}, which Node names like the other, it is the architecture`, () => {
    const before = `
      const { default: os } = await import('node:os');
      const { syncBuiltinESMExports } = await import('node:module');
      Object.defineProperty(process, 'arch', { value: '${arch}' });
      os.endianness = () => 'BE';
      syncBuiltinESMExports();`;
    const error = ['UnsupportedError', 'ERR_SAFEEXEC_UNSUPPORTED', 'architecture'];
    assert.deepEqual(errors(before), Array(6).fill(error));
  });
}
