/* check_scratch.h - `penstock check --migration FILE --scratch`: tries it where it can harm nobody.
 */
#ifndef SERVER_CHECK_SCRATCH_H
#define SERVER_CHECK_SCRATCH_H

#include "check_migration.h"

/* Copies the schema of `store` into a PostgreSQL of its own, checks the migration there, and leaves
 * nothing behind. */
void check_scratch(struct report *report, const struct settings *settings, const char *file,
                   struct store *store);

#endif
