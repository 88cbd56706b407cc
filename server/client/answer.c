/*
 * answer.c - what the server says to `send`, and what follows from it.
 *
 *     ack                        the message is done
 *     error, "later"             it is sent again after retry_after_ms
 *     error with an index        one event was refused: with --skip-invalid the message is sent
 *                                again without it, else the run stops
 *     rejected_by_database       one event was refused by the table: the others go on, their ack
 *                                comes
 *     any other error            the run stops
 */
#include "send.h"

#define RETRY_LEAST_MS 50
#define RETRY_MS       500 /* where the server does not say */

static bool is_code(const struct reply *reply, const char *code)
{
    return strcmp(reply->code, code) == 0;
}

/* ---- welcome --------------------------------------------------------------------------------- */

/* The state knows what one database has acknowledged; another has none of it. */
static bool is_same_database(struct send *send, const struct reply *reply)
{
    if (send->run.epoch[0] != '\0' && strcmp(send->run.epoch, reply->epoch) != 0) {
        progress_say(&send->progress,
                     "the server at %s is on another database than the one that acknowledged %llu "
                     "lines before: name another state file with --state, or remove this one",
                     send->options.url, (unsigned long long)send->run.done.line);
        return false;
    }
    memcpy(send->run.epoch, reply->epoch, sizeof send->run.epoch);
    return true;
}

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* Not even what is under way could go on over this connection: the run ends here. */
static void refuse_welcome(struct send *send, int exit_code)
{
    send_stop(send, exit_code);
    link_stop(send->link);
}

static void take_welcome(struct send *send, const struct reply *reply)
{
    struct problem problem;
    if (!is_same_database(send, reply)) {
        refuse_welcome(send, CLIENT_USAGE);
        return;
    }
    uint64_t events = reply->limit_events > 0 ? reply->limit_events : 1;
    size_t bytes = reply->limit_message_bytes;
    if (bytes < flight_header_bytes(&send->header) + send->options.batch + 1024) {
        progress_say(&send->progress,
                     "the server takes messages of %zu bytes: choose a smaller --batch", bytes);
        refuse_welcome(send, CLIENT_FAILED);
        return;
    }
    if (link_set_room(send->link, bytes, &problem) != STATUS_OK ||
        send_save(send, &problem) != STATUS_OK) {
        progress_say(&send->progress, "%s", problem.text);
        refuse_welcome(send, CLIENT_FAILED);
        return;
    }
    send->events_max = least(send->options.batch, events);
    send->message_bytes = bytes;
    link_wake(send->link);
}

/* ---- answers to a message -------------------------------------------------------------------- */

void send_retire(struct send *send)
{
    while (send->first < send->next && send_flight(send, send->first)->state == FLIGHT_DONE) {
        send->run.done = send_flight(send, send->first)->end;
        send->first++;
    }
}

static struct flight *find_flight(const struct send *send, uint64_t id)
{
    struct flight *flight = send_flight(send, id);
    return id != 0 && flight->id == id ? flight : NULL;
}

static void finish(struct send *send, struct flight *flight)
{
    flight_finish(flight);
    send_retire(send);
    link_wake(send->link);
}

static void take_ack(struct send *send, const struct reply *reply)
{
    struct flight *flight = find_flight(send, reply->id);
    if (flight == NULL || flight->state != FLIGHT_SENT) {
        return; /* it was sent twice, over two connections */
    }
    send->acknowledged += reply->count;
    send->duplicates += reply->duplicates;
    finish(send, flight);
}

static void send_later(struct send *send, struct flight *flight, const struct reply *reply)
{
    uint64_t pause_ms = reply->retry_after_ms > 0 ? reply->retry_after_ms : RETRY_MS;
    pause_ms = pause_ms < RETRY_LEAST_MS ? RETRY_LEAST_MS : pause_ms;
    send->paused_until_us = clock_monotonic_us() + (int64_t)pause_ms * 1000;
    if (flight != NULL && flight->state == FLIGHT_SENT) {
        flight->state = FLIGHT_READY;
    }
}

/* The server stored nothing of the message, because of this event. */
static void refuse_event(struct send *send, struct flight *flight, const struct reply *reply)
{
    uint64_t line = flight_line(flight, (uint64_t)reply->index);
    if (!send_refuse(send, line, reply->field, reply->message)) {
        flight->state = FLIGHT_REFUSED;
        progress_say(&send->progress, "nothing of its message, lines %llu to %llu, is stored",
                     (unsigned long long)flight_line(flight, 0),
                     (unsigned long long)flight_line(flight, flight->count - 1));
        return;
    }
    flight_drop(flight, (uint32_t)reply->index);
    flight->state = FLIGHT_READY;
    if (flight->count == 0) {
        finish(send, flight);
    }
    link_wake(send->link);
}

/* The table refused an event; it is in penstock.dead_letter, and the rest of its message is stored.
 */
static void note_rejection(struct send *send, const struct flight *flight,
                           const struct reply *reply)
{
    uint64_t line = flight == NULL ? 0 : flight_line(flight, (uint64_t)reply->index);
    send->rejected++;
    if (line > 0) {
        progress_say(&send->progress, "line %llu: rejected by the database: %s",
                     (unsigned long long)line, reply->message);
    } else {
        progress_say(&send->progress, "an event sent before was rejected by the database: %s",
                     reply->message);
    }
    if (!send->options.skips_invalid) {
        send_stop(send, CLIENT_FAILED);
    }
}

static void refuse_message(struct send *send, struct flight *flight, const struct reply *reply)
{
    if (flight == NULL || flight->state != FLIGHT_SENT) {
        progress_say(&send->progress, "the server says: %s: %s", reply->code, reply->message);
    } else {
        progress_say(&send->progress, "lines %llu to %llu: %s: %s",
                     (unsigned long long)flight_line(flight, 0),
                     (unsigned long long)flight_line(flight, flight->count - 1), reply->code,
                     reply->message);
        flight->state = FLIGHT_REFUSED;
    }
    send_stop(send, CLIENT_FAILED);
}

static void take_error(struct send *send, const struct reply *reply)
{
    struct flight *flight = find_flight(send, reply->id);
    bool is_waiting = flight != NULL && flight->state == FLIGHT_SENT;
    bool has_event = is_waiting && reply->index >= 0 && reply->index < (int64_t)flight->count;
    if (is_code(reply, "overloaded") || is_code(reply, "rate_limited") ||
        is_code(reply, "unavailable")) {
        send_later(send, flight, reply);
    } else if (is_code(reply, "rejected_by_database")) {
        note_rejection(send, flight, reply);
    } else if (has_event) {
        refuse_event(send, flight, reply);
    } else {
        refuse_message(send, flight, reply);
    }
}

void send_take_reply(struct send *send, struct span json)
{
    struct reply reply;
    if (!reply_read(json, &reply)) {
        progress_say(&send->progress, "the server sent a message that is no map");
        send_stop(send, CLIENT_FAILED);
        return;
    }
    send->answered_us = clock_monotonic_us();
    if (strcmp(reply.op, "welcome") == 0) {
        take_welcome(send, &reply);
    } else if (strcmp(reply.op, "ack") == 0) {
        take_ack(send, &reply);
    } else if (strcmp(reply.op, "error") == 0) {
        take_error(send, &reply);
    }
}
