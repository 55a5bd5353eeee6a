// Times Bun.spawn. Arguments: program, launches to warm up, launches to time.
const program = process.argv[2];
const [warmUp, count] = process.argv.slice(3).map(Number);
const times = { hold: [], total: [] };
for (let i = 0; i < warmUp + count; i++) {
  const start = performance.now();
  const child = Bun.spawn([program], { stdio: ['ignore', 'ignore', 'ignore'] });
  const hold = performance.now() - start;
  await child.exited;
  if (i < warmUp) continue;
  times.total.push((performance.now() - start) * 1e3);
  times.hold.push(hold * 1e3);
}
console.log(JSON.stringify(times));
