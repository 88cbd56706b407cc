/*
 * copier.c - rows by COPY, and the tail of every commit that is not tiny.
 *
 * One simple query string does a whole batch in one transaction of its own:
 *
 *     COPY a …; COPY b …;                    the rows, one COPY for each table
 *     SELECT penstock.expect_columns(…), …;  the tables are still what the rows were made for
 *     SET CONSTRAINTS ALL IMMEDIATE;         what is deferred is checked before the lock is taken
 *     COPY penstock.payload_0 …;             the pushable events
 *     SELECT … penstock.commit_batch(…)      offsets, log, checkpoint, NOTIFY
 *
 * 1. The string is sent. The server answers each COPY with CopyInResponse, and libpq with
 *    PGRES_COPY_IN: then the data of that step is pumped, in slices, until the socket is full; the
 *    loop calls again when it is not.
 * 2. The end of the data is sent, the server goes on to the next statement by itself: the whole
 *    costs one round trip, and one more for each COPY.
 * 3. The answer to each COPY says how many rows went in. Rows that a BEFORE trigger left out are
 *    missing there and make no error, but the tail counts on them: the last COPY, which is there
 *    even when nobody hears of these events, is where the whole can still be given up.
 * 4. All statements of a string without BEGIN are one transaction, which commits before the answer
 *    to the last one is given (PostgreSQL manual, "Multiple Statements in a Simple Query").
 *
 * After inserter.c, which leaves a transaction open, the string is only the tail and COMMIT. The
 * lock that makes commits serial is taken by the same string that lets go of it: no lost or halted
 * client can hold it up in between.
 *
 * How it fails: an error ends the string; the step it was at tells whether a row is at fault. An
 * error in the middle of the data is only seen when all of it was sent (libpq reads no answers
 * while it copies), which a batch's size bounds.
 */
#include "committer_private.h"

#include <stdlib.h>

static const char copy_signature[] = "PGCOPY\n\377\r\n\0";
#define SIGNATURE_BYTES 11
#define HEADER_BYTES    19 /* signature, flags, length of the header's extension */

/* ---- the string ------------------------------------------------------------------------------ */

static bool add_step(struct copier *copier, enum copy_step_kind kind, struct target *target)
{
    if (copier->step_count == copier->step_room) {
        size_t room = copier->step_room == 0 ? 16 : copier->step_room * 2;
        struct copy_step *grown = realloc(copier->steps, room * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        copier->steps = grown;
        copier->step_room = room;
    }
    copier->steps[copier->step_count++] = (struct copy_step){kind, target};
    return true;
}

static bool append_rows(struct committer *c)
{
    for (size_t i = 0; i < c->targets.batch_count; i++) {
        struct target *target = c->targets.batch[i];
        text_format(&c->sql, "%s;", target->copy_sql);
        if (!add_step(&c->copier, STEP_ROWS, target)) {
            return false;
        }
    }
    bool is_first = true;
    for (size_t i = 0; i < c->targets.batch_count; i++) {
        if (c->targets.batch[i]->expect_sql != NULL) {
            text_format(&c->sql, "%s%s", is_first ? "SELECT " : ", ",
                        c->targets.batch[i]->expect_sql);
            is_first = false;
        }
    }
    text_string(&c->sql, is_first ? "" : ";");
    return is_first || add_step(&c->copier, STEP_EXPECT, NULL);
}

static bool append_constraints(struct committer *c)
{
    text_string(&c->sql, "SET CONSTRAINTS ALL IMMEDIATE;");
    return add_step(&c->copier, STEP_CONSTRAINTS, NULL);
}

static bool append_payload(struct committer *c)
{
    text_format(&c->sql,
                "COPY penstock.payload_%u (node, lane, position, events)"
                " FROM STDIN (FORMAT binary);",
                c->slot);
    return add_step(&c->copier, STEP_PAYLOAD, NULL);
}

static bool append_tail(struct committer *c)
{
    tail_sql(&c->tail, &c->sql);
    return add_step(&c->copier, STEP_TAIL, NULL);
}

static bool clear(struct committer *c)
{
    struct copier *copier = &c->copier;
    text_clear(&c->sql);
    copier->step = copier->step_count = 0;
    if (copier->slice == NULL) {
        copier->slice = malloc(SLICE_BYTES);
    }
    return copier->slice != NULL && committer_build_tail(c);
}

static void ask(struct committer *c, bool made)
{
    if (!made || c->sql.failed) {
        committer_lose(c, "no memory for a batch");
        return;
    }
    exchange_simple(c, c->sql.data);
    exchange_go(c);
}

void copier_start(struct committer *c)
{
    committer_move(c, STATE_COPYING);
    ask(c,
        clear(c) && append_rows(c) && append_constraints(c) && append_payload(c) && append_tail(c));
}

void copier_finish(struct committer *c)
{
    committer_move(c, STATE_FINISHING);
    bool made = clear(c);
    if (made && c->inserter.aborted) {
        text_string(&c->sql, "ROLLBACK TO SAVEPOINT ps_row;");
        made = add_step(&c->copier, STEP_UNDO, NULL);
    }
    made = made && append_constraints(c) && (c->tail.payload.size == 0 || append_payload(c)) &&
           append_tail(c);
    text_string(&c->sql, "; COMMIT");
    ask(c, made && add_step(&c->copier, STEP_COMMIT, NULL));
}

/* ---- answers --------------------------------------------------------------------------------- */

bool answer_read(struct committer *c, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
        PQnfields(result) != 3) {
        return false;
    }
    c->answer_first = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    c->answer_at_us = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    c->slot = (unsigned)strtoul(PQgetvalue(result, 0, 2), NULL, 10);
    return true;
}

