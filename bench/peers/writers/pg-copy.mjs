// pg and pg-copy-streams, COPY in its text format
import pg from "pg";
import { from } from "pg-copy-streams";
import { once } from "node:events";
import { COLUMNS, connection } from "../rows.mjs";

const ESCAPED = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };
const escape = (text) => text.replace(/[\\\t\n\r]/g, (character) => ESCAPED[character]);

const line = (row) => `${row.id}\t${row.userId}\t${escape(row.eventType)}\t` +
  `${escape(JSON.stringify(row.metadata))}\t${row.timestamp}\n`;

export async function open() {
  const client = new pg.Client(connection);
  await client.connect();
  return {
    async write(rows) {
      const stream = client.query(from(`COPY "BehaviorLog" (${COLUMNS}) FROM STDIN`));
      const done = once(stream, "finish");
      stream.end(rows.map(line).join(""));
      await done;
    },
    close: () => client.end(),
  };
}
