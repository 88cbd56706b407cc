/*
 * dev.h - what `penstock dev` has and `penstock serve` has not: a PostgreSQL of its own, and the
 * example tables and streams. And the same PostgreSQL for a scratch copy of a schema.
 *
 * The cluster lives in a folder, listens on a unix socket in that folder only, and belongs to the
 * user `postgres` when we are root (PostgreSQL refuses to run as root). It stops when it is told
 * to, and also when this process is gone without a word.
 *
 * Thread: all calls are the main thread's. The thread that called private_postgres_start() must
 * stay until private_postgres_stop(): the kernel tells PostgreSQL of the death of that thread
 * (PR_SET_PDEATHSIG in prctl(2)).
 */
#ifndef PENSTOCK_DEV_H
#define PENSTOCK_DEV_H

#include "penstock/status.h"

struct private_postgres;

/* "./.penstock-dev", or "/var/lib/penstock-dev" for root: the user postgres cannot reach /root. */
const char *private_postgres_default_folder(void);

/*
 * Starts PostgreSQL on the data in `folder`, and makes both when they are not there yet: about a
 * second the first time, 0.1 seconds later. What a run left behind that was killed is stopped
 * first. Returns when PostgreSQL takes connections. Failures are one plain sentence: BAD_CONFIG
 * (folder), BAD_DATABASE (programs missing, another version's data, PostgreSQL's own words),
 * DISK_FULL, IO.
 *
 * PENSTOCK_POSTGRES_BIN in the environment names the folder with initdb and postgres.
 */
enum status private_postgres_start(const char *folder, struct private_postgres **out,
                                   struct problem *problem) must_use;

/* What libpq connects to; the database `postgres`, user `postgres`. Valid until stop. */
const char *private_postgres_url(const struct private_postgres *postgres);

/* The folder as an absolute path. Files in it besides `data`, `lock` and `postgres.log` are the
 * caller's. Valid until stop. */
const char *private_postgres_folder(const struct private_postgres *postgres);

/* BAD_DATABASE with PostgreSQL's last words when it has ended by itself. Costs one system call. */
enum status private_postgres_check(struct private_postgres *postgres,
                                   struct problem *problem) must_use;

/* Ends sessions and stops PostgreSQL ("fast", then harder), waits, and frees. Accepts NULL. */
void private_postgres_stop(struct private_postgres *postgres);

/* ---- a scratch copy of a schema -------------------------------------------------------------- */

struct scratch;

/*
 * Starts a PostgreSQL of this major version in a folder of its own, below TMPDIR or /tmp. Folder
 * and processes are gone after scratch_stop(); and a moment after this process, however it ends.
 * BAD_DATABASE when that version's programs are not installed.
 */
enum status scratch_start(int version, struct scratch **out, struct problem *problem) must_use;
const char *scratch_url(const struct scratch *scratch);
/* Copies the schema, and no rows, of the database that libpq reaches with `conninfo`, in which the
 * password does not stand (NULL: none is needed). BAD_DATABASE with pg_dump's or psql's words. */
enum status scratch_copy_schema(struct scratch *scratch, const char *conninfo, const char *password,
                                struct problem *problem) must_use;
void scratch_stop(struct scratch *scratch); /* accepts NULL */

/* The example tables (deploy/examples.sql) and the streams on them (deploy/examples.conf). */
const char *example_sql(void);
const char *example_conf(void);

#endif
