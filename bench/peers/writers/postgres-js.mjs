// postgres.js, insert ${sql(rows)}
import postgres from "postgres";
import { connection } from "../rows.mjs";

export async function open() {
  const sql = postgres({ ...connection, max: 1 });
  await sql`SELECT`;
  return {
    write: (rows) => sql`INSERT INTO "BehaviorLog" ${sql(rows.map((row) => ({
      ...row, metadata: sql.json(row.metadata) })))}`,
    close: () => sql.end(),
  };
}
