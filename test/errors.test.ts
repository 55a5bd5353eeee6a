import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errnoCode, LaunchError, UnsupportedError, unknownOption } from '../src/errors.js';

test('error numbers have names, also those that libuv does not know', () => {
  assert.equal(errnoCode(2), 'ENOENT');
  assert.equal(errnoCode(8), 'ENOEXEC');
  assert.equal(errnoCode(10), 'ECHILD');
  assert.equal(errnoCode(87), 'EUSERS');
  assert.equal(errnoCode(4000), 'E4000');
});

test('a LaunchError says what failed, and on what', () => {
  const chdir = new LaunchError({ errno: 2, syscall: 'chdir', step: 'chdir', path: '/x' });
  assert.equal(chdir.message, "ENOENT: chdir '/x' failed");
  assert.deepEqual(
    [chdir.name, chdir.code, chdir.errno, chdir.path],
    ['LaunchError', 'ENOENT', -2, '/x'],
  );
  const descriptor = new LaunchError({ errno: 9, syscall: 'fcntl', step: 'stdio', fd: 7 });
  assert.equal(descriptor.message, 'EBADF: stdio (fcntl) descriptor 7 failed');
  assert.ok(!('path' in descriptor && descriptor.path !== undefined));
});

test('an unknown option is answered with the one that was meant', () => {
  assert.match(unknownOption('CWD', ['cwd']).message, /did you mean "cwd"/);
  assert.match(unknownOption('nonsense', ['cwd', 'env']).message, /known are cwd, env/);
});

test('an UnsupportedError names what is missing', () => {
  const error = new UnsupportedError('no', 'linux', 'cause');
  assert.deepEqual(
    [error.code, error.missing, error.cause],
    ['ERR_SAFEEXEC_UNSUPPORTED', 'linux', 'cause'],
  );
});
