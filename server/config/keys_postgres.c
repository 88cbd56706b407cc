/*
 * keys_postgres.c - the database, its log, and what goes into one transaction.
 */
#include "keys.h"

static const struct key rows[] = {
    {.group = "PostgreSQL",
     .name = "database_url",
     .type = KEY_TEXT,
     .unit = "URL",
     .value = "",
     .most = 4096,
     .is_secret = true,
     .help = "How to connect, as libpq takes it: postgresql://user@host/database. Also read from "
             "DATABASE_URL. Empty: libpq's own environment (PGHOST and so on). A flag takes it "
             "without a password only, since everybody on the machine can read flags.",
     AT(database_url)},
    {.name = "listen_url",
     .type = KEY_TEXT,
     .unit = "URL",
     .value = "",
     .most = 4096,
     .is_secret = true,
     .help = "A direct connection for LISTEN, where database_url leads to a pooler that has none. "
             "Empty: the same as database_url.",
     AT(listen_url)},
    {.name = "connect_timeout_ms",
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "5000",
     .least = 100,
     .most = 600000,
     .help = "An attempt to connect that takes longer has failed.",
     AT(connect_timeout_ms)},
    {.name = "statement_timeout_ms",
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "30000",
     .least = 100,
     .most = 3600000,
     .help = "A statement that takes longer is cancelled and tried again.",
     AT(statement_timeout_ms)},
    {.name = "catalog_poll_ms",
     .is_live = true,
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "1000",
     .least = 100,
     .most = 3600000,
     .help = "How often the catalog is asked whether a stream's table was altered. It is asked at "
             "once when PostgreSQL refuses rows as if that were so, and on SIGHUP.",
     AT(catalog_poll_ms)},
    /* Not longer than the committer waits for the table (MISSING_PATIENCE_US): what comes later
     * than that becomes dead letters. */
    {.name = "table_grace_ms",
     .is_live = true,
     .type = KEY_NUMBER,
     .unit = "MS",
     .value = "30000",
     .most = 30000,
     .help = "A stream whose table is gone or may not be written goes on into the journal for so "
             "long, as migrations rename and recreate; then its events are refused until the table "
             "is back.",
     AT(table_grace_ms)},
    {.name = "retention_s",
     .is_live = true,
     .type = KEY_NUMBER,
     .unit = "SECONDS",
     .value = "86400",
     .most = 3153600000,
     .help =
         "How long the log (penstock.batch and penstock.payload) keeps events for subscribers "
         "that come back; the tables keep theirs. Older ones leave in slots, a sixth of that time "
         "each, or a third where retention_bytes is set, too. 0: whatever their age.",
     AT(retention_s)},
    {.name = "retention_bytes",
     .is_live = true,
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "0",
     .most = INT64_MAX,
     .help = "How much disk the log may take in the database, with its indexes; the oldest events "
             "leave first, in slots, a sixth or a third of that. A slot, and what comes in within a "
             "second, may be over it for a moment; it is never less than 1 MB. 0: any size.",
     AT(retention_bytes)},
    {.name = "batch_rows",
     .is_live = true,
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "10000",
     .least = 1,
     .most = 1000000,
     .help = "The most events of one transaction. Batches are smaller when less is waiting.",
     AT(batch_rows)},
    {.name = "batch_bytes",
     .is_live = true,
     .type = KEY_SIZE,
     .unit = "SIZE",
     .value = "8MB",
     .least = 64 * KB,
     .most = 1 * GB,
     .help = "The most bytes of one transaction; one message may go past it.",
     AT(batch_bytes)},
    {.name = "prepared_rows",
     .type = KEY_NUMBER,
     .unit = "N",
     .value = "8",
     .most = 1000,
     .help =
         "Batches of up to so many rows go as prepared statements, larger ones by COPY. 0: always "
         "COPY.",
     AT(prepared_rows)},
};

const struct key_area keys_postgres = {rows, sizeof rows / sizeof rows[0]};
