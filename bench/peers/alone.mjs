// alone.mjs WRITER EVENTS.ndjson [SHARE]: a writer without a socket, batches of 1, 100 and 1,000 rows on one
// connection, and one insert that returns its row. Prints one JSON object. SHARE: of the usual repetitions.
import { readFileSync } from "node:fs";
import { rowOf } from "./rows.mjs";

const [name, file, share = "1"] = process.argv.slice(2);
const times = (usual) => Math.max(3, Math.round(usual * Number(share)));
const { open } = await import(`./writers/${name}.mjs`);
const events = readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const writer = await open();
let next = 0;

const rows = (count) => Array.from({ length: count }, () => rowOf(events[next++ % events.length]));
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

async function time(count, act) {
  const took = [];
  for (let i = 0; i < count; i++) {
    const argument = act.prepare();
    const start = performance.now();
    await act.run(argument);
    took.push(performance.now() - start);
  }
  return median(took);
}

const figures = {};
for (const [size, usual] of [[1, 500], [100, 60], [1000, 15]]) {
  const act = { prepare: () => rows(size), run: (batch) => writer.write(batch) };
  await time(3, act); // warm
  figures[`batch_${size}_ms`] = await time(times(usual), act);
}
if (writer.writeOne) {
  const act = { prepare: () => rows(1)[0], run: (row) => writer.writeOne(row) };
  await time(times(20), act);
  figures.returning_ms = await time(times(500), act);
}
await writer.close();
console.log(JSON.stringify(figures));
