/* prepared_database.c - see prepared_database.h. */
#include "prepared_database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>

/* PGHOST, PGUSER and PGDATABASE, "postgres", are set by with_postgres.sh. */
static void command(const char *sql)
{
    PGconn *connection = PQconnectdb("dbname=template1");
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    }
    PQclear(result);
    PQfinish(connection);
}

void prepared_database_renew(void (*prepare)(void))
{
    static bool is_prepared;
    if (!is_prepared) {
        prepare();
        command("CREATE DATABASE prepared TEMPLATE postgres");
        is_prepared = true;
        return;
    }
    command("DROP DATABASE postgres WITH (FORCE)");
    command("CREATE DATABASE postgres TEMPLATE prepared");
}
