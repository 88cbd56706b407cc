// alone.mjs WRITER EVENTS.ndjson: a writer without a socket, batches of 1, 100 and 1,000 rows on one
// connection, and one insert that returns its row. Prints one JSON object.
import { readFileSync } from "node:fs";
import { rowOf } from "./rows.mjs";

const [name, file] = process.argv.slice(2);
const { open } = await import(`./writers/${name}.mjs`);
const events = readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const writer = await open();
let next = 0;

const rows = (count) => Array.from({ length: count }, () => rowOf(events[next++ % events.length]));
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

async function time(times, act) {
  const took = [];
  for (let i = 0; i < times; i++) {
    const argument = act.prepare();
    const start = performance.now();
    await act.run(argument);
    took.push(performance.now() - start);
  }
  return median(took);
}

const figures = {};
for (const [size, times] of [[1, 500], [100, 60], [1000, 15]]) {
  const act = { prepare: () => rows(size), run: (batch) => writer.write(batch) };
  await time(3, act); // warm
  figures[`batch_${size}_ms`] = await time(times, act);
}
if (writer.writeOne) {
  const act = { prepare: () => rows(1)[0], run: (row) => writer.writeOne(row) };
  await time(20, act);
  figures.returning_ms = await time(500, act);
}
await writer.close();
console.log(JSON.stringify(figures));
