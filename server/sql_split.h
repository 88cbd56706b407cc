/*
 * sql_split.h - a file of SQL, statement by statement, and each as words that rules can look at.
 * Pure. The lexical rules are PostgreSQL's (manual, "Lexical Structure"): quotes, dollar quotes,
 * nested comments; and psql's: a backslash that begins a line is a command to psql, not SQL.
 */
#ifndef SERVER_SQL_SPLIT_H
#define SERVER_SQL_SPLIT_H

#include "penstock/bytes.h"

#define SQL_WORDS_MAX 2000 /* of one statement; what is behind is not looked at */

struct sql_statement {
    struct span text; /* without the semicolon; borrows */
    int line;         /* of its first word, from 1 */
    /* " ALTER TABLE ? ADD COLUMN LEVEL INT ": upper case, one space between words, brackets, commas
     * and semicolons; what stands in quotes is one '?', comments are gone. Begins and ends with a
     * space. */
    char words[SQL_WORDS_MAX];
};

struct sql_splitter {
    const char *at, *end;
    int line;
};

struct sql_splitter sql_splitter_of(struct span file);
/* The next statement that is not empty; false at the end. */
bool sql_next(struct sql_splitter *splitter, struct sql_statement *out);
/* Do these words stand in it, one behind the other? */
bool sql_has(const struct sql_statement *statement, const char *words);
bool sql_begins(const struct sql_statement *statement, const char *words);

#endif
