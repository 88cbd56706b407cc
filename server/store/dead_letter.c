/*
 * dead_letter.c - dead letters as the command line sees them (store.h): listing, counting, retrying
 * and dropping. How they are put in again is in dead_letter.sql, how they come to be in letter.c.
 *
 * Every query has the same condition, made of the filter. Lists are read page by page, each behind
 * the last id of the one before, so that memory is bounded and no transaction stays open.
 */
#include "store_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_BRIEF 500
#define PAGE_WHOLE 16 /* events may be large */

/* ---- the condition --------------------------------------------------------------------------- */

#define WHERE_FILTER                             \
    " FROM penstock.dead_letter l"               \
    " WHERE ($1::text IS NULL OR l.stream = $1)" \
    " AND ($2::text IS NULL OR l.sqlstate = $2)" \
    " AND l.id > $3::bigint AND ($4::bigint = 0 OR l.id <= $4::bigint)"
enum { FILTER_PARAMETERS = 4 };

/* A filter as parameters, and a number behind it for LIMIT. */
struct parameters {
    const char *values[FILTER_PARAMETERS + 1];
    char behind[24], up_to[24], limit[24];
};

static void set_parameters(struct parameters *out, const struct letter_filter *filter,
                           uint64_t limit)
{
    snprintf(out->behind, sizeof out->behind, "%" PRId64, filter->behind);
    snprintf(out->up_to, sizeof out->up_to, "%" PRId64, filter->up_to);
    snprintf(out->limit, sizeof out->limit, "%" PRIu64, limit);
    const char *values[] = {filter->stream, filter->sqlstate, out->behind, out->up_to, out->limit};
    memcpy(out->values, values, sizeof values);
}

/* ---- listing --------------------------------------------------------------------------------- */

#define COLUMNS                                                                        \
    "SELECT l.id, l.at, l.arrived, l.stream, l.target, l.sqlstate, l.constraint_name," \
    " l.column_name, l.message, l.producer, l.node, l.channels, l.attempts,"           \
    " CASE WHEN l.event IS NULL THEN octet_length(l.raw) END"
#define NEWEST_FIRST " ORDER BY l.id DESC LIMIT $5::bigint"

static const char *const list_sql[] = {
    [LETTER_BRIEF] = COLUMNS WHERE_FILTER NEWEST_FIRST,
    [LETTER_WITH_EVENT] = COLUMNS ", jsonb_pretty(l.event)" WHERE_FILTER NEWEST_FIRST,
    [LETTER_AS_JSON] = COLUMNS
    ", '', json_build_object('id', l.id, 'at', l.at, 'stream', l.stream,"
    " 'target', l.target, 'sqlstate', l.sqlstate, 'constraint', l.constraint_name,"
    " 'column', l.column_name, 'message', l.message, 'attempts', l.attempts,"
    " 'producer', l.producer, 'node', l.node, 'arrived', l.arrived,"
    " 'channels', l.channels, 'event', l.event, 'raw', encode(l.raw, 'base64'))::text" WHERE_FILTER
        NEWEST_FIRST,
};

static struct dead_letter letter_of(const PGresult *result, int row, enum letter_form form)
{
    const char *fields[16] = {0};
    for (int i = 0; i < PQnfields(result) && i < 16; i++) {
        fields[i] = PQgetvalue(result, row, i);
    }
    return (struct dead_letter){
        .id = strtoll(fields[0], NULL, 10),
        .at = fields[1],
        .arrived = fields[2],
        .stream = fields[3],
        .target = fields[4],
        .sqlstate = fields[5],
        .constraint = fields[6],
        .column = fields[7],
        .message = fields[8],
        .producer = fields[9],
        .node = fields[10],
        .channels = fields[11],
        .attempts = fields[12],
        .raw_bytes = fields[13],
        .event = form == LETTER_WITH_EVENT ? fields[14] : "",
        .json = form == LETTER_AS_JSON ? fields[15] : "",
    };
}

