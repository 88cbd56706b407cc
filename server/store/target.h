/*
 * target.h - a table that rows go into, with the SQL that puts them there: made once for each
 * schema, kept from batch to batch. Private to store/.
 */
#ifndef PENSTOCK_STORE_TARGET_H
#define PENSTOCK_STORE_TARGET_H

#include "failure.h"
#include "tally.h"
#include "text.h"

#include "penstock/store.h"

#define STATEMENT_NAME_BYTES 24

/* A prepared statement of the session. */
struct statement {
    char name[STATEMENT_NAME_BYTES];
    char *sql; /* owns */
    bool ready;
};

struct target {
    struct target *next;
    uint64_t key;
    uint64_t batch_number; /* the last batch that had rows for it */
    char stream[NAME_BYTES_MAX + 1];
    bool binary;
    uint16_t column_count;
    char *stream_json;       /* owns; as a JSON string */
    char *table;             /* owns; "schema"."table" */
    char *copy_sql;          /* owns */
    char *expect_sql;        /* owns; a call of penstock.expect_columns(); NULL: COPY text */
    Oid *types, *base_types; /* owns both; the second is filled once it was asked for */
    char *types_literal;     /* owns; "{2950,25}" */
    bool base_types_known;
    struct statement
        insert; /* one row; an error when it is a duplicate, or left out by a trigger */
    struct statement tolerant; /* one row; a duplicate is left out */
    char *without_arbiter;   /* owns; `tolerant` when the key cannot tell duplicates; NULL: it is */
    struct statement letter; /* one row into penstock.dead_letter */
    int64_t missing_since_us; /* the table or our privilege is gone; 0: not so */

    /* In the batch under way. */
    uint32_t number; /* place in targets.batch, from 1 */
    /* The first target of the same stream (an altered table makes a second one), which counts for
     * both; mostly itself. */
    struct target *lead;
    uint64_t rows; /* of this target alone */
    uint64_t stored, duplicates, rejected, start;
    uint32_t publishers; /* the newest entry in tail.tally; TALLY_NONE: there is none */
    bool has_failures;   /* rows of it were refused */
    bool refused;        /* no row of it can be stored; `refusal` says why */
    struct failure refusal;
};

/* Parameters of `letter` behind the columns of the row. */
enum {
    LETTER_STREAM,
    LETTER_TABLE,
    LETTER_SQLSTATE,
    LETTER_CONSTRAINT,
    LETTER_COLUMN,
    LETTER_MESSAGE,
    LETTER_PRODUCER,
    LETTER_NODE,
    LETTER_ARRIVED,
    LETTER_CHANNELS,
    LETTER_PARAMETERS
};

struct targets {
    struct target *first; /* owns all */
    size_t count;
    uint64_t batch_number;
    struct target **batch; /* owns the array: those of the batch under way, by first appearance */
    size_t batch_count, batch_room;
    struct target **of_event; /* owns the array: for each event of the batch */
    size_t event_room;
};

/* Finds or makes the target of every event. False: no memory. */
bool targets_assign(struct targets *targets, const struct batch *batch);
/* The session is gone, or has forgotten its prepared statements. */
void targets_forget(struct targets *targets);
void targets_fini(struct targets *targets);

/* From now on `tolerant` is a plain INSERT: the key cannot tell duplicates. False: it is already.
 */
bool target_drop_arbiter(struct target *target);

#endif
