/*
 * wrap_libpq.c - the calls of libpq that can fail, by kind of error. See fault.h and wrap.h.
 *
 *     libpq:K:ENOMEM       the call itself fails, as libpq does without memory: with 0, -1 or NULL,
 *                          as each has it, and PQgetResult with an error without a SQLSTATE
 *     libpq:K:ECONNRESET   (and every other error) the connection is cut just before the call,
 *                          which then goes on with what the kernel tells it
 *
 * PQgetResult is counted when it has a result; the NULL behind the last one cannot fail.
 */
#include "fault.h"

#include <errno.h>
#include <libpq-fe.h>
#include <sys/socket.h>

/* True: the call must fail by itself. */
static bool fails(PGconn *connection, const char *function)
{
    int error = fault_now(FAULT_LIBPQ, function);
    if (error != 0 && error != ENOMEM && PQsocket(connection) >= 0) {
        (void)shutdown(PQsocket(connection), SHUT_RDWR);
    }
    return error == ENOMEM;
}

/* A function whose first parameter is the connection `c`. */
#define WRAP_LIBPQ(type, failed, name, parameters, arguments)        \
    type __real_##name parameters;                                   \
    type __wrap_##name parameters;                                   \
    type __wrap_##name parameters                                    \
    {                                                                \
        return fails(c, #name) ? (failed) : __real_##name arguments; \
    }

WRAP_LIBPQ(PostgresPollingStatusType, PGRES_POLLING_FAILED, PQconnectPoll, (PGconn * c), (c))
WRAP_LIBPQ(int, -1, PQsetnonblocking, (PGconn * c, int on), (c, on))
WRAP_LIBPQ(int, 0, PQconsumeInput, (PGconn * c), (c))
WRAP_LIBPQ(int, -1, PQflush, (PGconn * c), (c))
WRAP_LIBPQ(int, 0, PQsendQuery, (PGconn * c, const char *sql), (c, sql))
WRAP_LIBPQ(int, 0, PQsendQueryParams,
           (PGconn * c, const char *sql, int count, const Oid *types, const char *const *values,
            const int *lengths, const int *formats, int format),
           (c, sql, count, types, values, lengths, formats, format))
WRAP_LIBPQ(int, 0, PQsendPrepare,
           (PGconn * c, const char *name, const char *sql, int count, const Oid *types),
           (c, name, sql, count, types))
WRAP_LIBPQ(int, 0, PQsendQueryPrepared,
           (PGconn * c, const char *name, int count, const char *const *values, const int *lengths,
            const int *formats, int format),
           (c, name, count, values, lengths, formats, format))
WRAP_LIBPQ(int, 0, PQenterPipelineMode, (PGconn * c), (c))
WRAP_LIBPQ(int, 0, PQexitPipelineMode, (PGconn * c), (c))
WRAP_LIBPQ(int, 0, PQpipelineSync, (PGconn * c), (c))
WRAP_LIBPQ(int, -1, PQputCopyData, (PGconn * c, const char *data, int size), (c, data, size))
WRAP_LIBPQ(int, -1, PQputCopyEnd, (PGconn * c, const char *why), (c, why))

PGresult *__real_PQgetResult(PGconn *connection);
PGresult *__wrap_PQgetResult(PGconn *connection);
PGresult *__wrap_PQgetResult(PGconn *connection)
{
    PGresult *result = __real_PQgetResult(connection);
    if (result != NULL && fails(connection, "PQgetResult")) {
        PQclear(result);
        result = PQmakeEmptyPGresult(connection, PGRES_FATAL_ERROR);
    }
    return result;
}

PGconn *__real_PQconnectStartParams(const char *const *names, const char *const *values,
                                    int dbname);
PGconn *__wrap_PQconnectStartParams(const char *const *names, const char *const *values,
                                    int dbname);
PGconn *__wrap_PQconnectStartParams(const char *const *names, const char *const *values, int dbname)
{
    int error = fault_now(FAULT_LIBPQ, "PQconnectStartParams");
    if (error == ENOMEM) {
        return NULL;
    }
    PGconn *connection = __real_PQconnectStartParams(names, values, dbname);
    if (error != 0 && PQsocket(connection) >= 0) {
        (void)shutdown(PQsocket(connection), SHUT_RDWR);
    }
    return connection;
}

PQconninfoOption *__real_PQconninfoParse(const char *text, char **out_why);
PQconninfoOption *__wrap_PQconninfoParse(const char *text, char **out_why);
PQconninfoOption *__wrap_PQconninfoParse(const char *text, char **out_why)
{
    if (fault_now(FAULT_LIBPQ, "PQconninfoParse") == ENOMEM) {
        *out_why = NULL; /* as libpq has it when there is no memory for words either */
        return NULL;
    }
    return __real_PQconninfoParse(text, out_why);
}
