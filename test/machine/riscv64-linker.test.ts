import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sharedObject } from '../../src/elf/shared-object.js';
import { bindingImage } from '../../src/launch/binding-image.js';
import { Riscv64Assembler, riscv64 } from '../../src/machine/riscv64.js';
import { emulatorFor, missingEmulator } from './foreign.js';

/*
 * glibc for riscv64, run by qemu, loads the binding. The functions that Node would export come from
 * shared objects of one function each. With a Node for riscv64 foreign-node.test.ts goes further.
 */

const FOLDER = '/usr/riscv64-linux-gnu/lib';
const LINKER = join(FOLDER, 'ld-linux-riscv64-lp64d.so.1');

const FROM_NODE = [
  'napi_create_function',
  'napi_get_cb_info',
  'napi_get_arraybuffer_info',
  'napi_add_env_cleanup_hook',
];
const FROM_LIBC = [
  'environ',
  'calloc',
  'free',
  'memcpy',
  'strlen',
  'pthread_create',
  'pthread_mutex_lock',
  'pthread_mutex_unlock',
];

const emulator = emulatorFor('riscv64');
const skip =
  emulator === null
    ? missingEmulator('riscv64')
    : !existsSync(LINKER) && `${LINKER} is missing: install libc6-riscv64-cross`;

test('glibc for riscv64 loads the binding', { skip }, (t) => {
  const work = mkdtempSync(join(tmpdir(), 'safeexec-linker-'));
  t.after(() => rmSync(work, { recursive: true }));
  const write = (file: string, bytes: Uint8Array): string => {
    writeFileSync(join(work, file), bytes);
    return join(work, file);
  };
  const fakes = FROM_NODE.map((symbol) => {
    const emitBinding = () => {
      const asm = new Riscv64Assembler();
      asm.symbol(symbol);
      return asm.finish();
    };
    const fake = sharedObject({ ...riscv64, emitBinding }, symbol, []);
    return write(`${symbol}.so`, fake.bytes);
  });
  const binding = write('binding.node', bindingImage(riscv64).bytes);

  // The program is libc itself, which prints its version.
  const libc = join(FOLDER, 'libc.so.6');
  const preload = [...fakes, binding].join(':');
  const command = [LINKER, '--library-path', FOLDER, '--preload', preload, libc];
  const [file = '', ...args] = emulator ? [emulator, ...command] : command;
  const env = { LD_BIND_NOW: '1', LD_DEBUG: 'bindings' };
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', env });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^GNU C Library/);

  const bound = /binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(\w+)'/g;
  const ours = [...stderr.matchAll(bound)].filter(([, from]) => from === binding);
  assert.deepEqual(Object.fromEntries(ours.map(([, , to, symbol]) => [symbol, to])), {
    ...Object.fromEntries(FROM_NODE.map((symbol, i) => [symbol, fakes[i]])),
    ...Object.fromEntries(FROM_LIBC.map((symbol) => [symbol, libc])),
  });
});
