// What all writers share: the row of an event, made the way that is kindest to the index.
import { randomFillSync } from "node:crypto";

const random = Buffer.alloc(16 * 256);
let taken = random.length;

/** A UUIDv7 (RFC 9562): ids that ascend cost PostgreSQL less than random ones. */
export function uuidv7(now = Date.now()) {
  if (taken === random.length) {
    randomFillSync(random);
    taken = 0;
  }
  const bytes = random.subarray(taken, (taken += 16));
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Fills in what the publisher left out, as Penstock does. */
export function rowOf(event) {
  return { id: event.id ?? uuidv7(), userId: event.userId, eventType: event.eventType,
           metadata: event.metadata ?? null, timestamp: event.timestamp ?? new Date().toISOString() };
}

/** How drivers want it: DATABASE_URL's parts come as PGHOST (a socket's folder), PGUSER, PGDATABASE. */
export const connection = { host: process.env.PGHOST, user: process.env.PGUSER, database: process.env.PGDATABASE };

export const COLUMNS = '"id", "userId", "eventType", "metadata", "timestamp"';