static void begin_data(struct committer *c)
{
    struct copier *copier = &c->copier;
    c->exchange.copying = true;
    copier->event = copier->payload_sent = copier->slice_size = 0;
    copier->opened = copier->closed = false;
}

static enum failure_place place_of(enum copy_step_kind kind)
{
    return kind == STEP_ROWS || kind == STEP_EXPECT ? AT_ROWS
           : kind == STEP_CONSTRAINTS               ? AT_CONSTRAINTS
                                                    : AT_TAIL;
}

/* Not const: PQcmdTuples() asks for that, and changes nothing. */
static void count_rows(struct committer *c, struct target *target, PGresult *result)
{
    uint64_t count = strtoull(PQcmdTuples(result), NULL, 10);
    if (count != target->rows) {
        struct failure failure;
        failure_of_missing_rows(&failure, target->rows, count);
        exchange_fail_with(c, &failure, AT_ROWS, target);
    }
}

/* Not const: PQcmdStatus() asks for that, and changes nothing. */
void copier_result(struct committer *c, PGresult *result)
{
    struct copier *copier = &c->copier;
    ExecStatusType status = PQresultStatus(result);
    if (copier->step >= copier->step_count) {
        c->exchange.broken = true; /* more answers than statements */
        return;
    }
    const struct copy_step *step = &copier->steps[copier->step];
    if (status == PGRES_COPY_IN) {
        begin_data(c);
    } else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        bool is_good = step->kind == STEP_TAIL     ? answer_read(c, result)
                       : step->kind == STEP_COMMIT ? strcmp(PQcmdStatus(result), "COMMIT") == 0
                                                   : true;
        c->exchange.broken = c->exchange.broken || !is_good; /* then the checkpoint decides */
        if (step->kind == STEP_ROWS) {
            count_rows(c, step->target, result);
        }
        copier->step++;
    } else {
        exchange_fail(c, result, place_of(step->kind), step->target);
    }
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Rows that lie behind one another and have so many bytes are not copied into the slice; fewer
 * would cost more in system calls than the copy. */
#define RUN_BYTES (32u * 1024)

enum put { PUT_TAKEN, PUT_LATER };

/* Hands the slice to libpq. LATER: the socket is full, the slice is kept or on its way. */
static enum put put(struct committer *c, const void *data, size_t size)
{
    int taken = PQputCopyData(c->connection, data, (int)size);
    if (taken < 0) {
        c->exchange.broken = true;
    }
    return taken > 0 ? PUT_TAKEN : PUT_LATER;
}

/* True when libpq has nothing left to send. Otherwise more data would only pile up in its buffer.
 */
static bool flushed(struct committer *c)
{
    int left = PQflush(c->connection);
    if (left < 0) {
        c->exchange.broken = true;
    }
    return left == 0;
}

static bool put_slice(struct committer *c)
{
    struct copier *copier = &c->copier;
    if (copier->slice_size == 0) {
        return true;
    }
    if (put(c, copier->slice, copier->slice_size) != PUT_TAKEN) {
        return false;
    }
    copier->slice_size = 0;
    return flushed(c);
}

static bool has_room(const struct copier *copier, size_t size)
{
    return copier->slice_size + size <= SLICE_BYTES;
}

static uint8_t *slice_take(struct copier *copier, size_t size)
{
    uint8_t *at = copier->slice + copier->slice_size;
    copier->slice_size += size;
    return at;
}

static void slice_bytes(struct copier *copier, const void *data, size_t size)
{
    memcpy(slice_take(copier, size), data, size);
}

static bool is_line_without_end(const struct target *target, struct span row)
{
    return !target->binary && (row.size == 0 || row.data[row.size - 1] != '\n');
}

/* The row at copier->event, and those of the same target that lie right behind it in the journal's
 * frame. Returns the event behind them. */
static size_t find_run(const struct committer *c, const struct target *target, struct span *out)
{
    const struct batch *batch = c->batch;
    size_t next = c->copier.event;
    *out = batch->events[next++].event.row;
    while (next < batch->event_count && c->targets.of_event[next] == target &&
           !is_line_without_end(target, *out)) {
        struct span row = batch->events[next].event.row;
        if (row.data != out->data + out->size || out->size + row.size > SLICE_BYTES) {
            break;
        }
        out->size += row.size;
        next++;
    }
    return next;
}

