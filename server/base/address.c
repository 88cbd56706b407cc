/*
 * address.c - addresses from text and sockets, and which networks they are in.
 */
#include "penstock/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* ---- addresses ------------------------------------------------------------------------------- */

struct address address_of_v4(const uint8_t bytes[4])
{
    struct address address;
    memcpy(address.bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(address.bytes + sizeof mapped_prefix, bytes, 4);
    return address;
}

bool address_is_v4(const struct address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool address_equals(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, ADDRESS_BYTES) == 0;
}

/* inet_pton(3) takes a terminated string, and no zone ("%eth0") in IPv6. */
bool address_parse(struct span text, struct address *out)
{
    char copy[ADDRESS_TEXT_BYTES];
    uint8_t v4[4];
    if (text.size == 0 || text.size >= sizeof copy || memchr(text.data, '\0', text.size) != NULL) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (inet_pton(AF_INET, copy, v4) == 1) {
        *out = address_of_v4(v4);
        return true;
    }
    return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

static bool is_port(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.size >= 1 && text.size <= 5;
}

bool address_parse_host(struct span text, struct address *out)
{
    if (text.size == 0) {
        return false;
    }
    bool is_bracketed = text.data[0] == '[';
    const uint8_t *end = memchr(text.data, is_bracketed ? ']' : ':', text.size);
    if (end == NULL || (!is_bracketed &&
                        memchr(end + 1, ':', text.size - (size_t)(end + 1 - text.data)) != NULL)) {
        return address_parse(text, out); /* no port, or IPv6 without brackets */
    }
    size_t size = (size_t)(end - text.data);
    struct span host = is_bracketed ? span_of(text.data + 1, size - 1) : span_of(text.data, size);
    struct span rest = span_of(end, text.size - size);
    if (is_bracketed) {
        rest = span_of(rest.data + 1, rest.size - 1);
    }
    bool has_port = rest.size > 0;
    if (has_port && (rest.data[0] != ':' || !is_port(span_of(rest.data + 1, rest.size - 1)))) {
        return false;
    }
    return address_parse(host, out) && address_is_v4(out) != is_bracketed;
}

bool address_of_socket(const struct sockaddr *from, struct address *out)
{
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        *out = address_of_v4((const uint8_t *)&v4->sin_addr.s_addr);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(out->bytes, v6->sin6_addr.s6_addr, ADDRESS_BYTES);
        return true;
    }
    return false;
}

void address_format(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    if (address_is_v4(address)) {
        (void)inet_ntop(AF_INET, address->bytes + sizeof mapped_prefix, out, ADDRESS_TEXT_BYTES);
    } else {
        (void)inet_ntop(AF_INET6, address->bytes, out, ADDRESS_TEXT_BYTES);
    }
}

struct address address_shorten(const struct address *address, unsigned prefix_bits)
{
    struct address out = *address;
    if (address_is_v4(address)) {
        return out;
    }
    for (unsigned i = 0; i < ADDRESS_BYTES; i++) {
        unsigned kept = prefix_bits <= 8 * i ? 0 : prefix_bits - 8 * i;
        if (kept < 8) {
            out.bytes[i] &= (uint8_t)(0xff00u >> kept);
        }
    }
    return out;
}

/* ---- networks -------------------------------------------------------------------------------- */

static bool prefix_parse(struct span text, unsigned most, unsigned *out)
{
    unsigned bits = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        bits = bits * 10 + (text.data[i] - '0');
    }
    *out = bits;
    return text.size >= 1 && text.size <= 3 && bits <= most;
}

static bool shares_prefix(const struct address *a, const struct address *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a->bytes, b->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || ((a->bytes[whole] ^ b->bytes[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

static bool network_parse(struct span text, struct network *out)
{
    const uint8_t *slash = memchr(text.data, '/', text.size);
    size_t size = slash == NULL ? text.size : (size_t)(slash - text.data);
    if (!address_parse(span_of(text.data, size), &out->base)) {
        return false;
    }
    /* ::ffff:0:0/96 and the like are written as IPv4 by people, and so are they here. */
    unsigned before = address_is_v4(&out->base) && memchr(text.data, ':', size) == NULL ? 96 : 0;
    unsigned bits = 128 - before;
    if (slash != NULL &&
        !prefix_parse(span_of(slash + 1, text.size - size - 1), 128 - before, &bits)) {
        return false;
    }
    out->prefix_bits = before + bits;
    return true;
}

static bool is_between(uint8_t c)
{
    return c == ',' || c == ' ' || c == '\t';
}

/* Takes the next word off the list; size 0: none is left. */
static struct span next_word(struct span *text)
{
    while (text->size > 0 && is_between(text->data[0])) {
        *text = span_of(text->data + 1, text->size - 1);
    }
    size_t size = 0;
    while (size < text->size && !is_between(text->data[size])) {
        size++;
    }
    struct span word = span_of(text->data, size);
    *text = span_of(text->data + size, text->size - size);
    return word;
}

enum status network_list_parse(struct span text, struct network_list *out, struct problem *problem)
{
    out->count = 0;
    for (struct span word; (word = next_word(&text)).size > 0;) {
        if (out->count == NETWORKS_MAX) {
            return problem_set(problem, STATUS_BAD_CONFIG, "a list has at most %d networks",
                               NETWORKS_MAX);
        }
        if (!network_parse(word, &out->networks[out->count])) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "\"%.*s\" is no address and no network: write 192.0.2.1, "
                               "192.0.2.0/24 or 2001:db8::/32",
                               word.size > 60 ? 60 : (int)word.size, (const char *)word.data);
        }
        out->count++;
    }
    return STATUS_OK;
}

bool network_list_contains(const struct network_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct network *network = &list->networks[i];
        if (shares_prefix(address, &network->base, network->prefix_bits)) {
            return true;
        }
    }
    return false;
}