enum status store_list_letters(struct store *store, const struct letter_filter *filter,
                               enum letter_form form, uint64_t limit,
                               void (*visit)(void *owner, const struct dead_letter *letter),
                               void *owner, struct problem *problem)
{
    struct letter_filter rest = *filter;
    uint64_t page_most = form == LETTER_BRIEF ? PAGE_BRIEF : PAGE_WHOLE;
    while (limit > 0) {
        PGresult *result;
        struct parameters parameters;
        uint64_t page = limit < page_most ? limit : page_most;
        set_parameters(&parameters, &rest, page);
        enum status status =
            store_query(store, "reading penstock.dead_letter", list_sql[form],
                        FILTER_PARAMETERS + 1, parameters.values, &result, problem);
        if (status != STATUS_OK) {
            return status;
        }
        int rows = PQntuples(result);
        for (int row = 0; row < rows; row++) {
            struct dead_letter letter = letter_of(result, row, form);
            rest.up_to = letter.id - 1;
            visit(owner, &letter);
        }
        PQclear(result);
        limit -= (uint64_t)rows;
        if ((uint64_t)rows < page || rest.up_to <= rest.behind) {
            break;
        }
    }
    return STATUS_OK;
}

/* ---- numbers --------------------------------------------------------------------------------- */

enum status store_count_letters(struct store *store, const struct letter_filter *filter,
                                uint64_t *out_count, int64_t *out_newest, struct problem *problem)
{
    PGresult *result;
    struct parameters parameters;
    set_parameters(&parameters, filter, 0);
    enum status status = store_query(store, "counting penstock.dead_letter",
                                     "SELECT count(*), coalesce(max(l.id), 0)" WHERE_FILTER,
                                     FILTER_PARAMETERS, parameters.values, &result, problem);
    if (status == STATUS_OK) {
        *out_count = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        *out_newest = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        PQclear(result);
    }
    return status;
}

enum status store_letter_ids(struct store *store, const struct letter_filter *filter, int64_t *out,
                             size_t room, size_t *out_count, struct problem *problem)
{
    PGresult *result;
    struct parameters parameters;
    set_parameters(&parameters, filter, room);
    enum status status = store_query(store, "reading penstock.dead_letter",
                                     "SELECT l.id" WHERE_FILTER " ORDER BY l.id LIMIT $5::bigint",
                                     FILTER_PARAMETERS + 1, parameters.values, &result, problem);
    if (status == STATUS_OK) {
        *out_count = (size_t)PQntuples(result);
        for (size_t i = 0; i < *out_count; i++) {
            out[i] = strtoll(PQgetvalue(result, (int)i, 0), NULL, 10);
        }
        PQclear(result);
    }
    return status;
}

/* ---- settling -------------------------------------------------------------------------------- */

static const char *const outcome_words[RETRY_OUTCOMES] = {
    [RETRY_STORED] = "stored",         [RETRY_DUPLICATE] = "duplicate", [RETRY_REFUSED] = "refused",
    [RETRY_UNREADABLE] = "unreadable", [RETRY_MISSING] = "missing",
};

enum status store_retry_letter(struct store *store, int64_t id, enum retry_outcome *out,
                               struct problem *problem)
{
    PGresult *result;
    char text[24];
    const char *parameters[] = {text};
    snprintf(text, sizeof text, "%" PRId64, id);
    enum status status = store_query(store, "retrying a dead letter",
                                     "SELECT penstock.retry_dead_letter($1::bigint)", 1, parameters,
                                     &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    *out = RETRY_OUTCOMES;
    for (int i = 0; i < RETRY_OUTCOMES; i++) {
        if (strcmp(PQgetvalue(result, 0, 0), outcome_words[i]) == 0) {
            *out = (enum retry_outcome)i;
        }
    }
    if (*out == RETRY_OUTCOMES) {
        status = problem_set(problem, STATUS_BAD_DATABASE,
                             "penstock.retry_dead_letter() answers \"%.40s\": it is not of this "
                             "version",
                             PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}

enum status store_drop_letters(struct store *store, const struct letter_filter *filter,
                               uint64_t limit, uint64_t *out_count, struct problem *problem)
{
    PGresult *result;
    struct parameters parameters;
    set_parameters(&parameters, filter, limit);
    enum status status = store_query(store, "dropping dead letters",
                                     "DELETE FROM penstock.dead_letter d WHERE d.id IN ("
                                     "SELECT l.id" WHERE_FILTER " ORDER BY l.id LIMIT $5::bigint)",
                                     FILTER_PARAMETERS + 1, parameters.values, &result, problem);
    if (status == STATUS_OK) {
        *out_count = strtoull(PQcmdTuples(result), NULL, 10);
        PQclear(result);
    }
    return status;
}
