/*
 * harness.c - see harness.h.
 */
#include "harness.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US INT64_C(30000000) /* on a busy machine, too */

/* ---- the lane -------------------------------------------------------------------------------- */

static void send_receipt(struct harness *harness, const struct record_cursor *record,
                         struct receipt receipt, struct span text)
{
    size_t size = sizeof receipt + record->id.size + text.size;
    size += -size & (RECORD_ALIGN - 1);
    size_t room;
    uint8_t *at;
    while ((at = ring_reserve(&harness->from_lane, size, &room)) == NULL) {
        doorbell_ring(&harness->edge_bell);
    }
    receipt.bytes = (uint32_t)size;
    receipt.slot = record->header.from.slot;
    receipt.generation = record->header.from.generation;
    receipt.id_bytes = (uint16_t)record->id.size;
    receipt.text_bytes = (uint32_t)text.size;
    struct writer out = writer_of(at, size);
    writer_bytes(&out, &receipt, sizeof receipt);
    writer_put(&out, record->id);
    writer_put(&out, text);
    ring_commit(&harness->from_lane, size);
    doorbell_ring(&harness->edge_bell);
}

static void answer(struct harness *harness, const struct record_cursor *record)
{
    int rejected = atomic_exchange(&harness->rejected_index, -1);
    if (rejected >= 0) {
        struct receipt receipt = {
            .status = STATUS_REJECTED_BY_DATABASE, .index = rejected, .level = ACK_COMMITTED};
        send_receipt(harness, record, receipt, span_string("no such user"));
    }
    uint8_t ack = record->header.ack;
    struct receipt receipt = {.level = ack, .count = record->header.events, .index = -1};
    if (ack == ACK_BOTH) {
        receipt.level = ACK_DURABLE;
        send_receipt(harness, record, receipt, span_of(NULL, 0));
        receipt.level = ACK_COMMITTED;
    }
    if (ack == ACK_BOTH && atomic_load(&harness->lane_uncommitted)) {
        return;
    }
    receipt.offset = receipt.level == ACK_COMMITTED ? 77 : 0;
    send_receipt(harness, record, receipt, span_of(NULL, 0));
}

static void take_records(struct harness *harness)
{
    struct span rest = ring_peek(&harness->to_lane);
    size_t all = rest.size;
    while (rest.size > 0) {
        struct record_cursor record;
        if (!record_open(rest, &record)) {
            fprintf(stderr, "the edge wrote a broken record\n");
            abort(); /* this is not the test's thread */
        }
        size_t kept = record.header.bytes;
        kept = kept < sizeof harness->last_record ? kept : sizeof harness->last_record;
        memcpy(harness->last_record, rest.data, kept);
        atomic_store(&harness->last_record_bytes, kept);
        atomic_fetch_add(&harness->lane_events, record.header.events);
        atomic_fetch_add(&harness->lane_records, 1);
        if (record.header.ack != ACK_NONE && !atomic_load(&harness->lane_silent)) {
            answer(harness, &record);
        }
        rest = span_of(rest.data + record.header.bytes, rest.size - record.header.bytes);
    }
    if (all > 0) {
        ring_release(&harness->to_lane, all);
        if (ring_take_starved(&harness->to_lane)) {
            doorbell_ring(&harness->edge_bell);
        }
    }
}

/* ---- the history ----------------------------------------------------------------------------- */

static struct history_block *make_block(struct harness *harness, struct span channel,
                                        uint64_t first, uint64_t last)
{
    struct span stream = span_string("notes");
    struct push_view push = {.channel_count = 1, .channels[0] = channel};
    push.data = span_string("{\"log\":1}");
    size_t bytes = (last - first + 1) * window_entry_bytes(stream, &push);
    struct history_block *block = malloc(sizeof *block);
    struct window_batch *batch = window_batch_create(first, last, bytes);
    if (block == NULL || batch == NULL) {
        abort(); /* this is not the test's thread */
    }
    for (uint64_t offset = first; offset <= last; offset++) {
        window_batch_add(batch, offset, stream, &push);
    }
    *block = (struct history_block){.batch = batch,
                                    .blocks_size = &harness->history_bytes,
                                    .bell = &harness->lane_bell,
                                    .size = bytes};
    atomic_init(&block->shares, 1);
    atomic_fetch_add(&harness->history_bytes, bytes);
    return block;
}

