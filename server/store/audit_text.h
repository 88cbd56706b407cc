/*
 * audit_text.h - the text of somebody's statement, made fit to be shown. Pure. Private to store/.
 *
 * pg_stat_statements replaces the constants of queries by $1, $2 …; but not those of utility
 * statements, not what stands in comments, and nothing at all where an entry was lost between the
 * start and the end of a statement. So whatever looks like a literal is replaced once more here,
 * by '?', and comments are cut out. The lexical rules are PostgreSQL's (manual, "Lexical
 * Structure").
 */
#ifndef PENSTOCK_STORE_AUDIT_TEXT_H
#define PENSTOCK_STORE_AUDIT_TEXT_H

#include "text.h"

struct statement_facts {
    char verb[24];    /* its first word, in capitals; "" when it has none */
    bool is_query;    /* SELECT, INSERT …: what EXPLAIN takes; otherwise a utility statement */
    bool has_string;  /* one was replaced: it was not normalised */
    bool is_compound; /* a semicolon separates statements */
};

/* Appends the text without literals and comments, on one line, at most `limit` bytes of it. */
void statement_scrub(struct span statement, size_t limit, struct text *out,
                     struct statement_facts *facts);
/* Appends a line of a plan. Literals stay in the lines that carry only estimates. */
void plan_scrub(struct span line, struct text *out);

#endif
