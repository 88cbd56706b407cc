/*
 * answer.c - what a lane tells others: receipts to the edges, pushable events to the feed.
 *
 * A receipt must not be lost, so a full ring makes the lane wait. The wait is short: an edge takes
 * receipts whatever else it does, and never waits for a lane. An edge that has not moved for five
 * seconds is stuck, and its clients with it: its receipts are dropped, without waiting again, until
 * it takes some. When the lane is to stop, the edges have ended: nobody is left to tell.
 */
#include "lane_private.h"

#include <unistd.h>

#define RECEIPT_PATIENCE_US (5 * 1000 * 1000)
#define RECEIPT_PAUSE_US    100

static size_t padded(size_t size)
{
    return (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* NULL: the receipt is dropped. */
static uint8_t *wait_for_room(struct lane *lane, unsigned edge, size_t size)
{
    struct ring *ring = lane->options.to_edge[edge];
    int64_t until = 0;
    size_t room;
    for (;;) {
        uint8_t *at = ring_reserve(ring, size, &room);
        if (at != NULL) {
            lane->edge_is_stuck[edge] = false;
            return at;
        }
        if (lane->edge_is_stuck[edge] || atomic_load(&lane->stopping)) {
            return NULL;
        }
        int64_t now = clock_monotonic_us();
        until = until == 0 ? now + RECEIPT_PATIENCE_US : until;
        if (now > until) {
            log_error("lane",
                      "edge %u has taken no receipt for %d s: they are dropped until it takes some",
                      edge, RECEIPT_PATIENCE_US / 1000000);
            lane->edge_is_stuck[edge] = true;
            return NULL;
        }
        doorbell_ring(lane->options.edge_bells[edge]);
        usleep(RECEIPT_PAUSE_US);
    }
}

static void send_receipt(struct lane *lane, const struct record_header *header, struct span id,
                         struct receipt receipt, struct span text)
{
    if (header->from.edge >= lane->options.node->edge_count) {
        return; /* of a former life with more edges */
    }
    size_t size = padded(sizeof receipt + id.size + text.size);
    uint8_t *at = wait_for_room(lane, header->from.edge, size);
    if (at == NULL) {
        return;
    }
    receipt.bytes = (uint32_t)size;
    receipt.slot = header->from.slot;
    receipt.generation = header->from.generation;
    receipt.id_bytes = (uint16_t)id.size;
    receipt.text_bytes = (uint32_t)text.size;
    struct writer out = writer_of(at, size);
    writer_bytes(&out, &receipt, sizeof receipt);
    writer_put(&out, id);
    writer_put(&out, text);
    ring_commit(lane->options.to_edge[header->from.edge], size);
}

static void ring_edges(struct lane *lane)
{
    for (unsigned i = 0; i < lane->options.node->edge_count; i++) {
        doorbell_ring(lane->options.edge_bells[i]);
    }
}

void lane_answer_durable(struct lane *lane, const struct frame *frame)
{
    struct span rest = frame->body;
    struct record_cursor cursor;
    bool answered = false;
    int64_t now_us = clock_unix_us();
    lane_note_durable(lane, frame->sequence, now_us);
    while (rest.size > 0 && record_open(rest, &cursor)) {
        const struct record_header *header = &cursor.header;
        bool waits = header->ack == ACK_DURABLE || header->ack == ACK_BOTH;
        if (header->kind == RECORD_EVENTS) {
            histogram_add_time(&lane->state->receive_to_journal, header->arrival_us, now_us);
        }
        if (header->kind == RECORD_EVENTS && waits) {
            struct receipt receipt = {.level = ACK_DURABLE, .count = header->events, .index = -1};
            send_receipt(lane, header, cursor.id, receipt, span_of(NULL, 0));
            answered = true;
        }
        rest = span_of(rest.data + header->bytes, rest.size - header->bytes);
    }
    if (answered) {
        ring_edges(lane);
    }
}

/* The answer to one message whose sender waits for the commit. */
static void answer_committed(struct lane *lane, const struct batch *batch,
                             const struct batch_record *record)
{
    struct receipt receipt = {.level = ACK_COMMITTED, .count = record->event_count, .index = -1};
    for (uint32_t i = 0; i < record->event_count; i++) {
        const struct batch_event *event = &batch->events[record->first_event + i];
        if (event->outcome == EVENT_DUPLICATE) {
            receipt.duplicates++;
        } else if (event->outcome == EVENT_STORED && receipt.offset == 0) {
            receipt.offset = batch->first + event->rank;
        } else if (event->outcome == EVENT_REJECTED) {
            receipt.count--; /* said by a receipt of its own */
        }
    }
    send_receipt(lane, &record->header, record->id, receipt, span_of(NULL, 0));
}

static void answer_rejection(struct lane *lane, const struct batch *batch,
                             const struct batch_rejection *rejection)
{
    const struct batch_event *event = &batch->events[rejection->event];
    const struct batch_record *record = &batch->records[event->record];
    if (record->header.ack == ACK_NONE) {
        return;
    }
    struct receipt receipt = {
        .level = record->header.ack,
        .status = STATUS_REJECTED_BY_DATABASE,
        .index = (int32_t)event->index,
    };
    send_receipt(lane, &record->header, record->id, receipt, span_string(rejection->text));
}

/* Publishers that keep sending what is refused are to wait. They hear of it before the answers, so
 * that those do not make them send more. */
static bool answer_conduct(struct lane *lane, const struct batch *batch)
{
    uint64_t hold_ms_max = lane->options.settings->poison_hold_ms;
    if (hold_ms_max == 0 || !conduct_judge(&lane->conduct, batch, hold_ms_max)) {
        return false;
    }
    for (size_t i = 0; i < batch->record_count; i++) {
        struct receipt receipt = {.status = STATUS_RATE_LIMITED, .index = -1};
        if (conduct_tell(&lane->conduct, &batch->records[i].header, &receipt.count)) {
            send_receipt(lane, &batch->records[i].header, span_of(NULL, 0), receipt,
                         span_of(NULL, 0));
        }
    }
    return true;
}

void lane_answer_batch(struct lane *lane, const struct batch *batch)
{
    bool answered = answer_conduct(lane, batch);
    /* Rejections first: the ack of a message is the last that is said of it. */
    for (size_t i = 0; i < batch->rejection_count; i++) {
        answer_rejection(lane, batch, &batch->rejections[i]);
    }
    answered = answered || batch->rejection_count > 0;
    for (size_t i = 0; i < batch->record_count; i++) {
        uint8_t ack = batch->records[i].header.ack;
        if (ack == ACK_COMMITTED || ack == ACK_BOTH) {
            answer_committed(lane, batch, &batch->records[i]);
            answered = true;
        }
    }
    if (answered) {
        ring_edges(lane);
    }
}

static bool is_pushed(const struct batch_event *event)
{
    return event->outcome == EVENT_STORED && event->event.push.size > 0;
}

void lane_push_batch(struct lane *lane, const struct batch *batch)
{
    if (batch->stored == 0) {
        return;
    }
    size_t size = 0;
    struct push_view push;
    for (size_t i = 0; i < batch->event_count; i++) {
        const struct batch_event *event = &batch->events[i];
        if (is_pushed(event) && push_open(event->event.push, &push)) {
            size += window_entry_bytes(span_string(event->schema->stream), &push);
        }
    }
    struct window_batch *out =
        window_batch_create(batch->first, batch->first + batch->stored - 1, size);
    if (out == NULL) {
        log_warn("lane", "no memory to hand %zu bytes to the feed: it will read them from the log",
                 size);
        return;
    }
    out->committed_us = lane->batch_done_us;
    for (size_t i = 0; i < batch->event_count; i++) {
        const struct batch_event *event = &batch->events[i];
        if (is_pushed(event) && push_open(event->event.push, &push)) {
            window_batch_add(out, batch->first + event->rank, span_string(event->schema->stream),
                             &push);
        }
    }
    lane->options.on_committed(lane->options.owner, lane->options.index, out);
}