static struct history_answer history_answer_of(struct harness *harness,
                                               const struct history_request *request)
{
    struct history_answer answer = {.slot = request->slot, .through = request->until};
    uint64_t gone = atomic_load(&harness->history_gone);
    uint64_t most = atomic_load(&harness->history_events);
    most = most == 0 ? 1000 : most;
    if (request->kind == HISTORY_SEEK) {
        uint64_t below = request->until - request->from + 1 - request->count;
        answer.oldest = request->until - request->from + 1 < request->count ? request->from
                                                                            : request->from + below;
        answer.through = answer.oldest - 1;
    } else if (request->from <= gone) {
        answer.verdict = HISTORY_GONE;
        answer.through = request->until < gone ? request->until : gone;
        uint64_t going = atomic_exchange(&harness->history_going, 0);
        atomic_store(&harness->history_gone, going > 0 ? going : gone);
    } else {
        if (request->until - request->from >= most) {
            answer.through = request->from + most - 1;
        }
        answer.block = make_block(harness, span_of(request->channel, request->channel_bytes),
                                  request->from, answer.through);
    }
    return answer;
}

static void answer_requests(struct harness *harness)
{
    struct history_request request;
    while (ring_peek(&harness->to_history).size > 0) {
        memcpy(&request, ring_peek(&harness->to_history).data, sizeof request);
        ring_release(&harness->to_history, sizeof request);
        struct history_answer said = history_answer_of(harness, &request);
        size_t room;
        uint8_t *to = ring_reserve(&harness->from_history, sizeof said, &room);
        if (to == NULL) {
            fprintf(stderr, "more answers than HISTORY_REQUESTS_MAX\n");
            abort();
        }
        memcpy(to, &said, sizeof said);
        ring_commit(&harness->from_history, sizeof said);
        atomic_fetch_add(&harness->history_requests, 1);
        doorbell_ring(&harness->edge_bell);
    }
}

static void *lane_main(void *argument)
{
    struct harness *harness = argument;
    while (!atomic_load(&harness->lane_stop)) {
        struct pollfd poll_for = {.fd = harness->lane_bell.fd, .events = POLLIN};
        doorbell_arm(&harness->lane_bell);
        bool is_held = atomic_load(&harness->lane_held);
        if (!is_held) {
            take_records(harness);
        }
        atomic_store(&harness->lane_is_held, is_held);
        if (!atomic_load(&harness->history_held)) {
            answer_requests(harness);
        }
        (void)poll(&poll_for, 1, 5);
        doorbell_disarm(&harness->lane_bell);
    }
    return NULL;
}

static void *edge_main(void *argument)
{
    edge_run(((struct harness *)argument)->edge);
    return NULL;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void column(struct column_description *out, const char *name, const char *type, uint32_t oid)
{
    *out = (struct column_description){
        .type_oid = oid, .base_oid = oid, .type_modifier = -1, .type_kind = 'b'};
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->type_name, sizeof out->type_name, "%s", type);
    snprintf(out->type_schema, sizeof out->type_schema, "pg_catalog");
}

