/*
 * audit.h - what is slow, useless or neglected in the database, as PostgreSQL itself counted it.
 *
 * A finding says what, where, why it matters and what mends it. It has an identity, a uuid that is
 * the same in every run. audit_record() turns findings into events of a stream, each once, and
 * tells later which of them were mended and what that gained (store/schema/finding.sql).
 *
 * Nothing but audit_record() writes: the session is read-only. No statement of others is run: a
 * plan is made of the normalised text, with parameters that have no value (audit_plan.c). Texts
 * have no literals in them (store/audit_text.h), and utility statements are not shown at all.
 *
 * Thread: main.
 */
#ifndef PENSTOCK_AUDIT_H
#define PENSTOCK_AUDIT_H

#include "penstock/store.h"

enum audit_level {
    AUDIT_INFO,    /* good to know */
    AUDIT_NOTE,    /* something could not be looked at */
    AUDIT_FINDING, /* to be mended */
};

/* Lent for the call. */
struct audit_finding {
    enum audit_level level;
    const char *id;      /* its identity; NULL: it is not remembered */
    const char *kind;    /* "slow_statement" */
    const char *place;   /* the table; NULL: none */
    const char *subject; /* the statement, "index public.x", "table public.x" */
    const char *detail;  /* a sentence */
    const char *mend;    /* the statement that mends it; NULL: none is known */
    const char *plan;    /* of a statement, on several lines; NULL: none */
};

enum audit_look {
    AUDIT_STATEMENTS,
    AUDIT_MISSING_INDEXES,
    AUDIT_UNUSED_INDEXES,
    AUDIT_FOREIGN_KEYS,
    AUDIT_BLOAT,
    AUDIT_VACUUM,
    AUDIT_COPY_COST,
    AUDIT_LOOKS
};

struct audit;
struct audit_options {
    struct store_options store;
    const char *const *tables; /* of the streams, as configured; borrows until audit_close() */
    size_t table_count;
    uint64_t slow_ms; /* statements that take as long on average are findings */
    void (*visit)(void *owner, const struct audit_finding *finding);
    void *owner;
};
enum status audit_open(const struct audit_options *options, struct audit **out,
                       struct problem *problem) must_use;
void audit_close(struct audit *audit); /* accepts NULL */
/* Looks, and visits each finding. After a failure the next look may well succeed, unless it is
 * UNAVAILABLE. */
enum status audit_look(struct audit *audit, enum audit_look look, struct problem *problem) must_use;

/* What became of one thing that was looked at; lent for the call. */
struct audit_outcome {
    const char *word;    /* "new", "again", "known", "mended", "fine" */
    const char *subject; /* as in the finding */
    const char *told;    /* the sentence that was recorded; NULL: nothing was */
};
/* Where to: a stream as it is configured. */
struct audit_stream {
    const char *name, *table;
    const char *const *channels;
    size_t channel_count;
};
/* All that was found since audit_open() goes into the stream, in one transaction. */
enum status audit_record(struct audit *audit, const struct audit_stream *stream,
                         void (*visit)(void *owner, const struct audit_outcome *outcome),
                         void *owner, struct problem *problem) must_use;

#endif
