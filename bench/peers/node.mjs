// Times spawn() of a module, ours or node:child_process. Arguments: module, program, launches to
// warm up, launches to time.
const [module, program] = process.argv.slice(2);
const [warmUp, count] = process.argv.slice(4).map(Number);
const { spawn } = await import(module);
const times = { hold: [], total: [] };
for (let i = 0; i < warmUp + count; i++) {
  const start = performance.now();
  const child = spawn(program, [], { stdio: 'ignore' });
  const hold = performance.now() - start;
  await new Promise((resolve) => child.once('exit', resolve));
  if (i < warmUp) continue;
  times.total.push((performance.now() - start) * 1e3);
  times.hold.push(hold * 1e3);
}
console.log(JSON.stringify(times));
