/*
 * proxy_header.c - judges every prefix of a PROXY header, so that a wrong one is known at once.
 */
#include "arrive/proxy_header.h"

#define V1_BYTES_MAX 107 /* section 2.1, with the end of the line */
#define V2_HEAD      16  /* up to where the addresses begin */

static const char v1_start[] = "PROXY ";
static const uint8_t v2_signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                         '\n', 'Q',  'U',  'I',  'T', '\n'};

static bool agrees(struct span bytes, const void *start, size_t size)
{
    return memcmp(bytes.data, start, bytes.size < size ? bytes.size : size) == 0;
}

/* ---- version 1 ------------------------------------------------------------------------------- */

static bool is_port(struct span word)
{
    unsigned port = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9') {
            return false;
        }
        port = port * 10 + (word.data[i] - '0');
    }
    return word.size >= 1 && word.size <= 5 && port <= 65535;
}

/* "TCP4 198.51.100.7 192.0.2.1 56324 443" */
static bool read_line(struct span line, struct proxy_header *out)
{
    struct address destination;
    struct span family = span_take(&line, ' ');
    if (span_is(family, "UNKNOWN")) {
        return true; /* whatever follows */
    }
    bool is_v4 = span_is(family, "TCP4");
    out->has_address = true;
    return (is_v4 || span_is(family, "TCP6")) &&
           address_parse(span_take(&line, ' '), &out->address) &&
           address_parse(span_take(&line, ' '), &destination) &&
           (!is_v4 || address_is_v4(&out->address)) && is_port(span_take(&line, ' ')) &&
           is_port(span_take(&line, ' ')) && line.size == 0;
}

static enum proxy_verdict read_v1(struct span bytes, struct proxy_header *out)
{
    size_t most = bytes.size < V1_BYTES_MAX ? bytes.size : V1_BYTES_MAX;
    const uint8_t *end = memchr(bytes.data, '\n', most);
    if (end == NULL) {
        return most == V1_BYTES_MAX ? PROXY_MALFORMED : PROXY_MORE;
    }
    size_t start = sizeof v1_start - 1, size = (size_t)(end - bytes.data);
    if (size <= start || end[-1] != '\r') {
        return PROXY_MALFORMED;
    }
    out->size = size + 1;
    bool is_sound = read_line(span_of(bytes.data + start, size - 1 - start), out);
    return is_sound ? PROXY_WHOLE : PROXY_MALFORMED;
}

/* ---- version 2 ------------------------------------------------------------------------------- */

enum {
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_UNSPECIFIED = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_UNIX_STREAM = 0x31,
};

static enum proxy_verdict read_v2_address(uint8_t family, struct span addresses,
                                          struct proxy_header *out)
{
    switch (family) {
    case V2_UNSPECIFIED:
    case V2_UNIX_STREAM:
        return PROXY_WHOLE;
    case V2_TCP4:
        if (addresses.size < 12) {
            return PROXY_MALFORMED;
        }
        out->address = address_of_v4(addresses.data);
        break;
    case V2_TCP6:
        if (addresses.size < 36) {
            return PROXY_MALFORMED;
        }
        memcpy(out->address.bytes, addresses.data, ADDRESS_BYTES);
        break;
    default:
        return PROXY_MALFORMED; /* datagrams, and what the future brings */
    }
    out->has_address = true;
    return PROXY_WHOLE;
}

static enum proxy_verdict read_v2(struct span bytes, struct proxy_header *out)
{
    if (bytes.size < V2_HEAD) {
        return PROXY_MORE;
    }
    uint8_t command = bytes.data[12], family = bytes.data[13];
    size_t length = read_be16(bytes.data + 14);
    if ((command != V2_LOCAL && command != V2_PROXY) || length > PROXY_HEADER_BYTES_MAX - V2_HEAD) {
        return PROXY_MALFORMED;
    }
    if (bytes.size - V2_HEAD < length) {
        return PROXY_MORE;
    }
    out->size = V2_HEAD + length;
    if (command == V2_LOCAL) {
        return PROXY_WHOLE;
    }
    return read_v2_address(family, span_of(bytes.data + V2_HEAD, length), out);
}

enum proxy_verdict proxy_header_read(struct span bytes, struct proxy_header *out)
{
    *out = (struct proxy_header){0};
    if (bytes.size == 0) {
        return PROXY_MORE;
    }
    if (agrees(bytes, v1_start, sizeof v1_start - 1)) {
        return read_v1(bytes, out);
    }
    return agrees(bytes, v2_signature, sizeof v2_signature) ? read_v2(bytes, out) : PROXY_MALFORMED;
}
