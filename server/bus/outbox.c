/*
 * outbox.c - what waits to be said to other nodes.
 *
 * Items are put in at the end and taken from the front, as many as fit one payload, as many
 * payloads as one transaction takes. Each payload is sealed when it leaves, with the next counter,
 * so that counters ascend in the order in which PostgreSQL gets them.
 */
#include "bus_private.h"

#include <stdlib.h>

#define OUTBOX_BYTES ((size_t)256 << 10)
#define TEXT_ROOM    (SEAL_TEXT_BYTES_MAX + 4) /* with the zero behind it */

_Static_assert(SEAL_TEXT_BYTES_MAX <= BUS_PAYLOAD_BYTES, "NOTIFY takes it");

enum status outbox_init(struct outbox *outbox, struct problem *problem)
{
    outbox->text = malloc((size_t)TEXT_ROOM * BUS_PAYLOADS_MAX);
    if (outbox->text == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the bus");
    }
    return ring_init(&outbox->items, OUTBOX_BYTES, problem);
}

void outbox_fini(struct outbox *outbox)
{
    seal_destroy(outbox->seal);
    free(outbox->text);
    ring_fini(&outbox->items);
}

bool outbox_has_room(struct outbox *outbox)
{
    size_t room;
    return !outbox->is_open || ring_reserve(&outbox->items, ITEM_BYTES_MAX, &room) != NULL;
}

bool outbox_put(struct outbox *outbox, const struct item *item)
{
    size_t room;
    uint8_t *at = outbox->is_open ? ring_reserve(&outbox->items, ITEM_BYTES_MAX, &room) : NULL;
    if (at == NULL) {
        return false;
    }
    struct writer out = writer_of(at, ITEM_BYTES_MAX);
    item_write(&out, item);
    ring_commit(&outbox->items, writer_size(&out));
    outbox->broadcasts += item->kind == ITEM_BROADCAST ? 1 : 0;
    return true;
}

uint64_t outbox_close(struct outbox *outbox)
{
    uint64_t lost = outbox->broadcasts;
    ring_release(&outbox->items, ring_peek(&outbox->items).size);
    outbox->broadcasts = 0;
    outbox->is_open = false;
    return lost;
}

bool outbox_is_empty(struct outbox *outbox)
{
    return ring_peek(&outbox->items).size == 0;
}

/* As many whole items as one payload takes. */
static struct span next_plain(struct outbox *outbox)
{
    struct span items = ring_peek(&outbox->items);
    size_t size = 0;
    while (size < items.size) {
        struct span rest = span_of(items.data + size, items.size - size);
        if (size + item_bytes(rest) > SEAL_PLAIN_BYTES_MAX) {
            break;
        }
        outbox->broadcasts -= *rest.data == ITEM_BROADCAST ? 1 : 0;
        size += item_bytes(rest);
    }
    return span_of(items.data, size);
}

size_t outbox_take(struct outbox *outbox, int64_t at_us, struct span out[BUS_PAYLOADS_MAX])
{
    size_t count = 0;
    while (count < BUS_PAYLOADS_MAX) {
        struct span plain = next_plain(outbox);
        struct writer text = writer_of(outbox->text + count * TEXT_ROOM, TEXT_ROOM);
        if (plain.size == 0) {
            break;
        }
        if (seal_close(outbox->seal, ++outbox->counter, at_us, plain, &text)) {
            out[count++] = writer_span(&text);
        }
        ring_release(&outbox->items, plain.size);
    }
    return count;
}
