/* schema_database.c - see schema_database.h. */
#include "schema_database.h"

#include "prepared_database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <libpq-fe.h>

static PGconn *db;

const char *database_url(void)
{
    const char *url = getenv("DATABASE_URL");
    if (url == NULL) {
        print_message("skipped: run under tests/lib/with_postgres.sh\n");
        exit(77);
    }
    return url;
}

struct store_options database_options(void)
{
    return (struct store_options){.url = database_url(),
                                  .role = "test",
                                  .connect_timeout_ms = 30000,
                                  .statement_timeout_ms = 30000};
}

static void make_schema(void)
{
    struct store *store;
    struct problem problem;
    struct store_options options = database_options();
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    enum status status = store_migrate(store, &problem);
    store_close(store);
    if (status != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
}

void schema_database_renew(void)
{
    schema_database_close();
    prepared_database_renew(make_schema);
    db = PQconnectdb(database_url());
    assert_int_equal(PQstatus(db), CONNECTION_OK);
    sql("SET client_min_messages = error");
}

void schema_database_close(void)
{
    PQfinish(db);
    db = NULL;
}

void sql(const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    PGresult *result = PQexec(db, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", text, PQerrorMessage(db));
    }
    PQclear(result);
}
