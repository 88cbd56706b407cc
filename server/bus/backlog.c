/*
 * backlog.c - what waits to be said to other nodes.
 *
 * Items are put in at the end and taken from the front, as many as fit one payload, as many
 * payloads as one transaction takes. Each payload is sealed when it leaves, with the next counter,
 * so that counters ascend in the order in which PostgreSQL gets them.
 */
#include "bus_private.h"

#include <stdlib.h>

#define BACKLOG_BYTES ((size_t)256 << 10)
#define TEXT_ROOM    (SEAL_TEXT_BYTES_MAX + 4) /* with the zero behind it */

_Static_assert(SEAL_TEXT_BYTES_MAX <= BUS_PAYLOAD_BYTES, "NOTIFY takes it");

enum status backlog_init(struct backlog *backlog, struct problem *problem)
{
    backlog->text = malloc((size_t)TEXT_ROOM * BUS_PAYLOADS_MAX);
    if (backlog->text == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the bus");
    }
    return ring_init(&backlog->items, BACKLOG_BYTES, problem);
}

void backlog_fini(struct backlog *backlog)
{
    seal_destroy(backlog->seal);
    free(backlog->text);
    ring_fini(&backlog->items);
}

bool backlog_has_room(struct backlog *backlog)
{
    size_t room;
    return !backlog->is_open || ring_reserve(&backlog->items, ITEM_BYTES_MAX, &room) != NULL;
}

bool backlog_put(struct backlog *backlog, const struct item *item)
{
    size_t room;
    uint8_t *at = backlog->is_open ? ring_reserve(&backlog->items, ITEM_BYTES_MAX, &room) : NULL;
    if (at == NULL) {
        return false;
    }
    struct writer out = writer_of(at, ITEM_BYTES_MAX);
    item_write(&out, item);
    ring_commit(&backlog->items, writer_size(&out));
    backlog->broadcasts += item->kind == ITEM_BROADCAST ? 1 : 0;
    return true;
}

uint64_t backlog_close(struct backlog *backlog)
{
    uint64_t lost = backlog->broadcasts;
    ring_release(&backlog->items, ring_peek(&backlog->items).size);
    backlog->broadcasts = 0;
    backlog->is_open = false;
    return lost;
}

bool backlog_is_empty(struct backlog *backlog)
{
    return ring_peek(&backlog->items).size == 0;
}

/* As many whole items as one payload takes. */
static struct span next_plain(struct backlog *backlog)
{
    struct span items = ring_peek(&backlog->items);
    size_t size = 0;
    while (size < items.size) {
        struct span rest = span_of(items.data + size, items.size - size);
        if (size + item_bytes(rest) > SEAL_PLAIN_BYTES_MAX) {
            break;
        }
        backlog->broadcasts -= *rest.data == ITEM_BROADCAST ? 1 : 0;
        size += item_bytes(rest);
    }
    return span_of(items.data, size);
}

size_t backlog_take(struct backlog *backlog, int64_t at_us, struct span out[BUS_PAYLOADS_MAX])
{
    size_t count = 0;
    while (count < BUS_PAYLOADS_MAX) {
        struct span plain = next_plain(backlog);
        struct writer text = writer_of(backlog->text + count * TEXT_ROOM, TEXT_ROOM);
        if (plain.size == 0) {
            break;
        }
        if (seal_close(backlog->seal, ++backlog->counter, at_us, plain, &text)) {
            out[count++] = writer_span(&text);
        }
        ring_release(&backlog->items, plain.size);
    }
    return count;
}
