// read.mjs READER USER COUNT TIMES: the last COUNT rows of a user as objects, by a writer of writers/ that can read,
// or a reader of readers/. Prints one JSON object: milliseconds of each time.
import { existsSync } from "node:fs";

const [name, user, count, times] = process.argv.slice(2);
const folder = existsSync(new URL(`./readers/${name}.mjs`, import.meta.url)) ? "readers" : "writers";
const { open } = await import(`./${folder}/${name}.mjs`);
const reader = await open();
const took = [];
for (let i = -2; i < Number(times); i++) { // two to warm up
  const start = performance.now();
  const rows = await reader.last(user, Number(count));
  if (rows.length !== Number(count) || rows.some((row) => row.userId !== user || !row.metadata)) {
    throw new Error(`${name} read ${rows.length} rows of ${count}, or others than were wanted`);
  }
  if (i >= 0) {
    took.push(performance.now() - start);
  }
}
await reader.close();
console.log(JSON.stringify({ ms: took }));
