/*
 * type_network.c - inet and cidr.
 *
 * network_recv() (network.c) reads u8 family (2: IPv4, 3: IPv6; PGSQL_AF_INET is AF_INET, which is
 * 2 on every system PostgreSQL runs on), u8 prefix bits, u8 "is cidr", u8 address size, the
 * address. A cidr must have no bits set behind its prefix. Abbreviated IPv4 networks ("10.1/16")
 * are refused.
 */
#include "cell.h"

#include <arpa/inet.h>

#define FAMILY_V4     2
#define FAMILY_V6     3
#define V4_BYTES      4
#define V6_BYTES      16
#define ADDRESS_CHARS 63

struct address {
    uint8_t bytes[V6_BYTES];
    unsigned size; /* in bytes */
    unsigned prefix;
};

/* A number without sign of at most `most`; leading zeros only where the caller says so. */
static bool take_number(const uint8_t **next, const uint8_t *end, bool zeros, unsigned most,
                        unsigned *out)
{
    const uint8_t *start = *next;
    unsigned number = 0;
    while (*next < end && **next >= '0' && **next <= '9') {
        number = number * 10 + (unsigned)(**next - '0');
        if (number > most || (!zeros && *next > start && *start == '0')) {
            return false;
        }
        (*next)++;
    }
    *out = number;
    return *next > start;
}

static bool parse_v4(struct span text, struct address *out)
{
    const uint8_t *next = text.data, *end = next + text.size;
    for (int i = 0; i < V4_BYTES; i++) {
        unsigned octet;
        if (i > 0 && (next == end || *next++ != '.')) {
            return false;
        }
        if (!take_number(&next, end, true, 255, &octet)) {
            return false;
        }
        out->bytes[i] = (uint8_t)octet;
    }
    out->size = V4_BYTES;
    return next == end;
}

static bool parse_v6(struct span text, struct address *out)
{
    char terminated[ADDRESS_CHARS + 1];
    memcpy(terminated, text.data, text.size);
    terminated[text.size] = '\0';
    out->size = V6_BYTES;
    return inet_pton(AF_INET6, terminated, out->bytes) == 1;
}

static bool parse_address(struct span text, struct address *out)
{
    if (text.size == 0 || text.size > ADDRESS_CHARS || memchr(text.data, 0, text.size) != NULL) {
        return false;
    }
    const uint8_t *end = text.data + text.size;
    const uint8_t *slash = memchr(text.data, '/', text.size);
    struct span address = span_of(text.data, (size_t)((slash ? slash : end) - text.data));
    bool is_v6 = memchr(address.data, ':', address.size) != NULL;
    if (!(is_v6 ? parse_v6(address, out) : parse_v4(address, out))) {
        return false;
    }
    out->prefix = out->size * 8;
    if (slash == NULL) {
        return true;
    }
    slash++;
    return take_number(&slash, end, !is_v6, out->size * 8, &out->prefix) && slash == end;
}

static bool has_host_bits(const struct address *address)
{
    for (unsigned bit = address->prefix; bit < address->size * 8; bit++) {
        if (address->bytes[bit / 8] & (0x80 >> bit % 8)) {
            return true;
        }
    }
    return false;
}

static void address_write(const struct address *address, bool is_cidr, struct writer *out)
{
    writer_u8(out, address->size == V4_BYTES ? FAMILY_V4 : FAMILY_V6);
    writer_u8(out, (uint8_t)address->prefix);
    writer_u8(out, is_cidr);
    writer_u8(out, (uint8_t)address->size);
    writer_bytes(out, address->bytes, address->size);
}

enum status inet_encode(const struct cell *cell, const struct value *value)
{
    struct span text;
    struct address address;
    enum status status = cell_text(cell, value, "a string", &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (!parse_address(text, &address)) {
        return cell_refuse(cell, "must be an IP address, such as 192.0.2.1 or 2001:db8::1/64");
    }
    address_write(&address, false, cell->out);
    return STATUS_OK;
}

enum status cidr_encode(const struct cell *cell, const struct value *value)
{
    struct span text;
    struct address address;
    enum status status = cell_text(cell, value, "a string", &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (!parse_address(text, &address)) {
        return cell_refuse(cell, "must be a network, such as 192.0.2.0/24 or 2001:db8::/32");
    }
    if (has_host_bits(&address)) {
        return cell_refuse(cell, "must have no bits set behind its prefix of %u", address.prefix);
    }
    address_write(&address, true, cell->out);
    return STATUS_OK;
}
