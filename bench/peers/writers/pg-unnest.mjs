// pg, INSERT … SELECT FROM unnest(array of each column): one statement for any number of rows
import pg from "pg";
import { COLUMNS, connection } from "../rows.mjs";

const INSERT = {
  name: "unnest",
  text: `INSERT INTO "BehaviorLog" (${COLUMNS})
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::timestamp[])`,
};

const columns = (rows) => [
  rows.map((row) => row.id), rows.map((row) => row.userId), rows.map((row) => row.eventType),
  rows.map((row) => JSON.stringify(row.metadata)), rows.map((row) => row.timestamp)];

export async function open() {
  const client = new pg.Client(connection);
  await client.connect();
  return {
    write: (rows) => client.query({ ...INSERT, values: columns(rows) }),
    close: () => client.end(),
  };
}
