/* session.c - see session.h. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>

static char value[4096];

PGconn *session_open(void)
{
    PGconn *session = PQconnectdb(getenv("DATABASE_URL"));
    if (PQstatus(session) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(session));
    }
    assert_true(session_run(session, "SET client_min_messages = error"));
    return session;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

bool session_run(PGconn *session, const char *text)
{
    PGresult *result = PQexec(session, text);
    bool was_good = is_good(result);
    if (!was_good) {
        print_error("%s: %s", text, PQerrorMessage(session));
    }
    PQclear(result);
    return was_good;
}

const char *session_value(PGconn *session, const char *text)
{
    PGresult *result = PQexec(session, text);
    snprintf(value, sizeof value, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return value;
}

void session_start(PGconn *session, const char *text, const char *wait)
{
    int pid = PQbackendPID(session);
    int64_t until_us = clock_monotonic_us() + 60 * INT64_C(1000000);
    assert_int_equal(PQsendQuery(session, text), 1);
    while (sql_number("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND state = 'active'"
                      " AND wait_event = '%s'",
                      pid, wait) == 0) {
        assert_true(clock_monotonic_us() < until_us);
    }
}

const char *session_finish(PGconn *session)
{
    PGresult *result;
    value[0] = '\0';
    while ((result = PQgetResult(session)) != NULL) {
        const char *told = !is_good(result)        ? PQresultErrorMessage(result)
                           : PQntuples(result) > 0 ? PQgetvalue(result, 0, 0)
                                                   : "";
        snprintf(value, sizeof value, "%s", told);
        PQclear(result);
    }
    return value;
}

bool turn_log(void)
{
    return strcmp(sql_value("SELECT penstock.lock_retention() AND penstock.turn_log()"), "t") == 0;
}

extern const unsigned char version_4_sql[]; /* CMakeLists.txt */

void make_version_4(void)
{
    PGconn *maker = session_open();
    assert_true(session_run(maker, "DROP SCHEMA IF EXISTS penstock CASCADE"));
    assert_true(session_run(maker, (const char *)version_4_sql));
    PQfinish(maker);
}
