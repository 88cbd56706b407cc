/* check_migration.h - `penstock check --migration FILE`: what would these statements do to streams?
 */
#ifndef SERVER_CHECK_MIGRATION_H
#define SERVER_CHECK_MIGRATION_H

#include "report.h"

#include "penstock/config.h"
#include "penstock/store.h"

/* Leaves the database as it was. Adds what it finds to the report. */
void check_migration(struct report *report, const struct settings *settings, const char *file,
                     struct store *store);

#endif
