/*
 * fill.c - lines become messages.
 *
 * A message is closed when it has --batch events, when the next would not fit, when a pipe has
 * nothing more for now, and before a line that stops the run: so all before that line is stored.
 */
#include "send.h"

#include <stdio.h>

/* Which line comes next: the one that did not fit before, or one from the input. */
static enum lines_answer next_line(struct send *send, struct span *out, uint64_t *out_line)
{
    struct problem problem;
    enum lines_answer answer = LINES_LINE;
    if (!send->has_held) {
        answer = lines_next(&send->lines, &send->held, &problem);
        send->held_line = send->lines.place.line;
        send->has_held = answer == LINES_LINE;
    }
    *out = send->held;
    *out_line = send->held_line;
    if (answer == LINES_FAILED) {
        progress_say(&send->progress, "%s", problem.text);
        send_stop(send, CLIENT_FAILED);
    }
    send->input_ended = answer == LINES_END;
    return answer;
}

static bool refuse_size(struct send *send, uint64_t line)
{
    char reason[120];
    snprintf(reason, sizeof reason,
             "is larger than the %zu bytes that the server takes in a message",
             send->message_bytes);
    return send_refuse(send, line, "", reason);
}

enum added { ADDED, SKIPPED, NO_ROOM, STOPPED };

static enum added add_line(struct send *send, struct flight *flight, struct span text,
                           uint64_t line)
{
    struct problem problem;
    struct writer out = flight_room(flight);
    if (event_make(&send->maker, text, line, &out, &problem) != STATUS_OK) {
        return send_refuse(send, line, "", problem.text) ? SKIPPED : STOPPED;
    }
    if (!out.full) {
        flight_add(flight, line, writer_size(&out));
        return ADDED;
    }
    if (flight->count > 0) {
        return NO_ROOM;
    }
    return refuse_size(send, line) ? SKIPPED : STOPPED;
}

static void fill(struct send *send, struct flight *flight)
{
    struct span text;
    uint64_t line;
    while (flight->count < send->events_max && !send->is_stopping) {
        enum added added = SKIPPED;
        switch (next_line(send, &text, &line)) {
        case LINES_LINE:
            added = add_line(send, flight, text, line);
            break;
        case LINES_TOO_LONG:
            added = refuse_size(send, line) ? SKIPPED : STOPPED;
            break;
        case LINES_BLANK:
            break;
        default:
            return;
        }
        if (added == NO_ROOM || added == STOPPED) {
            return;
        }
        send->has_held = false;
        flight->end = send->lines.place;
    }
}

static bool can_read(const struct send *send)
{
    return !send->is_stopping && !send->input_ended &&
           send->next - send->first < send->options.inflight;
}

/* A new message; NULL when there is nothing to put into one for now. */
static struct flight *begin_flight(struct send *send)
{
    struct problem problem;
    struct flight *flight = send_flight(send, send->next);
    /* A comma behind each event. */
    size_t room = send->message_bytes - flight_header_bytes(&send->header) - send->events_max;
    struct place begin =
        send->next > send->first ? send_flight(send, send->next - 1)->end : send->run.done;
    if (flight_begin(flight, send->next, room, &problem) != STATUS_OK) {
        progress_say(&send->progress, "%s", problem.text);
        send_stop(send, CLIENT_FAILED);
        return NULL;
    }
    flight->end = begin;
    fill(send, flight);
    if (flight->count == 0 && flight->end.line == begin.line) {
        flight_finish(flight); /* nothing was read */
        return NULL;
    }
    send->next++;
    if (flight->count == 0) { /* nothing but blank and skipped lines */
        flight_finish(flight);
        send_retire(send);
        return NULL;
    }
    flight_shrink(flight);
    return flight;
}

struct flight *send_next_flight(struct send *send)
{
    if (send->message_bytes == 0 || clock_monotonic_us() < send->paused_until_us) {
        return NULL;
    }
    for (uint64_t id = send->first; id < send->next; id++) {
        struct flight *flight = send_flight(send, id);
        if (flight->state == FLIGHT_READY) {
            return flight;
        }
    }
    return can_read(send) ? begin_flight(send) : NULL;
}
