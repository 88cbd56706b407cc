/* check_migration.h - `penstock check --migration FILE`: what would these statements do to streams?
 */
#ifndef SERVER_CHECK_MIGRATION_H
#define SERVER_CHECK_MIGRATION_H

#include "report.h"

#include "penstock/config.h"
#include "penstock/store.h"

/* Leaves the database as it was. Adds what it finds to the report. `role`, NULL: this connection's,
 * is whose privileges are looked at. */
void check_migration(struct report *report, const struct settings *settings, const char *file,
                     const char *role, struct store *store);
/* The same in `copy`, which has the schema and no rows, and is thrown away: there the file's own
 * COMMITs, and what runs outside of a transaction only, are tried as well. `store` knows how large
 * the tables are. Privileges are not in a copy. */
void check_migration_in_copy(struct report *report, const struct settings *settings,
                             const char *file, struct store *copy, struct store *store);

#endif
