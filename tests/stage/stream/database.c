#include "database.h"

#include "penstock/store.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

struct database {
    PGconn *connection;
    struct store *store;
    char error[1000];
};

static char *format_sql(const char *format, va_list arguments)
{
    char *sql;
    assert_true(vasprintf(&sql, format, arguments) >= 0);
    return sql;
}

struct database *database_open(void)
{
    const char *url = getenv("DATABASE_URL");
    struct database *database = calloc(1, sizeof *database);
    struct problem problem;
    struct store_options options = {url, "test", 10000, 60000};
    assert_non_null(url);
    database->connection = PQconnectdb(url);
    assert_int_equal(PQstatus(database->connection), CONNECTION_OK);
    database_run(database, "SET TimeZone = 'UTC'; SET client_min_messages = warning");
    if (store_open(&options, &database->store, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    return database;
}

void database_close(struct database *database)
{
    store_close(database->store);
    PQfinish(database->connection);
    free(database);
}

void database_run(struct database *database, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *sql = format_sql(format, arguments);
    va_end(arguments);
    if (!database_try(database, sql)) {
        fail_msg("%s: %s", sql, PQerrorMessage(database->connection));
    }
    free(sql);
}

bool database_try(struct database *database, const char *sql)
{
    PGresult *result = PQexec(database->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

char *database_text(struct database *database, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *sql = format_sql(format, arguments);
    va_end(arguments);
    PGresult *result = PQexec(database->connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
        fail_msg("%s: %s", sql, PQerrorMessage(database->connection));
    }
    char *text = strdup(PQgetisnull(result, 0, 0) ? "<null>" : PQgetvalue(result, 0, 0));
    PQclear(result);
    free(sql);
    return text;
}

void database_open_stream(struct database *database, struct fixture *fixture, const char *table)
{
    database_open_channels(database, fixture, table, NULL, 0);
}

void database_open_channels(struct database *database, struct fixture *fixture, const char *table,
                            const char *const *channels, size_t channel_count)
{
    struct table_description description;
    struct problem problem;
    if (store_read_table(database->store, table, &description, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    fixture_open(fixture, &description, channels, channel_count);
}

static void read_schema(const struct fixture *fixture, struct schema *out)
{
    static uint8_t bytes[1 << 17];
    struct problem problem;
    struct writer writer = writer_of(bytes, sizeof bytes);
    schema_write(fixture->stream, &writer);
    if (schema_read(writer_span(&writer), out, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
}

bool database_is_binary(const struct fixture *fixture)
{
    struct schema schema;
    read_schema(fixture, &schema);
    bool is_binary = schema.binary;
    schema_fini(&schema);
    return is_binary;
}

static void copy_statement(const struct schema *schema, const char *table, char *out, size_t room)
{
    size_t at = (size_t)snprintf(out, room, "COPY \"%s\" (", table);
    for (uint16_t i = 0; i < schema->column_count; i++) {
        at += (size_t)snprintf(out + at, room - at, "%s\"%s\"", i > 0 ? ", " : "",
                               schema->columns[i].name);
    }
    snprintf(out + at, room - at, ") FROM STDIN%s", schema->binary ? " (FORMAT binary)" : "");
}

/* Sends one COPY and returns its error. */
static const char *copy(struct database *database, const char *sql, const struct span *parts,
                        size_t count)
{
    PGresult *result = PQexec(database->connection, sql);
    if (PQresultStatus(result) != PGRES_COPY_IN) {
        fail_msg("%s: %s", sql, PQerrorMessage(database->connection));
    }
    PQclear(result);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(
            PQputCopyData(database->connection, (const char *)parts[i].data, (int)parts[i].size),
            1);
    }
    assert_int_equal(PQputCopyEnd(database->connection, NULL), 1);
    const char *error = NULL;
    while ((result = PQgetResult(database->connection)) != NULL) {
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            snprintf(database->error, sizeof database->error, "%s", PQresultErrorMessage(result));
            error = database->error;
        }
        PQclear(result);
    }
    return error;
}

const char *database_copy(struct database *database, const struct fixture *fixture,
                          const char *table)
{
    static const char head[19] = "PGCOPY\n\377\r\n"; /* signature, zero, flags, no extension */
    static const char end[2] = "\377\377";
    char sql[4096];
    struct schema schema;
    read_schema(fixture, &schema);
    copy_statement(&schema, table, sql, sizeof sql);
    const struct span binary[] = {span_of(head, sizeof head), fixture->event.row,
                                  span_of(end, sizeof end)};
    const char *error = schema.binary ? copy(database, sql, binary, 3)
                                      : copy(database, sql, &fixture->event.row, 1);
    schema_fini(&schema);
    return error;
}

const char *database_read_literal(struct database *database, const char *table, const char *literal)
{
    char sql[200];
    size_t room = 2 * strlen(literal) + 2, at = 0;
    char *line = malloc(room);
    assert_non_null(line);
    for (const char *c = literal; *c != '\0'; c++) {
        char escaped = *c == '\\'   ? '\\'
                       : *c == '\t' ? 't'
                       : *c == '\n' ? 'n'
                       : *c == '\r' ? 'r'
                                    : 0;
        if (escaped != 0) {
            line[at++] = '\\';
        }
        line[at++] = escaped != 0 ? escaped : *c;
    }
    line[at++] = '\n';
    snprintf(sql, sizeof sql, "COPY \"%s\" (v) FROM STDIN", table);
    struct span part = span_of(line, at);
    const char *error = copy(database, sql, &part, 1);
    free(line);
    return error;
}
