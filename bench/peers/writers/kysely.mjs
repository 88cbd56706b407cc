// Kysely, insertInto().values()
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { connection } from "../rows.mjs";

export async function open() {
  const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ ...connection, max: 1 }) }) });
  return {
    write: (rows) => db.insertInto("BehaviorLog").values(rows).execute(),
    writeOne: (row) => db.insertInto("BehaviorLog").values(row).returningAll().executeTakeFirst(),
    last: (user, count) => db.selectFrom("BehaviorLog").selectAll().where("userId", "=", user)
      .orderBy("timestamp", "desc").limit(count).execute(),
    close: () => db.destroy(),
  };
}
