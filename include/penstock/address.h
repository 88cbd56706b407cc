/*
 * address.h - an IP address as one value, and networks of them.
 *
 * IPv4 is kept in its IPv6 form (::ffff:192.0.2.1, RFC 4291 section 2.5.5.2), so that an address
 * has one length, and a client that comes through a dual-stack socket or a proxy is the same
 * client.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_ADDRESS_H
#define PENSTOCK_ADDRESS_H

#include "penstock/bytes.h"
#include "penstock/status.h"

#include <sys/socket.h>

#define ADDRESS_BYTES      16
#define ADDRESS_TEXT_BYTES 46 /* INET6_ADDRSTRLEN, with the terminating zero */
#define NETWORKS_MAX       64 /* of one list */

struct address {
    uint8_t bytes[ADDRESS_BYTES];
};

struct network {
    struct address base;
    unsigned prefix_bits; /* of 128: an IPv4 network's own bits and 96 */
};

struct network_list {
    struct network networks[NETWORKS_MAX];
    size_t count;
};

/* "192.0.2.1", "2001:db8::1"; nothing before or behind it. */
bool address_parse(struct span text, struct address *out);
/* The same with a port that is passed over: "192.0.2.1:80", "[2001:db8::1]:80", "[2001:db8::1]". */
bool address_parse_host(struct span text, struct address *out);
/* False: neither IPv4 nor IPv6. */
bool address_of_socket(const struct sockaddr *from, struct address *out);
struct address address_of_v4(const uint8_t bytes[4]);
bool address_is_v4(const struct address *address);
bool address_equals(const struct address *a, const struct address *b);
void address_format(const struct address *address, char out[ADDRESS_TEXT_BYTES]);
/* An IPv6 address with all but its first bits cleared; an IPv4 address as it is. */
struct address address_shorten(const struct address *address, unsigned prefix_bits);

/* "192.0.2.0/24, 2001:db8::/32, ::1": networks and addresses, between them commas or blanks.
 * BAD_CONFIG names the one that is none. */
enum status network_list_parse(struct span text, struct network_list *out,
                               struct problem *problem) must_use;
bool network_list_contains(const struct network_list *list, const struct address *address);

#endif
