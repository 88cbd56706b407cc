/*
 * publish.c - a `publish` becomes a record in its lane's ring; a receipt becomes its answer.
 *
 *   1. the run of free bytes of the ring is reserved, nothing is promised yet;
 *   2. a place for the header, the message's id, then each event is validated and encoded in place;
 *   3. message_finish() rules on the rest of the message. Until here any failure forgets the bytes:
 *      a message is stored whole or not at all;
 *   4. padding, headers, ring_commit();
 *   5. the lane's bell: for each UNRUNG_BYTES_MAX, and for what is less before the edge sleeps. To
 *      wake a thread on another core costs as much as to read a small message, and a lane that is
 *      woken for one finds the next ones only after its disk write.
 *
 * When the ring has no room, the lane is behind: the message is held and comes here again (hold.c).
 * When it must not wait any longer it is refused with `overloaded`.
 */
#include "edge_private.h"
#include "access/access.h"
#include "arrive/arrive.h"
#include "http/http.h"

#include <assert.h>

#define RETRY_AFTER_MS     250
#define TABLE_RETRY_MS     2000       /* a table that is gone comes back by an operator's hand */
#define RECORD_BYTES_LEAST 4096       /* beyond the message's own bytes; less is not worth trying */
#define UNRUNG_BYTES_MAX   (64 << 10) /* some 100 us of the edge's time */
#define RECORD_GROWTH      4 /* a record takes up to 3.2 times its message, as a rule (config) */

/* ---- the record ------------------------------------------------------------------------------ */

struct draft {
    struct writer out;
    const struct stream *stream;
    struct stream_account *account;
    uint32_t events;
    int64_t arrival_us;
    size_t message_bytes;
};

/* Lets go of room at the writer's end. */
static void writer_keep(struct writer *out, size_t size)
{
    if (writer_room(out) < size) {
        out->full = true;
        return;
    }
    out->end -= size;
}

static enum status add_event(struct session *session, struct draft *draft, struct problem *problem)
{
    const struct edge *edge = session->edge;
    uint64_t most = edge_settings(edge)->message_events;
    if (draft->events >= most) {
        limit_hit(session->edge, LIMIT_MESSAGE_EVENTS);
        return problem_set(problem, STATUS_TOO_MANY,
                           "a message carries at most %llu events: send the rest in another",
                           (unsigned long long)most);
    }
    enum status status =
        stream_encode_event(draft->stream, edge->decoder, edge->encode_context, draft->arrival_us,
                            &draft->out, &edge->event_headers[draft->events], problem);
    if (status != STATUS_OK) {
        problem->index = (int32_t)draft->events;
    }
    writer_keep(&draft->out, sizeof(struct event_header)); /* it stands at the record's end */
    draft->events++;
    return status;
}

static enum status add_events(struct session *session, struct draft *draft, struct problem *problem)
{
    while (!draft->out.full) {
        switch (events_next(session->edge->decoder, problem)) {
        case STEP_FAILED:
            return problem->status;
        case STEP_END:
            return STATUS_OK;
        case STEP_ITEM: {
            enum status status = add_event(session, draft, problem);
            if (status != STATUS_OK) {
                return status;
            }
        }
        }
    }
    return STATUS_OK; /* the caller asks for `full` */
}

/* The id stood behind the events, as no client library of ours sends it. */
static void insert_id(struct writer *out, struct span id)
{
    uint8_t *events = out->start + sizeof(struct record_header);
    size_t events_bytes = (size_t)(out->next - events);
    if (id.size > 0 && writer_take(out, id.size) != NULL) {
        memmove(events + id.size, events, events_bytes);
        memcpy(events, id.data, id.size);
    }
}

/* Nothing of the message is stored, but its answer must carry its id. */
static void find_id(struct session *session, struct message *message)
{
    struct problem ignored; /* the first one is said */
    if (message->id.size == 0) {
        (void)!message_finish(session->edge->decoder, message, &ignored);
    }
}

static enum status fill(struct session *session, struct message *message, struct draft *draft,
                        struct problem *problem)
{
    struct decoder *decoder = session->edge->decoder;
    bool has_id = message->id.size > 0;
    (void)writer_take(&draft->out, sizeof(struct record_header));
    writer_put(&draft->out, message->id);
    enum status status = add_events(session, draft, problem);
    if (status != STATUS_OK || draft->out.full) {
        return status;
    }
    status = message_finish(decoder, message, problem);
    if (status == STATUS_OK && draft->events == 0) {
        return problem_set(problem, STATUS_MALFORMED, "`events` is empty");
    }
    if (!has_id) {
        insert_id(&draft->out, message->id);
    }
    return status;
}

