// Drizzle, insert().values([…])
import { desc, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { jsonb, pgTable, text, timestamp, uuid } from "drizzle-orm/pg-core";
import pg from "pg";
import { connection } from "../rows.mjs";

const behaviorLog = pgTable("BehaviorLog", {
  id: uuid("id").primaryKey().defaultRandom(),
  userId: uuid("userId").notNull(),
  eventType: text("eventType").notNull(),
  metadata: jsonb("metadata"),
  timestamp: timestamp("timestamp", { precision: 3, mode: "string" }).notNull().defaultNow(),
});

export async function open() {
  const pool = new pg.Pool({ ...connection, max: 1 });
  const db = drizzle(pool);
  return {
    write: (rows) => db.insert(behaviorLog).values(rows),
    writeOne: async (row) => (await db.insert(behaviorLog).values(row).returning())[0],
    last: (user, count) => db.select().from(behaviorLog).where(eq(behaviorLog.userId, user))
      .orderBy(desc(behaviorLog.timestamp)).limit(count),
    close: () => pool.end(),
  };
}
