// Times Deno.Command. Arguments: program, launches to warm up, launches to time.
const program = Deno.args[0];
const [warmUp, count] = Deno.args.slice(1).map(Number);
const times = { hold: [], total: [] };
for (let i = 0; i < warmUp + count; i++) {
  const start = performance.now();
  const child = new Deno.Command(program, {
    stdin: 'null',
    stdout: 'null',
    stderr: 'null',
  }).spawn();
  const hold = performance.now() - start;
  await child.status;
  if (i < warmUp) continue;
  times.total.push((performance.now() - start) * 1e3);
  times.hold.push(hold * 1e3);
}
console.log(JSON.stringify(times));