static void ring_lane(struct edge *edge, unsigned lane)
{
    edge->unrung_bytes[lane] = 0;
    doorbell_ring(edge->options.lane_bells[lane]);
}

void lanes_ring(struct edge *edge)
{
    for (unsigned lane = 0; lane < edge->options.node->lane_count; lane++) {
        if (edge->unrung_bytes[lane] > 0) {
            ring_lane(edge, lane);
        }
    }
}

static void commit(struct session *session, const struct message *message, struct draft *draft)
{
    struct edge *edge = session->edge;
    struct writer *out = &draft->out;
    out->end += RECORD_ALIGN + draft->events * sizeof *edge->event_headers;
    record_end(out, edge->event_headers, draft->events);
    struct record_header header = {
        .bytes = (uint32_t)writer_size(out),
        .kind = RECORD_EVENTS,
        .ack = (uint8_t)message->ack,
        .id_bytes = (uint16_t)message->id.size,
        .schema_key = stream_schema_key(draft->stream),
        .events = draft->events,
        .from = {edge->options.index, session->slot, session->generation},
        .arrival_us = draft->arrival_us,
        .producer = session->producer,
    };
    memcpy(out->start, &header, sizeof header);
    counter_add(&draft->account->received, draft->events); /* before anybody can settle them */
    counter_add(&draft->account->messages, 1);
    counter_add(&draft->account->bytes, draft->message_bytes);
    ring_commit(edge->options.to_lane[session->lane], header.bytes);
    edge->unrung_bytes[session->lane] += header.bytes;
    if (edge->unrung_bytes[session->lane] >= UNRUNG_BYTES_MAX) {
        ring_lane(edge, session->lane);
    }
}

/* ---- the message ----------------------------------------------------------------------------- */

static size_t record_bytes_max(const struct ring *ring)
{
    return ring->size < RECORD_BYTES_MAX ? ring->size : RECORD_BYTES_MAX;
}

/* The ring has too little room for now: a record of this message takes `room_bytes` or more. */
static void wait_or_refuse(struct session *session, struct span message, size_t room_bytes,
                           struct problem *problem)
{
    if (hold(session, message, room_bytes)) {
        return;
    }
    (void)problem_set(problem, STATUS_OVERLOADED,
                      "events come in faster than they can be stored: send the message again");
    problem->retry_after_ms = RETRY_AFTER_MS;
    session->hold.is_refused = true;
    session_pause(session, PAUSE_RING);
}

static bool is_open_for(const struct edge *edge, struct problem *problem)
{
    const struct node *node = edge->options.node;
    if (atomic_load(&node->journal_failed)) {
        (void)problem_set(problem, STATUS_JOURNAL_FAILED,
                          "the journal has failed: nothing is stored until an operator acts");
        return false;
    }
    if (edge->draining || atomic_load(&node->draining)) {
        (void)problem_set(problem, STATUS_UNAVAILABLE,
                          "the server is shutting down: connect again");
        problem->retry_after_ms = RETRY_AFTER_MS;
        return false;
    }
    return true;
}

static void count_inflight(struct session *session, const struct message *message)
{
    if (message->ack == ACK_NONE) {
        return;
    }
    session->inflight++;
    if (session->inflight >= edge_settings(session->edge)->inflight) {
        limit_hit(session->edge, LIMIT_INFLIGHT);
        session_pause(session, PAUSE_INFLIGHT);
    }
}

/* Free bytes of the ring, `least` or more; NULL: there is too little, or others wait for it. */
static uint8_t *reserve(struct session *session, size_t least, size_t most, size_t *out_room)
{
    struct ring *ring = session->edge->options.to_lane[session->lane];
    if (hold_must_queue(session)) {
        return NULL;
    }
    /* What the ring believes to be free may be long out of date: asking for all that the record is
     * likely to take makes it look again, and only then is less good enough. */
    size_t likely = RECORD_GROWTH * least;
    uint8_t *at = ring_reserve(ring, likely < most ? likely : most, out_room);
    return at != NULL ? at : ring_reserve(ring, least, out_room);
}

