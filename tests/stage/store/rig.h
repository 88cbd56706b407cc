/*
 * rig.h - a committer on a loop of its own, and a second connection that looks at what it did.
 */
#ifndef PENSTOCK_TEST_RIG_H
#define PENSTOCK_TEST_RIG_H

#include "batch_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>

extern enum loop_engine rig_engine; /* of the next rig */

struct rig {
    struct loop *loop;
    struct committer *committer;
    struct lane_state state;
    unsigned ready, done, failed;
    uint64_t checkpoint;
    struct problem problem;
};

struct rig_options {
    const char *node, *url; /* NULL: "node", DATABASE_URL */
    uint32_t lane;
    /* 0: 16, 20000, 10000 */
    uint64_t prepared_rows, statement_timeout_ms, connect_timeout_ms;
};

/* Drops everything and makes the schema penstock and the tables of the tests anew. */
void rig_reset_database(void);
/* Starts a committer; does not wait for it. */
struct rig *rig_open(struct rig_options options);
void rig_wait_ready(struct rig *rig);
/* Submits, and runs the loop until the batch is done. */
void rig_commit(struct rig *rig, struct batch *batch);
/* Runs the loop until `*number` reaches `least`; fails the test after 90 s. */
void rig_wait(struct rig *rig, const unsigned *number, unsigned least);
void rig_run_for(struct rig *rig, int64_t us);
void rig_close(struct rig *rig);
void rig_close_all(void); /* what a failed test left behind */

/* SQL on the second connection. The value is the first of the first row, "" for NULL or no row, and
 * stays until the next call. */
void sql(const char *format, ...) printf_like(1, 2);
const char *sql_value(const char *format, ...) printf_like(1, 2);
long sql_number(const char *format, ...) printf_like(1, 2);
PGconn *sql_connection(void);
void sql_disconnect(void);

/* The command line's connection; fails the test when there is none. NULL: DATABASE_URL. */
struct store *open_store(const char *url);

/* Table "Note"(id uuid primary key, n int, body text): schema and rows. */
struct schema note_schema(void);
struct span note_row(uint64_t id, int32_t n, const char *body);
/* `count` events of one record, ids and n from `first` on, pushed to "all" as {"n":…}. */
void add_notes(struct builder *builder, const struct schema *schema, uint64_t first, size_t count);

/* Runs the group on every engine that the kernel grants. */
int rig_run_group(const char *name, const struct CMUnitTest *tests, size_t count);

#endif
