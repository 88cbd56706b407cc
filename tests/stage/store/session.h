/*
 * session.h - other sessions beside the committer and the one that looks: an operator, a reader, a
 * server of an earlier version; and what they do to the log.
 */
#ifndef PENSTOCK_TEST_SESSION_H
#define PENSTOCK_TEST_SESSION_H

#include "rig.h"

/* As a new connection of libpq, without notices; close it with PQfinish(). */
PGconn *session_open(void);
/* False: it was refused, and the reason is printed. */
bool session_run(PGconn *session, const char *text);
/* The first value of the first row; "" when there is none, or the statement was refused. Lent until
 * the next call. */
const char *session_value(PGconn *session, const char *text);
/* Sends the statement, and comes back when `wait` is what the session waits for, as
 * pg_stat_activity has it ("PgSleep"). */
void session_start(PGconn *session, const char *text, const char *wait);
/* What became of it: the first value, or what the error says. Lent until the next call. */
const char *session_finish(PGconn *session);

/* What is committed from here on lies in another slot of the log. False: it cannot be turned. */
bool turn_log(void);
/* How many batches of the log lack the payload that they should have. */
#define PAYLOADS_MISSING                                                 \
    "SELECT count(*) FROM penstock.batch b LEFT JOIN penstock.payload p" \
    " USING (slot, node, lane, position) WHERE b.last >= b.first AND p.slot IS NULL"

/* The schema penstock as version 4 made it, with nothing in it. */
void make_version_4(void);

#endif
