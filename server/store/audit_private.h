/*
 * audit_private.h - an audit, as the files of store/ see it. See penstock/audit.h for the whole.
 *
 *   audit.c             the session, and what the catalog and the statistics of tables tell
 *   audit_statement.c   what pg_stat_statements tells
 *   audit_plan.c        the plan of a statement that is not run
 *   audit_record.c      findings become events
 *   audit/ *.sql        the questions, one a file
 */
#ifndef PENSTOCK_STORE_AUDIT_PRIVATE_H
#define PENSTOCK_STORE_AUDIT_PRIVATE_H

#include "store_private.h"

#include "penstock/audit.h"

struct audit {
    struct audit_options options;
    struct store *store; /* owns */
    struct text tables;  /* an array literal */
    /* Beginning of every question: memory, and `view` where there are statements. */
    struct text memory, view;
    bool has_statements; /* pg_stat_statements can be read */
    struct text seen;    /* JSON array, without brackets: what audit_record() gets */
    struct text kinds;   /* array literal, without brackets: of which tables were looked at */
};

/* Asks with `memory`, and with `view` if so, in front of `sql`. */
enum status audit_ask(struct audit *audit, bool with_view, const char *doing,
                      const char *const *sql, size_t pieces, int parameter_count,
                      const char *const *parameters, PGresult **out,
                      struct problem *problem) must_use;
void audit_tell(struct audit *audit, const struct audit_finding *finding);

/* What audit_record() gets of one thing that was looked at. */
struct audit_seen {
    const struct audit_finding *finding;
    bool is_found;
    bool is_watched;                             /* not yet: that it was seen is remembered */
    const char *confidence, *measure;            /* numbers, or "" */
    const char *queryid, *calls, *total, *reads; /* numbers, or "" */
};
void audit_remember(struct audit *audit, const struct audit_seen *seen);

/* ---- audit_statement.c ---- */
/* Is pg_stat_statements here to be read? If not, says how to get it. */
enum status audit_find_statements(struct audit *audit, struct problem *problem) must_use;
enum status audit_statements(struct audit *audit, struct problem *problem) must_use;
/* Appends the index that statements on this table ask for; nothing when none does. */
enum status audit_index_for_table(struct audit *audit, const char *table, struct text *out,
                                  struct problem *problem) must_use;

/* ---- audit_plan.c ---- */
struct audit_plan {
    struct text text; /* on several lines, without literals */
    struct text json; /* for audit_plan_index(); never shown */
    char excuse[200]; /* why there is none; "" */
};
void audit_plan_fini(struct audit_plan *plan);
/* A failure is of the connection; everything else is an excuse. */
enum status audit_plan_make(struct audit *audit, const char *query, struct audit_plan *out,
                            struct problem *problem) must_use;
/* Appends the index that would spare the plan reading a table (NULL: any) from end to end. */
enum status audit_plan_index(struct audit *audit, const struct audit_plan *plan, const char *table,
                             struct text *out, struct problem *problem) must_use;

#endif
