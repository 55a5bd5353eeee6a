import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { imageTemplate } from '../../src/elf/image.js';
import { MACHINES } from '../../src/machine/index.js';
import type { ExplainedInstruction } from '../../src/program/explain.js';
import { cli, NO_BINDING, preload } from './cli.js';

/** Without the binding, which explain must not need. */
const explain = (...args: string[]) => cli(['explain', ...args], { node: NO_BINDING });

test('prints the plan of run, the launch program and the image', async () => {
  const { code, stdout, stderr } = await explain('--cwd', '/tmp', '--', '/bin/sh', '-c', 'true');
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.split('\n');
  for (const line of [
    'command: "/bin/sh", argv ["/bin/sh","-c","true"]',
    'candidates: "/bin/sh"',
    '[ 8] chdir("/tmp") ?-> fail  ; chdir "/tmp"',
    '[ 9] rt_sigprocmask(SIG_SETMASK, [], 0, 8) ?-> fail  ; signalMask',
    '[ 0] memfd_create("safeexec", memfdFlags) = memfd ?-> close  ; memfd_create',
  ]) {
    assert.ok(lines.includes(line), `${line}\nis not in\n${stdout}`);
  }
  assert.match(stdout, /\] clone\(CLONE_PIDFD\|CLONE_VFORK\|CLONE_VM\|SIGCHLD, 0, &pidfd, 0, 0\)/);
  assert.match(stdout, /\n {2}LOAD +0x0 +0x400000 +\d+ +\d+ +R-X\n/);
  assert.match(stdout, /\n {2}LOAD +0x[0-9a-f]+ +0x41[0-9a-f]+ +\d+ +\d+ +RW-\n/);
});

test('starts nothing, and says what would be refused', async () => {
  const { code, stdout } = await explain('safeexec-no-such-command');
  assert.equal(code, 0);
  assert.match(stdout, /refused before anything is started: ENOENT: exec .*no-such-command/);
  const cwd = await explain('--cwd', '/safeexec/none', 'true');
  assert.match(cwd.stdout, /refused before anything is started: ENOENT: chdir '\/safeexec\/none'/);
});

test('the candidates are those of the PATH that the command would have', async () => {
  const args = ['--clear-env', '--env', 'PATH=/safeexec/none:/bin', '--json', 'sh'];
  const { stdout } = await explain(...args);
  assert.deepEqual(JSON.parse(stdout).candidates, ['/bin/sh']);
});

test('the direct executor has no image', async () => {
  const { stdout } = await explain('--executor', 'direct', '--json', '/bin/sh');
  const { image, executor, launch } = JSON.parse(stdout);
  assert.deepEqual({ image, executor }, { image: null, executor: 'direct' });
  const texts = launch.instructions.map(({ text }: ExplainedInstruction) => text);
  assert.ok(texts.includes('goto plan'));
  assert.ok(!texts.some((text: string) => text.includes('memfd_create')));
});

for (const [name, machine] of Object.entries(MACHINES)) {
  describe(`--arch ${name}`, () => {
    test('--json --listing adds up', async () => {
      const { stdout } = await explain('--arch', name, '--json', '--listing', 'sh');
      const { machine: named, plan, image, listing } = JSON.parse(stdout);
      assert.equal(named, name);
      const { head, code, codeOffset } = imageTemplate(machine);
      assert.equal(image.size, head.length + plan.size);
      const [text, data] = image.segments;
      assert.equal(data.offset + data.fileSize, image.size);
      assert.equal(image.entry, text.address + codeOffset + (code.symbols.get('_start') ?? NaN));
      const [helper, binding] = listing;
      assert.equal(helper.bytes, Buffer.from(code.bytes).toString('hex'));
      const length = (lines: { length: number }[]) =>
        lines.reduce((sum, { length }) => sum + length, 0);
      assert.equal(length(helper.lines) * 2, helper.bytes.length);
      assert.equal(length(binding.lines) * 2, binding.bytes.length);
      const words = machine.wordSize;
      assert.equal(
        plan.instructions.length * 12 * words,
        image.parts.find((part: { name: string }) => part.name === 'instructions').size,
      );
    });

    test('--listing prints the assembly', async () => {
      const { stdout } = await explain('--arch', name, '--listing', 'sh');
      assert.match(
        stdout,
        /\nListing, code of the image, \d+ bytes:\n_start:\n +40[0-9a-f]+: {2}[0-9a-f]{2} /,
      );
      assert.match(stdout, /\nnapi_register_module_v1:\n/);
    });
  });
}

test('what is wrong with the command line: 2', async () => {
  for (const args of [['--arch', 'pdp11', 'sh'], ['--timeout', '1s', 'sh'], []]) {
    assert.equal((await explain(...args)).code, 2, args.join(' '));
  }
});

test('it works without the binding, and on another system', async () => {
  const elsewhere = preload(`Object.defineProperty(process, 'platform', { value: 'darwin' })`);
  for (const node of [NO_BINDING, elsewhere]) {
    for (const flags of [[], ['--sandbox'], ['--landlock-path', 'read:/']]) {
      const { code, stdout, stderr } = await cli(['explain', ...flags, '--', 'sh'], { node });
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, flags.join(' '));
      assert.equal(stdout.includes('landlock_restrict_self'), flags.length > 0, flags.join(' '));
    }
  }
});
