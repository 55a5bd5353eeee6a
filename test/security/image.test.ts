import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { launch, spawn } from '../../src/index.js';
import { engine } from '../../src/process/engine.js';
import { descriptorsOf, signalsIn, statusOf } from '../process/observe.js';
import { freeze, noHelper } from './frozen.js';

const F_GET_SEALS = 1034;
const SEALS = { seal: 1, shrink: 2, grow: 4, write: 8 };
const SECRET = 'a-secret-0123456789';
const isRoot = process.getuid?.() === 0;
const skip = noHelper;

/** Which parts of a process's memory can be written and executed. */
function mappings(pid: number | 'self'): { access: string; name: string }[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [, access = '', , , , ...name] = line.split(/ +/);
    return { access, name: name.join(' ') };
  });
}

test('arguments and environment are not in the image', { skip }, async () => {
  const helper = await freeze([], ['true', SECRET], [`SECRET=${SECRET}`]);
  try {
    const image = readFileSync(`/proc/${helper.pid}/exe`);
    assert.ok(image.includes('/bin/true'), 'this is not the image of the plan');
    assert.ok(!image.includes(SECRET));
    // They are where those of every process are.
    assert.ok(readFileSync(`/proc/${helper.pid}/environ`).includes(SECRET));
    assert.ok(readFileSync(`/proc/${helper.pid}/cmdline`).includes(SECRET));
  } finally {
    await helper.release();
  }
});

test('the image is sealed, and cannot be written', { skip }, async () => {
  const helper = await freeze([]);
  try {
    const path = `/proc/${helper.pid}/exe`;
    const fd = openSync(path, 'r');
    const seals = engine().kernel.call('fcntl', fd, F_GET_SEALS);
    closeSync(fd);
    for (const [name, seal] of Object.entries(SEALS)) assert.ok(seals & seal, `no seal: ${name}`);
    assert.throws(() => openSync(path, constants.O_RDWR), { code: /^(?:ETXTBSY|EPERM|EACCES)$/ });
  } finally {
    await helper.release();
  }
});

test('the image is gone when the target runs: no descriptor, no mapping, here or there', {
  skip,
}, async () => {
  const isImage = (text: string): boolean => /memfd:.*safeexec/.test(text);
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  try {
    await new Promise((resolve) => child.once('spawn', resolve));
    for (const pid of ['self', child.pid as number] as const) {
      assert.ok(![...descriptorsOf(pid as number).values()].some(isImage));
      assert.ok(!mappings(pid).some(({ name }) => isImage(name)));
    }
  } finally {
    child.kill('SIGKILL');
  }
});

test('in the helper no page can be written and executed', { skip }, async () => {
  const helper = await freeze([]);
  try {
    const maps = mappings(helper.pid);
    assert.ok(maps.some(({ access }) => access.startsWith('r-x')));
    assert.ok(maps.some(({ access }) => access.startsWith('rw-')));
    for (const { access, name } of maps) assert.doesNotMatch(access, /w.?x/, name);
    // The stack, too.
    assert.match(maps.find(({ name }) => name === '[stack]')?.access ?? '', /^rw-/);
  } finally {
    await helper.release();
  }
});

test('in this process no page of the binding can be written and executed', async () => {
  await launch({ path: '/bin/true' }).exited;
  const binding = mappings('self').filter(({ name }) => /binding/.test(name));
  assert.ok(binding.some(({ access }) => access.startsWith('r-x')));
  for (const { access, name } of binding) assert.doesNotMatch(access, /w.?x/, name);
});

test('the helper has nothing of the parent’s memory, and one thread', { skip }, async () => {
  const helper = await freeze([]);
  try {
    for (const { name } of mappings(helper.pid)) {
      assert.match(
        name,
        /^(?:\/memfd:.*|\/.*safeexec.*|\[(?:stack|heap|vdso|vvar.*|vsyscall)\]|)$/,
      );
    }
    assert.equal(statusOf(helper.pid).get('Threads'), '1');
    // No handler of anybody's runs in it, whatever signal comes.
    assert.deepEqual(signalsIn(helper.pid, 'SigCgt'), []);
  } finally {
    await helper.release();
  }
});

test('signals stay blocked in the helper until its mask is set', { skip }, async () => {
  const helper = await freeze([]);
  try {
    const { SIGKILL, SIGSTOP } = { SIGKILL: 9, SIGSTOP: 19 };
    const blocked = new Set(signalsIn(helper.pid, 'SigBlk'));
    for (let signal = 1; signal <= 64; signal++) {
      assert.equal(blocked.has(signal), signal !== SIGKILL && signal !== SIGSTOP, `${signal}`);
    }
  } finally {
    await helper.release();
  }
});

test('a helper whose user id was changed is not dumpable', {
  skip: noHelper || (!isRoot && 'only root may become somebody else'),
}, async () => {
  const same = await freeze([]);
  try {
    assert.equal(statSync(`/proc/${same.pid}/environ`).uid, process.getuid?.());
  } finally {
    await same.release();
  }
  const other = await freeze([{ type: 'setuid', uid: 65534 }]);
  try {
    assert.match(statusOf(other.pid).get('Uid') ?? '', /^65534\b/);
    // What is not dumpable belongs to root in /proc: its new user can neither trace nor read it.
    assert.equal(statSync(`/proc/${other.pid}/environ`).uid, 0);
  } finally {
    await other.release();
  }
});

test('the helper shows by its name, and has the error pipe and what the plan uses', {
  skip,
}, async () => {
  const extra = engine().kernel.call('dup', 0);
  const helper = await freeze([{ type: 'closeAllBut', fds: [0] }]);
  try {
    assert.match(readFileSync(`/proc/${helper.pid}/comm`, 'utf8'), /safeexec|memfd/);
    assert.match(readlinkSync(`/proc/${helper.pid}/exe`), /safeexec/);
    const fds = [...descriptorsOf(helper.pid)];
    assert.equal(fds.length, 2, JSON.stringify(fds));
    assert.equal(fds[0]?.[0], 0);
    assert.match(fds[1]?.[1] ?? '', /^pipe:/);
  } finally {
    await helper.release();
    if (extra >= 0) closeSync(extra);
  }
});
