/*
 * letter.c - rows that the database refused go into penstock.dead_letter, in the transaction that
 * stores the others of their batch: each event is in exactly one of the two places.
 *
 * 1. Each failure of the run is inserted with the event as {column: value}. The database makes the
 *    JSON, from parameters of the columns' types with domains resolved, so that a value that its
 *    domain refuses can be told.
 * 2. Where that fails, too (a value that no type takes, a type that is gone), the row's bytes are
 *    kept as they are. This must work.
 * 3. The channels of the event go with it, so that it can still be pushed when it is put in again
 *    (dead_letter.sql).
 * 4. The reasons are noted in the batch, as far as it has room, for the publishers.
 */
#include "committer_private.h"

#include "penstock/base.h"

#include <inttypes.h>
#include <stdio.h>

static const char raw_name[] = "ps_raw_letter";
static const char raw_sql[] =
    "INSERT INTO penstock.dead_letter (stream, target, sqlstate, constraint_name, column_name,"
    " message, producer, node, arrived, channels, raw) VALUES ($1::text, $2::text, $3::text,"
    " $4::text, $5::text, $6::text, $7::text, $8::text, 'epoch'::timestamptz"
    " OPERATOR(pg_catalog.+) ($9::bigint OPERATOR(pg_catalog.*) interval '1 microsecond'),"
    " $10::text[], $11::bytea)";

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

/* The event's channels as an array literal, in `sql`: between two queries it is free. NULL: nobody
 * hears of the event. */
static const char *write_channels(struct committer *c, struct span push)
{
    struct push_view view;
    if (push.size == 0 || !push_open(push, &view)) {
        return NULL;
    }
    text_clear(&c->sql);
    text_string(&c->sql, "{");
    for (unsigned i = 0; i < view.channel_count; i++) {
        text_string(&c->sql, i == 0 ? "" : ",");
        text_array_element(&c->sql, view.channels[i]);
    }
    text_string(&c->sql, "}");
    c->exchange.broken = c->exchange.broken || c->sql.failed; /* no memory: all of it goes again */
    return text_value(&c->sql);
}

/* Fills in the parameters that say where the event came from and why it was refused. */
static void describe(struct committer *c, const struct failure *failure, size_t at,
                     char producer[24], char arrived[24])
{
    const struct batch_event *event = &c->batch->events[failure->event];
    const struct record_header *header = &c->batch->records[event->record].header;
    const struct target *target = c->targets.of_event[failure->event];
    snprintf(producer, 24, "%016" PRIx64, header->producer);
    snprintf(arrived, 24, "%" PRId64, header->arrival_us);
    const char **values = c->row.values + at;
    values[LETTER_STREAM] = target->stream;
    values[LETTER_TABLE] = target->table;
    values[LETTER_SQLSTATE] = failure->sqlstate;
    values[LETTER_CONSTRAINT] = or_null(failure->constraint);
    values[LETTER_COLUMN] = or_null(failure->column);
    values[LETTER_MESSAGE] = failure->message;
    values[LETTER_PRODUCER] = producer;
    values[LETTER_NODE] = c->options.node;
    values[LETTER_ARRIVED] = arrived;
    values[LETTER_CHANNELS] = write_channels(c, event->event.push);
    for (size_t i = at; i < at + LETTER_PARAMETERS; i++) {
        c->row.lengths[i] = 0;
        c->row.formats[i] = 0;
    }
}

static void send_statement(struct committer *c, uint32_t index, const char *name, int count)
{
    exchange_push(c, (struct sent){.kind = SENT_LETTER, .event = index});
    if (!c->exchange.broken) {
        c->exchange.broken = !PQsendQueryPrepared(c->connection, name, count, c->row.values,
                                                  c->row.lengths, c->row.formats, 0);
    }
}

/* Under a savepoint of its own: when it fails, the letters that need it do, and go raw. */
static void prepare(struct committer *c, struct target *target)
{
    if (!target->has_failures || target->letter.ready || !target->base_types_known) {
        return;
    }
    for (unsigned i = 0; i < LETTER_PARAMETERS; i++) {
        target->base_types[target->column_count + i] = 25; /* text */
    }
    inserter_undo(c);
    statement_prepare(c, &target->letter, target->column_count + LETTER_PARAMETERS,
                      target->base_types, target);
    exchange_sync(c);
}

