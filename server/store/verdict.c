/*
 * verdict.c - see verdict.h.
 *
 * What is not known to be something else counts as the fault of a row: triggers raise whatever
 * codes their authors like, and a row that is set apart is kept in penstock.dead_letter, while one
 * that is tried again for ever holds up everybody behind it.
 */
#include "verdict.h"

#include <stddef.h>
#include <string.h>

struct rule {
    const char *prefix; /* a whole SQLSTATE, or its class */
    enum verdict verdict;
};

/* The first rule that fits decides, so the exceptions of a class stand before it. */
static const struct rule rules[] = {
    {"08P01", VERDICT_DRIFT}, /* COPY BINARY: "insufficient data left in message" */
    {"08", VERDICT_RETRY},    /* connection */
    {"0A000", VERDICT_DRIFT}, /* "cached plan must not change result type" and the like */
    {"22P03", VERDICT_DRIFT}, /* COPY BINARY: "incorrect binary data format" */
    {"22P04", VERDICT_DRIFT}, /* COPY: "row field count is 3, expected 4" */
    {"25", VERDICT_RETRY},    /* read-only server, transaction gone */
    {"26", VERDICT_RETRY},    /* prepared statement gone: forgotten, and prepared again */
    {"28", VERDICT_RETRY},    /* authorization of a session */
    {"3D", VERDICT_RETRY},    /* database gone */
    {"3F000", VERDICT_OPERATOR}, {"40", VERDICT_RETRY}, /* deadlock, serialization */
    {"42501", VERDICT_OPERATOR}, {"42P01", VERDICT_OPERATOR},
    {"42P05", VERDICT_RETRY},                            /* prepared statement exists */
    {"42", VERDICT_DRIFT},       {"53", VERDICT_RETRY},  /* disk, memory, connections */
    {"55006", VERDICT_RETRY},    {"55P", VERDICT_RETRY}, /* lock_timeout and others that pass */
    {"57", VERDICT_RETRY},                               /* shutdown, cancel, statement_timeout */
    {"58", VERDICT_RETRY},                               /* the server's own files */
    {"72", VERDICT_RETRY},       {"F0", VERDICT_RETRY},
    {"PS001", VERDICT_DRIFT}, /* penstock.expect_columns() */
    {"PS003", VERDICT_RETRY}, /* penstock.commit_batch(): not our checkpoint */
    {"XX001", VERDICT_RETRY}, /* damaged data: no row of ours is at fault */
    {"XX002", VERDICT_RETRY},
};

enum verdict verdict_of(const char *sqlstate)
{
    if (sqlstate[0] == '\0') {
        return VERDICT_RETRY;
    }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strncmp(sqlstate, rules[i].prefix, strlen(rules[i].prefix)) == 0) {
            return rules[i].verdict;
        }
    }
    return VERDICT_DATA;
}

bool verdict_is_of_server(const char *sqlstate)
{
    static const char *const classes[] = {"3D", "53", "57P", "58", "XX"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strncmp(sqlstate, classes[i], strlen(classes[i])) == 0) {
            return true;
        }
    }
    return sqlstate[0] == '\0';
}