/* Record, hold or refusal. What the padding and the events' headers take is kept in hand. */
static void store(struct session *session, struct message *message, struct span bytes,
                  struct draft *draft, struct problem *problem)
{
    size_t most = record_bytes_max(session->edge->options.to_lane[session->lane]);
    size_t least = bytes.size + RECORD_BYTES_LEAST, room;
    least = least < most ? least : most;
    uint8_t *at = reserve(session, least, most, &room);
    if (at == NULL) {
        wait_or_refuse(session, bytes, least, problem);
        return;
    }
    room = room < most ? room : most;
    draft->out = writer_of(at, room - RECORD_ALIGN);
    if (fill(session, message, draft, problem) != STATUS_OK) {
        return;
    }
    if (draft->out.full && room == most) {
        (void)problem_set(problem, STATUS_TOO_LARGE,
                          "the message takes more than %zu bytes when stored: send fewer events",
                          most);
        return;
    }
    if (draft->out.full) {
        wait_or_refuse(session, bytes, 2 * room < most ? 2 * room : most, problem);
        return;
    }
    if (!rate_take_events(session, draft->events, problem)) {
        return;
    }
    commit(session, message, draft);
    count_inflight(session, message);
    conduct_stored(session);
}

static bool takes_events(const struct stream_set *streams, size_t index, struct problem *problem)
{
    const char *refusal = stream_refusal(streams, index);
    if (refusal == NULL) {
        return true;
    }
    (void)problem_set(problem, STATUS_UNAVAILABLE, "stream \"%.*s\" takes no events for now: %s",
                      SPAN_PRINT(stream_name(streams->streams[index])), refusal);
    problem->retry_after_ms = TABLE_RETRY_MS;
    return false;
}

static void store_or_refuse(struct session *session, struct message *message, struct span bytes,
                            struct problem *problem)
{
    const struct stream_set *streams = session->edge->options.streams;
    int index = stream_find(streams, message->stream);
    if (index < 0) {
        (void)problem_set(problem, STATUS_UNKNOWN_STREAM, "there is no stream \"%.*s\"",
                          SPAN_PRINT(message->stream));
        return;
    }
    struct draft draft = {
        .stream = streams->streams[index],
        .account = streams->accounts[index],
        .arrival_us = clock_unix_us(),
        .message_bytes = bytes.size,
    };
    if (takes_events(streams, (size_t)index, problem) &&
        pinned_apply(session, (size_t)index, draft.stream, problem)) {
        store(session, message, bytes, &draft, problem);
    }
    if (problem->status != STATUS_OK) {
        counter_add(&draft.account->refused, draft.events == 0 ? 1 : draft.events);
        counter_add(&draft.account->messages_refused, 1);
    }
}

void publish(struct session *session, struct message *message, struct span bytes,
             struct problem *problem)
{
    if (is_open_for(session->edge, problem) &&
        access_may_publish(session, message->stream, problem)) {
        store_or_refuse(session, message, bytes, problem);
    }
    if (problem->status != STATUS_OK) {
        find_id(session, message);
    }
}

/* ---- receipts -------------------------------------------------------------------------------- */

/* A lane says of a message: any number of rejections, then one final receipt. */
static void take_receipt(struct edge *edge, struct span bytes)
{
    struct receipt receipt;
    memcpy(&receipt, bytes.data, sizeof receipt);
    assert(receipt.bytes <= bytes.size);
    struct session *session = session_find(edge, receipt.slot, receipt.generation);
    if (session == NULL) {
        return;
    }
    struct span id = span_of(bytes.data + sizeof receipt, receipt.id_bytes);
    struct span text = span_of(id.data + id.size, receipt.text_bytes);
    if (session->state == SESSION_HTTP) {
        http_publish_receipt(session, &receipt, id, text);
        return;
    }
    if (receipt.status == STATUS_RATE_LIMITED) {
        conduct_take(session, receipt.count);
        return;
    }
    if (receipt.status != STATUS_REJECTED_BY_DATABASE && session->inflight > 0) {
        session->inflight--;
        session_resume(session, PAUSE_INFLIGHT);
    }
    answer_receipt(session, &receipt, id, text);
}

void receipts_take(struct edge *edge)
{
    for (unsigned lane = 0; lane < edge->options.node->lane_count; lane++) {
        struct ring *ring = edge->options.from_lane[lane];
        struct span rest = ring_peek(ring);
        size_t all = rest.size;
        while (rest.size > 0) {
            uint32_t bytes;
            memcpy(&bytes, rest.data, sizeof bytes); /* receipt.bytes comes first */
            take_receipt(edge, rest);
            rest = span_of(rest.data + bytes, rest.size - bytes);
        }
        if (all > 0) {
            ring_release(ring, all);
        }
    }
}
