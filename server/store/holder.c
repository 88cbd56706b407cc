/* holder.c - see holder.h. */
#include "holder.h"

#include <stdio.h>
#include <string.h>

/* One more than a process that is gone can leave behind. */
#define SIGNS_OF_LIFE 3

/* An older sign may be of a process that was killed since. */
#define SIGN_FRESH_US (5 * SIGN_EVERY_US)

/* A role sees when sessions of its own came to rest, and not those of others (PostgreSQL, "The
 * Cumulative Statistics System"). Where that is hidden the checkpoint is all that shows life. */
void holder_ask(struct text *sql, struct span key, struct span ended, const char *node,
                unsigned lane)
{
    text_string(sql, "SELECT l.pid AS holder, a.application_name, a.client_addr, a.backend_start,"
                     " CASE WHEN a.state = 'idle' THEN a.state_change END, penstock.position_of(");
    text_literal(sql, span_string(node));
    text_format(sql, ", %u), CASE WHEN ", lane);
    text_bytes(sql, ended.data, ended.size);
    text_string(sql, " THEN pg_catalog.pg_terminate_backend(l.pid) END"
                     " FROM pg_catalog.pg_locks l"
                     " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
                     " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
                     " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d"
                     "   WHERE d.datname = pg_catalog.current_database())"
                     " AND l.pid <> pg_catalog.pg_backend_pid()"
                     " AND (l.classid::bigint << 32 | l.objid::bigint) = ");
    text_bytes(sql, key.data, key.size);
    text_string(sql, ";");
}

void holder_forget(struct holder *holder)
{
    holder->name[0] = '\0';
}

static bool change(char *kept, size_t room, const char *seen)
{
    if (strcmp(kept, seen) == 0) {
        return false;
    }
    snprintf(kept, room, "%s", seen);
    return true;
}

void holder_read(struct holder *holder, const PGresult *result, int64_t now_us)
{
    enum { PID, APPLICATION, ADDRESS, STARTED, RESTED, CHECKPOINT };
    if (PQntuples(result) == 0) {
        return;
    }
    char session[sizeof holder->session];
    const char *address = PQgetvalue(result, 0, ADDRESS); /* empty: a local socket */
    const char *rested = PQgetvalue(result, 0, RESTED);   /* empty: it has not, now */
    holder->is_remote = address[0] != '\0';
    snprintf(holder->name, sizeof holder->name, "process %s, \"%.60s\"%s%.45s",
             PQgetvalue(result, 0, PID), PQgetvalue(result, 0, APPLICATION),
             address[0] == '\0' ? "" : ", at ", address);
    snprintf(session, sizeof session, "%s %s", PQgetvalue(result, 0, PID),
             PQgetvalue(result, 0, STARTED));
    bool is_new = change(holder->session, sizeof holder->session, session);
    bool has_moved =
        change(holder->checkpoint, sizeof holder->checkpoint, PQgetvalue(result, 0, CHECKPOINT));
    bool has_rested = rested[0] != '\0' && change(holder->rested, sizeof holder->rested, rested);
    if (is_new) {
        holder->signs = 0; /* what it did before is not known */
    } else if (has_moved || has_rested) {
        holder->signs += (unsigned)has_moved + (unsigned)has_rested;
        holder->sign_us = now_us;
    }
}

bool holder_lives(const struct holder *holder, int64_t now_us)
{
    return holder->name[0] != '\0' && holder->signs >= SIGNS_OF_LIFE &&
           now_us - holder->sign_us < SIGN_FRESH_US;
}
