/*
 * notification_fuzz.c - any bytes as what PostgreSQL hands on from others: a NOTIFY on the channel
 * `penstock`, which any role may send, and the events of a row of penstock.payload, which its owner
 * may change. The first byte says as which:
 *
 *   0  a notification: refused with a sentence, or offsets below 2^53 in order, and a node's name
 *      that lies in the payload;
 *   1  events, of a batch whose first offset and size the next two bytes say: refused, or a batch
 *      whose entries ascend inside it, each with a stream, channels in bounds and one JSON object.
 */
#include "../fuzz.h"

#include "notification.h"
#include "parts.h" /* server/window: how a batch is laid out */

#include "penstock/wire.h"

#include <string.h>

#define OFFSET_MAX (UINT64_C(1) << 53)

unsigned long fuzz_taken;

static void check_refusal(const struct problem *problem)
{
    check(problem->status == STATUS_MALFORMED || problem->status == STATUS_TOO_LARGE);
    check(problem->text[0] != '\0' && utf8_valid(span_string(problem->text)));
}

static void fuzz_notification(struct span payload)
{
    struct notification notification;
    struct problem problem;
    problem_clear(&problem);
    if (notification_read(payload, &notification, &problem) != STATUS_OK) {
        check_refusal(&problem);
        return;
    }
    check(notification.first > 0 && notification.first <= notification.last);
    check(notification.last <= OFFSET_MAX);
    check(is_inside(notification.node, payload));
    fuzz_taken++;
}

static void check_batch(const struct window_batch *batch, uint64_t first, uint64_t last)
{
    struct window_entry entry = {.offset = first};
    struct value data;
    struct problem problem;
    check(batch->first == first && batch->last == last && batch->size <= batch->room);
    for (uint32_t i = 0; i < batch->mention_count; i++) {
        struct span channel = mention_channel(batch, batch_mention(batch, i));
        uint64_t before = entry.offset;
        check(channel.size <= CHANNEL_BYTES_MAX && utf8_valid(channel));
        entry_open(mention_entry(batch, batch_mention(batch, i)), &entry);
        check(entry.offset >= before && entry.offset <= last);
        check(entry.stream.size <= NAME_BYTES_MAX && utf8_valid(entry.stream));
        check(json_parse(entry.data, &data, &problem) == STATUS_OK && data.kind == VALUE_MAP);
    }
}

static void fuzz_events(struct span events, uint64_t first, uint64_t last)
{
    struct window_batch *batch;
    struct problem problem;
    problem_clear(&problem);
    if (log_batch_read(events, first, last, 0, &batch, &problem) != STATUS_OK) {
        check_refusal(&problem);
        return;
    }
    check_batch(batch, first, last);
    window_batch_destroy(batch);
    fuzz_taken++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 1 && data[0] % 2 == 0) {
        fuzz_notification(span_of(data + 1, size - 1));
    } else if (size >= 3) {
        fuzz_events(span_of(data + 3, size - 3), data[1], (uint64_t)data[1] + data[2]);
    }
    return 0;
}
