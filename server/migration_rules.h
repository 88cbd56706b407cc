/*
 * migration_rules.h - what is known of statements that hurt a table in use, and the safer form.
 * Pure: words in, advice out.
 */
#ifndef SERVER_MIGRATION_RULES_H
#define SERVER_MIGRATION_RULES_H

#include "sql_split.h"

/* How a statement can be tried. */
enum migration_way {
    WAY_INSIDE,   /* in a transaction that is rolled back */
    WAY_BEGIN,    /* it begins a transaction */
    WAY_COMMIT,   /* it ends one … */
    WAY_ROLLBACK, /* … or takes it back */
    WAY_ALONE,    /* outside of any transaction */
    WAY_NONE,     /* not by us */
};
/* Why it cannot be tried in a transaction that is rolled back; NULL: it can. */
const char *migration_refusal(const struct sql_statement *statement, enum migration_way *out_way);

struct migration_rule {
    const char *is, *unless; /* patterns of its words; the second may be NULL */
    const char *what;        /* what it does to a table that others write */
    const char *safer;
};
/* The rules that fit, up to `room`. */
size_t migration_rules(const struct sql_statement *statement, const struct migration_rule **out,
                       size_t room);

#endif
