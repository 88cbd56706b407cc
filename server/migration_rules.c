/*
 * migration_rules.c - see migration_rules.h.
 *
 * Which locks a statement takes, and whether it scans or rewrites the table, is in the manual under
 * "ALTER TABLE" (Notes), "Building Indexes Concurrently" and "Explicit Locking". The check measures
 * both, too; the rules are here for the way around.
 */
#include "migration_rules.h"

#include <regex.h>

static const struct {
    const char *begins, *has, *why;
    enum migration_way way;
} refusals[] = {
    {"BEGIN", NULL, "the file begins a transaction of its own", WAY_BEGIN},
    {"START TRANSACTION", NULL, "the file begins a transaction of its own", WAY_BEGIN},
    {"COMMIT", NULL, "the file commits by itself", WAY_COMMIT},
    {"END", NULL, "the file commits by itself", WAY_COMMIT},
    {"ROLLBACK", NULL, "the file rolls back by itself", WAY_ROLLBACK},
    {"ABORT", NULL, "the file rolls back by itself", WAY_ROLLBACK},
    {"PREPARE TRANSACTION", NULL, "the file commits by itself", WAY_NONE},
    {"CREATE", "INDEX CONCURRENTLY", "CREATE INDEX CONCURRENTLY cannot run in a transaction",
     WAY_ALONE},
    {"DROP INDEX CONCURRENTLY", NULL, "DROP INDEX CONCURRENTLY cannot run in a transaction",
     WAY_ALONE},
    {"REINDEX", "CONCURRENTLY", "REINDEX CONCURRENTLY cannot run in a transaction", WAY_ALONE},
    {"ALTER TABLE", "DETACH PARTITION", NULL, WAY_ALONE},
    {"VACUUM", NULL, "VACUUM cannot run in a transaction", WAY_ALONE},
    {"CREATE DATABASE", NULL, "CREATE DATABASE cannot run in a transaction", WAY_NONE},
    {"DROP DATABASE", NULL, "DROP DATABASE cannot run in a transaction", WAY_NONE},
    {"CREATE TABLESPACE", NULL, "CREATE TABLESPACE cannot run in a transaction", WAY_NONE},
    {"DROP TABLESPACE", NULL, "DROP TABLESPACE cannot run in a transaction", WAY_NONE},
    {"CREATE SUBSCRIPTION", NULL, "CREATE SUBSCRIPTION cannot run in a transaction", WAY_NONE},
    {"DROP SUBSCRIPTION", NULL, "DROP SUBSCRIPTION cannot run in a transaction", WAY_NONE},
    {"ALTER SYSTEM", NULL, "ALTER SYSTEM cannot run in a transaction", WAY_NONE},
    {"COPY", "TO STDOUT", "COPY TO STDOUT wants somebody who takes the rows", WAY_NONE},
    {"COPY", "FROM STDIN", "COPY FROM STDIN wants rows that a plain file of SQL has not", WAY_NONE},
};

const char *migration_refusal(const struct sql_statement *statement, enum migration_way *out_way)
{
    *out_way = WAY_INSIDE;
    if (statement->words[1] == '\\') {
        *out_way = WAY_NONE;
        return "it is a command of psql, not SQL";
    }
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *why = refusals[i].why;
        if (!sql_begins(statement, refusals[i].begins) ||
            (refusals[i].has != NULL && !sql_has(statement, refusals[i].has))) {
            continue;
        }
        if (why == NULL) {
            why = sql_has(statement, "CONCURRENTLY")
                      ? "DETACH PARTITION CONCURRENTLY cannot run in a transaction"
                      : NULL;
        }
        *out_way = why == NULL ? WAY_INSIDE : refusals[i].way;
        return why;
    }
    return NULL;
}

#define ADD_COLUMN "^ ALTER TABLE .* ADD (COLUMN )?(IF NOT EXISTS )?[^ ]+ "

