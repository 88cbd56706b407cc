/*
 * keys_postgres.c - the database, its log, and what goes into one transaction.
 */
#include "keys.h"

static const struct key postgres[] = {
    TEXT(database_url, FIXED, "URL", "", 4096,
         "How to connect, as libpq takes it: postgresql://user@host/database. Also read from "
         "DATABASE_URL. Empty: libpq's own environment (PGHOST and so on). A flag takes it "
         "without a password only, since everybody on the machine can read flags.",
         .is_secret = true),
    TEXT(listen_url, FIXED, "URL", "", 4096,
         "A direct connection for LISTEN, where database_url leads to a pooler that has none. "
         "Empty: the same as database_url.",
         .is_secret = true),
    NUMBER(connect_timeout_ms, FIXED, "MS", "5000", 100, 600000,
           "An attempt to connect that takes longer has failed."),
    NUMBER(statement_timeout_ms, FIXED, "MS", "30000", 100, 3600000,
           "A statement that takes longer is cancelled and tried again."),
    NUMBER(catalog_poll_ms, LIVE, "MS", "1000", 100, 3600000,
           "How often the catalog is asked whether a stream's table was altered. It is asked at "
           "once when PostgreSQL refuses rows as if that were so, and on SIGHUP."),
    /* Not longer than the committer waits for the table (MISSING_PATIENCE_US): what comes later
     * than that becomes dead letters. */
    NUMBER(table_grace_ms, LIVE, "MS", "30000", 0, 30000,
           "A stream whose table is gone or may not be written goes on into the journal for so "
           "long, as migrations rename and recreate; then its events are refused until the table "
           "is back."),
    NUMBER(retention_s, LIVE, "SECONDS", "86400", 0, 3153600000,
           "How long the log (penstock.batch and penstock.payload) keeps events for subscribers "
           "that come back; the tables keep theirs. Older ones leave in slots, a sixth of that "
           "time each, or a third where retention_bytes is set, too. 0: whatever their age."),
    SIZE(retention_bytes, LIVE, "0", 0, INT64_MAX,
         "How much disk the log may take in the database, with its indexes; the oldest events "
         "leave first, in slots, a sixth or a third of that. A slot, and what comes in within a "
         "second, may be over it for a moment; it is never less than 1 MB. 0: any size."),
    NUMBER(batch_rows, LIVE, "N", "10000", 1, 1000000,
           "The most events of one transaction. Batches are smaller when less is waiting."),
    SIZE(batch_bytes, LIVE, "8MB", 64 * KB, 1 * GB,
         "The most bytes of one transaction; one message may go past it."),
    NUMBER(prepared_rows, FIXED, "N", "8", 0, 1000,
           "Batches of up to so many rows go as prepared statements, larger ones by COPY. 0: "
           "always COPY."),
};
const struct key_group keys_postgres = {postgres, sizeof postgres / sizeof postgres[0]};