static void make_stream(struct harness *harness)
{
    struct table_description table = {.schema = "public", .name = "notes", .relation_kind = 'r'};
    struct column_description columns[4];
    column(&columns[0], "id", "uuid", 2950);
    columns[0].not_null = true;
    columns[0].key_position = 1;
    columns[0].default_expression = (char[]){"gen_random_uuid()"};
    columns[0].default_volatility = 'v';
    column(&columns[1], "name", "text", 25);
    columns[1].not_null = true;
    column(&columns[2], "level", "int4", 23);
    column(&columns[3], "note", "text", 25);
    table.columns = columns;
    table.column_count = 4;
    struct span channel = span_string("user:{name}");
    struct stream_options options = {
        .name = span_string("notes"), .channels = &channel, .channel_count = 1};
    struct problem problem;
    if (stream_create(&options, &table, &harness->stream, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    harness->accounts[0] = &harness->account;
    harness->streams =
        (struct stream_set){.streams = &harness->stream, .accounts = harness->accounts, .count = 1};
}

/* ---- life ------------------------------------------------------------------------------------ */

static void must(enum status status, const struct problem *problem)
{
    if (status != STATUS_OK) {
        fail_msg("%s", problem->text);
    }
}

void harness_prepare(struct harness *harness)
{
    memset(harness, 0, sizeof *harness);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    static char listen_on[] = "127.0.0.1:0", none[] = "";
    harness->settings = (struct settings){
        .listen = listen_on,
        .trusted_proxy = none,
        .burst_s = 1,
        .address_prefix = 64,
        .metrics_token_file = none,
        .hosts = none,
        .origins = none,
        .tls_certificate = none,
        .tls_key = none,
        .auth_issuer = none,
        .auth_audience = none,
        .auth_publish_claim = none,
        .auth_subscribe_claim = none,
        .auth_operator_claim = none,
        .allow_publish = none,
        .allow_subscribe = none,
        .message_bytes = 256 << 10,
        .message_events = 200,
        .message_frames = 16,
        .channels = 8,
        .connections = 64,
        .inflight = 32,
        .receive_bytes = 1 << 20,
        .send_bytes = 64 << 10,
        .heartbeat_s = 30,
        .handshake_s = 2,
        .http_wait_ms = 5000,
        .drain_ms = 1000,
        .ring_bytes = 64 << 10,
        .window_bytes = 1 << 20,
    };
    atomic_store(&harness->rejected_index, -1);
}

void harness_start(struct harness *harness)
{
    struct problem problem;
    struct node *node = &harness->node;
    snprintf(node->name, sizeof node->name, "test");
    snprintf(node->epoch, sizeof node->epoch, "%s", HARNESS_EPOCH);
    node->edge_count = node->lane_count = 1;
    atomic_store(&node->has_begun, !harness->is_early);
    atomic_store(&node->history.knows_floor, !harness->is_early);
    make_stream(harness);
    must(ring_init(&harness->to_lane, harness->settings.ring_bytes, &problem), &problem);
    must(ring_init(&harness->from_lane, 64 << 10, &problem), &problem);
    must(ring_init(&harness->to_history, HISTORY_REQUEST_RING_BYTES, &problem), &problem);
    must(ring_init(&harness->from_history, HISTORY_ANSWER_RING_BYTES, &problem), &problem);
    must(ring_init(&harness->to_bus, 64 << 10, &problem), &problem);
    must(ring_init(&harness->from_bus, BUS_TO_EDGE_BYTES, &problem), &problem);
    must(doorbell_init(&harness->edge_bell, &problem), &problem);
    must(doorbell_init(&harness->lane_bell, &problem), &problem);
    must(window_create(harness->settings.window_bytes, 1, &harness->window, &problem), &problem);
    must(limits_create(&harness->settings, 1, &harness->limits, &problem), &problem);
    static struct ring *to_lane[1], *from_lane[1];
    static struct doorbell *lane_bells[1];
    to_lane[0] = &harness->to_lane;
    from_lane[0] = &harness->from_lane;
    lane_bells[0] = &harness->lane_bell;
    struct edge_options options = {
        .settings = &harness->settings,
        .streams = &harness->streams,
        .handover = &harness->handover,
        .node = node,
        .window = harness->window,
        .limits = harness->limits,
        .verifier = harness->verifier,
        .bell = &harness->edge_bell,
        .to_lane = to_lane,
        .from_lane = from_lane,
        .lane_bells = lane_bells,
        .to_history = &harness->to_history,
        .from_history = &harness->from_history,
        .history_bell = &harness->lane_bell,
        .to_bus = &harness->to_bus,
        .from_bus = &harness->from_bus,
        .bus_bell = &harness->lane_bell,
    };
    must(edge_open(&options, &harness->edge, &problem), &problem);
    harness->port = edge_port(harness->edge);
    assert_int_equal(pthread_create(&harness->lane_thread, NULL, lane_main, harness), 0);
    assert_int_equal(pthread_create(&harness->edge_thread, NULL, edge_main, harness), 0);
}

void harness_stop(struct harness *harness)
{
    edge_stop(harness->edge);
    pthread_join(harness->edge_thread, NULL);
    atomic_store(&harness->lane_stop, true);
    pthread_join(harness->lane_thread, NULL);
    edge_close(harness->edge);
    limits_destroy(harness->limits);
    assert_int_equal(atomic_load(&harness->history_bytes), 0);
    window_destroy(harness->window);
    doorbell_fini(&harness->edge_bell);
    doorbell_fini(&harness->lane_bell);
    ring_fini(&harness->to_lane);
    ring_fini(&harness->from_lane);
    ring_fini(&harness->to_history);
    ring_fini(&harness->from_history);
    ring_fini(&harness->to_bus);
    ring_fini(&harness->from_bus);
    stream_destroy(harness->stream);
}

/* ---- the feed -------------------------------------------------------------------------------- */

void harness_begin(struct harness *harness, uint64_t head, unsigned count)
{
    struct problem problem;
    harness->head = head - count;
    must(window_reset(harness->window, harness->head, &problem), &problem);
    for (unsigned i = 0; i < count; i++) {
        (void)harness_push(harness, "c", "{\"old\":1}");
    }
    atomic_store(&harness->node.history.knows_floor, true);
    atomic_store(&harness->node.has_begun, true);
    doorbell_ring(&harness->edge_bell);
}

uint64_t harness_push(struct harness *harness, const char *channel, const char *data)
{
    struct push_view push = {.channel_count = 1, .data = span_string(data)};
    push.channels[0] = span_string(channel);
    struct span stream = span_string("notes");
    uint64_t offset = ++harness->head;
    struct window_batch *batch =
        window_batch_create(offset, offset, window_entry_bytes(stream, &push));
    assert_non_null(batch);
    batch->committed_us = clock_unix_us();
    window_batch_add(batch, offset, stream, &push);
    window_append(harness->window, batch);
    doorbell_ring(&harness->edge_bell);
    return offset;
}

void harness_push_batch(struct harness *harness, unsigned count, unsigned channels,
                        const char *data)
{
    char name[16] = "c0000000000";
    struct push_view push = {.channel_count = 1, .data = span_string(data)};
    struct span stream = span_string("notes");
    push.channels[0] = span_string(name); /* as long as any of them */
    struct window_batch *batch = window_batch_create(harness->head + 1, harness->head + count,
                                                     count * window_entry_bytes(stream, &push));
    assert_non_null(batch);
    batch->committed_us = clock_unix_us();
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "c%u", i % channels);
        push.channels[0] = span_string(name);
        window_batch_add(batch, ++harness->head, stream, &push);
    }
    window_append(harness->window, batch);
    doorbell_ring(&harness->edge_bell);
}

void harness_settle(struct harness *harness)
{
    struct client probe;
    client_upgrade(&probe, harness->port, CLIENT_JSON, NULL);
    client_close(&probe);
}

void harness_await_messages(struct harness *harness, uint64_t count)
{
    const counter *read = &harness->node.edges[0].messages_in;
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    while (counter_read(read) < count) {
        if (clock_monotonic_us() > until_us) {
            fail_msg("the edge has read %llu messages, not %llu",
                     (unsigned long long)counter_read(read), (unsigned long long)count);
        }
        usleep(1000);
    }
}

void harness_await_held_lane(struct harness *harness)
{
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    while (!atomic_load(&harness->lane_is_held)) {
        if (clock_monotonic_us() > until_us) {
            fail_msg("the lane does not see that it is held");
        }
        usleep(1000);
    }
}
