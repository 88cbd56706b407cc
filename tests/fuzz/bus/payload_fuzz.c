/*
 * payload_fuzz.c - any bytes as a NOTIFY between nodes, which any role of the database may send.
 * The first byte says as which:
 *
 *   0  a payload: no envelope, or one whose parts lie in it; what opens was sealed by us, so that
 *      sealing it again gives the same text;
 *   1  items, here sealed and opened as a node's own: what is read lies inside, within the bounds
 *      that the bus relies on, and is the same when it is written and read again.
 */
#include "../fuzz.h"

#include "items.h"

#include <string.h>

#define COUNTER 7
#define AT_US   1700000000000000

static const uint8_t key[SEAL_KEY_BYTES] = "the key of the fuzzer";
static const uint8_t ours[SEAL_INCARNATION_BYTES] = "incarnation";

unsigned long fuzz_taken;

static struct seal *make_seal(enum seal_use use, struct span node, const uint8_t *incarnation)
{
    struct seal *seal;
    struct problem problem;
    check(seal_create(use, key, node, incarnation, &seal, &problem) == STATUS_OK);
    return seal;
}

/* Into `out`; it must fit. */
static void close_again(const struct envelope *envelope, struct span plain, struct writer *out)
{
    struct seal *seal = make_seal(SEAL_CLOSES, envelope->node, envelope->incarnation);
    check(seal_close(seal, envelope->counter, envelope->at_us, plain, out));
    seal_destroy(seal);
}

static bool is_opened(const struct envelope *envelope, struct writer *out)
{
    struct seal *seal = make_seal(SEAL_OPENS, envelope->node, envelope->incarnation);
    bool opened = seal_open(seal, envelope, out);
    seal_destroy(seal);
    check(opened || writer_size(out) == 0);
    return opened;
}

/* ---- payloads -------------------------------------------------------------------------------- */

static void fuzz_payload(struct span payload)
{
    static uint8_t room[SEAL_TEXT_BYTES_MAX], bytes[SEAL_TEXT_BYTES_MAX],
        text[SEAL_TEXT_BYTES_MAX + 1];
    struct envelope envelope;
    struct writer plain = writer_of(bytes, sizeof bytes), again = writer_of(text, sizeof text);
    if (!envelope_read(payload, room, &envelope)) {
        return;
    }
    struct span whole = span_of(room, sizeof room);
    check(envelope.node.size <= SEAL_NODE_BYTES_MAX);
    check(is_inside(envelope.node, whole) && is_inside(envelope.sealed, whole));
    check(is_inside(envelope.header, whole) && is_inside(envelope.node, envelope.header));
    if (is_opened(&envelope, &plain)) {
        close_again(&envelope, writer_span(&plain), &again);
        check(span_equals(writer_span(&again), payload));
        fuzz_taken++;
    }
}

/* ---- items ----------------------------------------------------------------------------------- */

static bool same_item(const struct item *a, const struct item *b)
{
    bool same_session = a->session == NULL || b->session == NULL
                            ? a->session == b->session
                            : memcmp(a->session, b->session, BUS_SESSION_BYTES) == 0;
    return a->kind == b->kind && same_session && span_equals(a->channel, b->channel) &&
           span_equals(a->user, b->user) && span_equals(a->data, b->data) &&
           a->joined_ms == b->joined_ms && a->count == b->count && a->digest == b->digest;
}

static void check_item(const struct item *item, struct span plain)
{
    uint8_t bytes[ITEM_BYTES_MAX];
    struct writer out = writer_of(bytes, sizeof bytes);
    struct item again;
    check(item->channel.size <= CHANNEL_BYTES_MAX && is_inside(item->channel, plain));
    check(item->user.size <= BUS_USER_BYTES && is_inside(item->user, plain));
    check(item->data.size <= BUS_DATA_BYTES && is_inside(item->data, plain));
    item_write(&out, item);
    check(!out.full);
    struct span rest = writer_span(&out);
    check(item_bytes(rest) == rest.size);
    check(item_read(&rest, &again) && rest.size == 0 && same_item(item, &again));
}

static void fuzz_items(struct span items)
{
    uint8_t text[SEAL_TEXT_BYTES_MAX + 1], room[SEAL_TEXT_BYTES_MAX], bytes[SEAL_PLAIN_BYTES_MAX];
    struct writer sealed = writer_of(text, sizeof text), plain = writer_of(bytes, sizeof bytes);
    struct envelope envelope = {span_string("node-1"), ours, COUNTER, AT_US, {0}, {0}};
    struct item item;
    if (items.size > SEAL_PLAIN_BYTES_MAX) {
        return;
    }
    close_again(&envelope, items, &sealed);
    check(envelope_read(writer_span(&sealed), room, &envelope) && is_opened(&envelope, &plain));
    struct span rest = writer_span(&plain);
    check(span_equals(rest, items));
    while (rest.size > 0 && item_read(&rest, &item)) {
        check_item(&item, writer_span(&plain));
        fuzz_taken++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        struct span bytes = span_of(data + 1, size - 1);
        if (data[0] % 2 == 0) {
            fuzz_payload(bytes);
        } else {
            fuzz_items(bytes);
        }
    }
    return 0;
}
