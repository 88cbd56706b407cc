// pg, INSERT … VALUES (…), (…) …
import pg from "pg";
import { COLUMNS, connection } from "../rows.mjs";

const statements = new Map(); // by number of rows

function statement(rows) {
  if (!statements.has(rows)) {
    const places = Array.from({ length: rows }, (_, row) =>
      `(${[1, 2, 3, 4, 5].map((column) => `$${row * 5 + column}`).join(",")})`);
    statements.set(rows, `INSERT INTO "BehaviorLog" (${COLUMNS}) VALUES ${places.join(",")}`);
  }
  return statements.get(rows);
}

const values = (rows) => rows.flatMap((row) =>
  [row.id, row.userId, row.eventType, JSON.stringify(row.metadata), row.timestamp]);

export async function open() {
  const client = new pg.Client(connection);
  await client.connect();
  return {
    write: (rows) => client.query(statement(rows.length), values(rows)),
    writeOne: async (row) => (await client.query({
      name: "one", text: `${statement(1)} RETURNING ${COLUMNS}`, values: values([row]),
    })).rows[0],
    last: async (user, count) => (await client.query({ // no name: a prepared one may get a plan for any user
      text: `SELECT ${COLUMNS} FROM "BehaviorLog" WHERE "userId" = $1 ORDER BY "timestamp" DESC LIMIT $2`,
      values: [user, count],
    })).rows,
    close: () => client.end(),
  };
}