/* False: come again when the socket has room, if the slice could not be emptied first. */
static bool slice_run(struct committer *c, const struct target *target, struct span run)
{
    struct copier *copier = &c->copier;
    if (copier->slice_size + run.size + 1 > SLICE_BYTES && !put_slice(c)) {
        return false;
    }
    slice_bytes(copier, run.data, run.size);
    if (is_line_without_end(target, run)) {
        slice_bytes(copier, "\n", 1);
    }
    return true;
}

/* The rows of one target in the order of the batch, from copier->event on: long runs straight from
 * the journal's frame, others through the slice. False: come again when the socket has room. */
static bool pump_rows(struct committer *c, const struct target *target)
{
    struct copier *copier = &c->copier;
    while (copier->event < c->batch->event_count) {
        if (c->targets.of_event[copier->event] != target) {
            copier->event++;
            continue;
        }
        struct span run;
        size_t next = find_run(c, target, &run);
        if (run.size < RUN_BYTES) {
            if (!slice_run(c, target, run)) {
                return false;
            }
            copier->event = next;
            continue;
        }
        if (!put_slice(c) || put(c, run.data, run.size) != PUT_TAKEN) {
            return false;
        }
        copier->event = next;
        if (is_line_without_end(target, run)) {
            slice_bytes(copier, "\n", 1);
        }
        if (!flushed(c)) {
            return false;
        }
    }
    return true;
}

static void slice_be32(struct copier *copier, uint32_t value)
{
    value = htobe32(value);
    slice_bytes(copier, &value, sizeof value);
}

/* One row: node text, lane int4, position int8, events text. */
static void slice_payload_opening(struct committer *c)
{
    struct copier *copier = &c->copier;
    size_t node_size = strlen(c->options.node);
    struct writer out = writer_of(slice_take(copier, 0), SLICE_BYTES - copier->slice_size);
    writer_be16(&out, 4);
    writer_be32(&out, (uint32_t)node_size);
    writer_bytes(&out, c->options.node, node_size);
    writer_be32(&out, 4);
    writer_be32(&out, c->options.lane);
    writer_be32(&out, 8);
    writer_be64(&out, c->batch->sequence_last);
    writer_be32(&out, (uint32_t)c->tail.payload.size);
    slice_take(copier, writer_size(&out));
}

static bool pump_payload(struct committer *c)
{
    struct copier *copier = &c->copier;
    const struct text *payload = &c->tail.payload;
    if (copier->event == 0 && payload->size > 0) {
        slice_payload_opening(c);
        copier->event = 1;
    }
    while (copier->payload_sent < payload->size) {
        const char *data = payload->data + copier->payload_sent;
        size_t left = payload->size - copier->payload_sent;
        size_t size = left < SLICE_BYTES ? left : SLICE_BYTES;
        if (size < RUN_BYTES && has_room(copier, size)) {
            slice_bytes(copier, data, size);
            copier->payload_sent += size;
            continue;
        }
        if (!put_slice(c) || put(c, data, size) != PUT_TAKEN) {
            return false;
        }
        copier->payload_sent += size;
        if (!flushed(c)) {
            return false;
        }
    }
    return true;
}

static bool is_binary(const struct copy_step *step)
{
    return step->kind == STEP_PAYLOAD || step->target->binary;
}

static void open_data(struct copier *copier, bool binary)
{
    if (binary) {
        slice_bytes(copier, copy_signature, SIGNATURE_BYTES);
        slice_be32(copier, 0);
        slice_be32(copier, 0);
    }
    copier->opened = true;
}

static void close_data(struct copier *copier, bool binary)
{
    if (binary) {
        static const uint8_t trailer[] = {0xFF, 0xFF};
        slice_bytes(copier, trailer, sizeof trailer);
    }
    copier->closed = true;
}

static void end_data(struct committer *c, const char *error)
{
    int ended = PQputCopyEnd(c->connection, error);
    c->exchange.broken = ended < 0;
    c->exchange.copying = ended == 0;
}

void copier_pump(struct committer *c)
{
    struct copier *copier = &c->copier;
    const struct copy_step *step = &copier->steps[copier->step];
    bool binary = is_binary(step);
    if (!flushed(c)) {
        return;
    }
    if (c->exchange.failed) { /* the server takes this for an error, and ends the string */
        end_data(c, "rows were left out");
        return;
    }
    if (!copier->opened) {
        open_data(copier, binary);
    }
    if (!copier->closed) {
        /* Rows leave a byte of the slice free at least; the trailer wants two. */
        if (!(step->kind == STEP_PAYLOAD ? pump_payload(c) : pump_rows(c, step->target)) ||
            (!has_room(copier, 2) && !put_slice(c))) {
            return;
        }
        close_data(copier, binary);
    }
    if (!put_slice(c) && copier->slice_size > 0) {
        return;
    }
    if (c->exchange.broken) {
        return;
    }
    end_data(c, NULL);
}