static void send_letter(struct committer *c, uint32_t index)
{
    const struct failure *failure = &c->inserter.failures[index];
    struct target *target = c->targets.of_event[failure->event];
    char producer[24], arrived[24];
    if (!row_split(c->batch->events[failure->event].event.row, target->binary, target->column_count,
                   &c->row)) {
        c->inserter.raw[index] = true;
        return;
    }
    describe(c, failure, target->column_count, producer, arrived);
    inserter_undo(c);
    send_statement(c, index, target->letter.name, target->column_count + LETTER_PARAMETERS);
    inserter_keep(c);
    exchange_sync(c);
}

static void send_raw(struct committer *c, uint32_t index)
{
    const struct failure *failure = &c->inserter.failures[index];
    struct span row = c->batch->events[failure->event].event.row;
    char producer[24], arrived[24];
    describe(c, failure, 0, producer, arrived);
    c->row.values[LETTER_PARAMETERS] = row.size == 0 ? "" : (const char *)row.data;
    c->row.lengths[LETTER_PARAMETERS] = (int)row.size;
    c->row.formats[LETTER_PARAMETERS] = 1;
    send_statement(c, index, raw_name, LETTER_PARAMETERS + 1);
}

static void note_rejections(struct committer *c)
{
    struct batch *batch = c->batch;
    for (size_t i = 0; i < c->inserter.failure_count; i++) {
        const struct failure *failure = &c->inserter.failures[i];
        if (batch->rejection_count < batch->rejection_room) {
            struct batch_rejection *rejection = &batch->rejections[batch->rejection_count++];
            rejection->event = failure->event;
            memcpy(rejection->sqlstate, failure->sqlstate, sizeof rejection->sqlstate);
            snprintf(rejection->text, sizeof rejection->text, "%s", failure->message);
        }
    }
}

void letter_start(struct committer *c)
{
    struct inserter *in = &c->inserter;
    if (in->failure_count == 0) {
        inserter_next(c);
        return;
    }
    in->phase = PHASE_LETTERS;
    exchange_enter_pipeline(c);
    for (size_t i = 0; i < c->targets.batch_count; i++) {
        prepare(c, c->targets.batch[i]);
    }
    for (uint32_t i = 0; i < in->failure_count; i++) {
        in->raw[i] = false;
        send_letter(c, i);
    }
    in->aborted = true; /* perhaps */
    note_rejections(c);
    if (c->exchange.count > 0 || c->exchange.broken) { /* broken: all of it goes again */
        exchange_go(c);
    } else {
        letter_start_raw(c);
    }
}

static bool has_raw(const struct inserter *in)
{
    for (size_t i = 0; i < in->failure_count; i++) {
        if (in->raw[i]) {
            return true;
        }
    }
    return false;
}

void letter_start_raw(struct committer *c)
{
    struct inserter *in = &c->inserter;
    if (!has_raw(in)) {
        inserter_next(c);
        return;
    }
    in->phase = PHASE_RAW_LETTERS;
    exchange_enter_pipeline(c);
    inserter_undo(c);
    if (!c->raw_ready) {
        exchange_prepare(c, raw_name, raw_sql, 0, NULL, &c->raw_ready);
    }
    for (uint32_t i = 0; i < in->failure_count; i++) {
        if (in->raw[i]) {
            send_raw(c, i);
        }
    }
    inserter_keep(c);
    exchange_sync(c);
    in->aborted = false;
    exchange_go(c);
}

void letter_result(struct committer *c, const struct sent *sent, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_FATAL_ERROR) {
        return;
    }
    struct failure failure;
    failure_of_result(&failure, result);
    bool is_missing = strncmp(failure.sqlstate, "26", 2) == 0; /* it could not be prepared */
    if (c->inserter.phase == PHASE_RAW_LETTERS ||
        (failure.verdict == VERDICT_RETRY && !is_missing)) {
        exchange_fail(c, result, AT_TAIL, NULL);
    } else if (sent->kind == SENT_LETTER) {
        c->inserter.raw[sent->event] = true;
    }
}
