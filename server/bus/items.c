/* items.c - see items.h. */
#include "items.h"

#define HEAD_BYTES 3

_Static_assert(SEAL_INCARNATION_BYTES == BUS_SESSION_BYTES, "an item's session may be either");

static void write_name(struct writer *out, struct span name)
{
    writer_u8(out, (uint8_t)name.size);
    writer_put(out, name);
}

static void write_body(struct writer *out, const struct item *item)
{
    switch ((enum item_kind)item->kind) {
    case ITEM_BROADCAST:
        writer_bytes(out, item->session, BUS_SESSION_BYTES);
        write_name(out, item->channel);
        writer_put(out, item->data);
        return;
    case ITEM_JOIN:
        writer_bytes(out, item->session, BUS_SESSION_BYTES);
        writer_be64(out, (uint64_t)item->joined_ms);
        write_name(out, item->channel);
        write_name(out, item->user);
        return;
    case ITEM_LEAVE:
        writer_bytes(out, item->session, BUS_SESSION_BYTES);
        write_name(out, item->channel);
        return;
    case ITEM_ALIVE:
        writer_be64(out, item->count);
        writer_be64(out, item->digest);
        return;
    case ITEM_ASK:
        writer_bytes(out, item->session, SEAL_INCARNATION_BYTES);
        return;
    case ITEM_HELLO:
    case ITEM_STATE:
    case ITEM_STATE_END:
    case ITEM_BYE:
        return;
    }
}

void item_write(struct writer *out, const struct item *item)
{
    writer_u8(out, item->kind);
    uint8_t *size_at = writer_take(out, sizeof(uint16_t));
    uint8_t *body = out->next;
    write_body(out, item);
    if (!out->full) {
        uint16_t size = htobe16((uint16_t)(out->next - body));
        memcpy(size_at, &size, sizeof size);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Takes `size` bytes off the body; NULL: it is too short. */
static const uint8_t *take(struct span *body, size_t size)
{
    if (body->size < size) {
        return NULL;
    }
    const uint8_t *at = body->data;
    *body = span_of(at + size, body->size - size);
    return at;
}

static bool take_name(struct span *body, struct span *out, size_t most)
{
    const uint8_t *size = take(body, 1);
    const uint8_t *at = size == NULL || *size > most ? NULL : take(body, *size);
    *out = span_of(at, at == NULL ? 0 : *size);
    return at != NULL;
}

static bool take_number(struct span *body, uint64_t *out)
{
    const uint8_t *at = take(body, sizeof *out);
    *out = at == NULL ? 0 : read_be64(at);
    return at != NULL;
}

static bool read_body(struct span body, struct item *out)
{
    uint64_t joined_ms = 0;
    switch ((enum item_kind)out->kind) {
    case ITEM_BROADCAST:
        out->session = take(&body, BUS_SESSION_BYTES);
        if (out->session == NULL || !take_name(&body, &out->channel, CHANNEL_BYTES_MAX)) {
            return false;
        }
        out->data = body;
        return body.size <= BUS_DATA_BYTES;
    case ITEM_JOIN:
        out->session = take(&body, BUS_SESSION_BYTES);
        if (out->session == NULL || !take_number(&body, &joined_ms) ||
            !take_name(&body, &out->channel, CHANNEL_BYTES_MAX)) {
            return false;
        }
        out->joined_ms = (int64_t)joined_ms;
        return take_name(&body, &out->user, BUS_USER_BYTES);
    case ITEM_LEAVE:
        out->session = take(&body, BUS_SESSION_BYTES);
        return out->session != NULL && take_name(&body, &out->channel, CHANNEL_BYTES_MAX);
    case ITEM_ALIVE:
        return take_number(&body, &out->count) && take_number(&body, &out->digest);
    case ITEM_ASK:
        out->session = take(&body, SEAL_INCARNATION_BYTES);
        return out->session != NULL;
    case ITEM_HELLO:
    case ITEM_STATE:
    case ITEM_STATE_END:
    case ITEM_BYE:
        break;
    }
    return true;
}

size_t item_bytes(struct span items)
{
    return HEAD_BYTES + read_be16(items.data + 1);
}

bool item_read(struct span *rest, struct item *out)
{
    *out = (struct item){0};
    if (rest->size < HEAD_BYTES || rest->size < item_bytes(*rest)) {
        return false;
    }
    size_t size = item_bytes(*rest);
    out->kind = rest->data[0];
    struct span body = span_of(rest->data + HEAD_BYTES, size - HEAD_BYTES);
    *rest = span_of(rest->data + size, rest->size - size);
    return read_body(body, out);
}
