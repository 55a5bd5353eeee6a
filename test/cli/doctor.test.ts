import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { launch } from '../../src/index.js';
import { binding } from '../../src/launch/binding.js';
import { type CliResult, cli, MAIN, NO_BINDING, preload } from './cli.js';

interface Finding {
  name: string;
  ok: boolean;
  detail?: string;
  reason?: string;
  meaning?: string;
}

function report({ stdout }: Pick<CliResult, 'stdout'>) {
  const { findings, ...verdict } = JSON.parse(stdout);
  const byName = new Map<string, Finding>(findings.map((each: Finding) => [each.name, each]));
  return { ...verdict, findings: byName as ReadonlyMap<string, Finding> };
}

test('agrees with what the engine does here', async () => {
  const result = await cli(['doctor', '--json']);
  const { ok, executor, findings } = report(result);
  assert.equal(result.code, ok ? 0 : 1);
  for (const name of ['image', 'direct']) {
    const { code } = await cli(['run', '--executor', name, 'true']);
    assert.equal(findings.get(`${name} executor`)?.ok, code === 0, name);
  }
  assert.equal((await cli(['run', '--executor', executor ?? 'image', 'true'])).code === 0, ok);
  for (const [name, ...flags] of [
    ['sandbox', '--sandbox'],
    ['other namespaces', '--unshare-user', '--unshare-net', '--unshare-ipc', '--unshare-cgroup'],
  ] as const) {
    const { code } = await cli(['run', ...flags, '--', 'true']);
    assert.equal(findings.get(name)?.ok, code === 0, name);
  }
  let makesGroups = true;
  try {
    await launch({ path: '/bin/true', cgroup: {} }).exited;
  } catch {
    makesGroups = false;
  }
  assert.equal(findings.get('control groups')?.ok, makesGroups);
  const { source } = binding();
  assert.ok(findings.get('native binding')?.detail?.includes(source), source);
});

test('has a line for each finding, and the reason and the meaning of each no', async () => {
  const { findings } = report(await cli(['doctor', '--json']));
  const { stdout } = await cli(['doctor']);
  for (const { name, ok, detail, reason, meaning } of findings.values()) {
    assert.ok(stdout.includes(`${ok ? 'yes' : 'no '}  ${name} `), name);
    assert.ok(stdout.includes(ok ? `${detail}\n` : `${reason}\n`), name);
    if (!ok) assert.ok(stdout.includes(`meaning: ${meaning}\n`), name);
  }
  assert.match(stdout, /\nexecutor: (image|direct|none) \(.+\)\n$/);
});

test('without the binding: 1, and the reason', async () => {
  const result = await cli(['doctor', '--json'], { node: NO_BINDING });
  const { ok, executor, findings } = report(result);
  assert.deepEqual([result.code, ok, executor], [1, false, null]);
  assert.match(findings.get('native binding')?.reason ?? '', /no binding in this test/);
  assert.equal(findings.get('operating system')?.ok, process.platform === 'linux');
  for (const name of ['memfd_create', 'close_range', 'image executor', 'direct executor']) {
    assert.match(findings.get(name)?.reason ?? '', /the binding is not loaded/, name);
  }
});

test('on another system or machine: 1, and what is missing', async () => {
  for (const [property, value, name] of [
    ['platform', 'darwin', 'operating system'],
    ['arch', 'pdp11', 'architecture'],
  ]) {
    const node = preload(`Object.defineProperty(process, '${property}', { value: '${value}' })`);
    const { code, stdout } = await cli(['doctor'], { node });
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`\\nno   ${name}|^no   ${name}`));
    assert.match(stdout, new RegExp(`no   native binding .*${value}`));
    assert.match(stdout, /\nexecutor: none /);
  }
});

test('where an executable memfd is forbidden: an executable file', async (t) => {
  // vm.memfd_noexec belongs to the PID namespace.
  const inside = `echo 2 > /proc/sys/vm/memfd_noexec && exec "$0" "$@"`;
  const command = ['sh', '-c', inside, process.execPath, MAIN];
  const enter = (...args: string[]) =>
    promisify(execFile)('unshare', ['--pid', '--fork', '--mount-proc', ...command, ...args]);
  try {
    await enter('--version');
  } catch (error) {
    t.skip(`vm.memfd_noexec cannot be set in a namespace: ${(error as Error).message}`);
    return;
  }
  const { ok, executor, why, findings } = report(await enter('doctor', '--json'));
  assert.deepEqual({ ok, executor }, { ok: true, executor: 'image' });
  assert.match(why, /memfds are refused, so the image goes into a file in \//);
  assert.match(findings.get('executable memfd')?.reason ?? '', /vm\.memfd_noexec is 2/);
  assert.match(findings.get('executable file')?.detail ?? '', /without a name, in \//);
  assert.equal(findings.get('pidfd of a child')?.ok, true);
  await enter('run', 'true');
  await enter('run', '--executor', 'direct', 'true');
});

test('takes no command: 2', async () => {
  assert.equal((await cli(['doctor', 'true'])).code, 2);
  assert.equal((await cli(['doctor', '--bogus'])).code, 2);
});