static const struct migration_rule rules[] = {
    {"^ CREATE (UNIQUE )?INDEX ", " CONCURRENTLY ", "an index is built while nobody can write",
     "CREATE INDEX CONCURRENTLY, outside a transaction"},
    {ADD_COLUMN ".*NOT NULL ", " (IS|SET) NOT NULL | DEFAULT | GENERATED ",
     "a column that is NOT NULL without a default fails where there are rows, and refuses events "
     "that "
     "do not carry it",
     "ADD COLUMN without NOT NULL; fill it in batches; ADD CONSTRAINT … CHECK (column IS NOT NULL) "
     "NOT "
     "VALID; VALIDATE CONSTRAINT; SET NOT NULL"},
    {ADD_COLUMN ".*(GENERATED .* STORED|SERIAL|BIGSERIAL|SMALLSERIAL|AS IDENTITY) ", NULL,
     "the table is rewritten",
     "ADD COLUMN without it; fill it in batches; then the default or a trigger for new rows"},
    {"^ ALTER TABLE .* ALTER (COLUMN )?[^ ]+ (SET DATA )?TYPE ", NULL,
     "another type may rewrite the table and its indexes, and stops the rows that are on their way",
     "ADD COLUMN of the new type; write both; fill it in batches; then leave the old one out"},
    {"^ ALTER TABLE .* SET NOT NULL ", NULL,
     "the whole table is read while nobody can use it, unless a valid CHECK says it already",
     "ADD CONSTRAINT … CHECK (column IS NOT NULL) NOT VALID; VALIDATE CONSTRAINT; SET NOT NULL; "
     "DROP "
     "CONSTRAINT"},
    {"^ ALTER TABLE .* ADD .*REFERENCES ", " NOT VALID ",
     "both tables are locked against writers while every row is checked",
     "ADD CONSTRAINT … FOREIGN KEY … NOT VALID; in another transaction VALIDATE CONSTRAINT"},
    {"^ ALTER TABLE .* ADD (CONSTRAINT [^ ]+ )?CHECK ", " NOT VALID ",
     "every row is checked while nobody can use the table",
     "ADD CONSTRAINT … CHECK … NOT VALID; in another transaction VALIDATE CONSTRAINT"},
    {"^ ALTER TABLE .* ADD (CONSTRAINT [^ ]+ )?(UNIQUE|PRIMARY KEY) ", " USING INDEX ",
     "an index is built while nobody can use the table",
     "CREATE UNIQUE INDEX CONCURRENTLY; then ADD CONSTRAINT … USING INDEX"},
    {"^ ALTER TABLE .* DROP ", " DROP (CONSTRAINT|DEFAULT|NOT NULL|EXPRESSION|IDENTITY) ",
     "events that carry the column are refused from then on",
     "let publishers leave it out first; drop it when no event has carried it for a while"},
    {"^ ALTER TABLE .* RENAME ", " RENAME CONSTRAINT ",
     "publishers and the configuration know the old name",
     "ADD COLUMN of the new name; write both; then leave the old one out"},
    {"^ DROP TABLE ", NULL, "its stream takes no events any more",
     "take the stream out of the configuration and reload first"},
    {" SET (TABLESPACE|LOGGED|UNLOGGED) ", NULL, "the table is rewritten",
     "a quiet hour, or pg_repack"},
    {"^ CLUSTER ", NULL, "the table is rewritten while nobody can use it", "pg_repack"},
    {"^ TRUNCATE ", NULL, "all rows go, and nobody can use the table meanwhile",
     "DELETE in batches"},
    {"^ LOCK ", NULL, "writers wait until the migration commits",
     "smaller steps, each with a lock_timeout"},
    {"^ CREATE (OR REPLACE )?(CONSTRAINT )?TRIGGER .* FOR EACH ROW ", NULL,
     "every row that the server loads pays for it",
     "FOR EACH STATEMENT with REFERENCING NEW TABLE, once a batch"},
    {"^ UPDATE ", " WHERE ", "every row is written again in one transaction",
     "batches of some thousand rows, each committed"},
};

/* Extended regular expressions (regex(7)); a rule that does not compile is a mistake of ours, which
 * the tests would find. */
static bool matches(const char *pattern, const char *words)
{
    regex_t compiled;
    if (pattern == NULL || regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool found = regexec(&compiled, words, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

size_t migration_rules(const struct sql_statement *statement, const struct migration_rule **out,
                       size_t room)
{
    size_t found = 0;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0] && found < room; i++) {
        if (matches(rules[i].is, statement->words) && !matches(rules[i].unless, statement->words)) {
            out[found++] = &rules[i];
        }
    }
    return found;
}
