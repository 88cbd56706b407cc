/*
 * arrival_fuzz.c - any bytes as a PROXY header, as X-Forwarded-For, as a list of networks, as the
 * headers of an upgrade. The first byte says as which:
 *   - a PROXY header that is whole lies inside the bytes, is incomplete at every shorter prefix,
 *     and is the same whatever follows; what is malformed stays so;
 *   - an address that is read is shown in a form that reads as the same address;
 *   - the client behind proxies is the peer, or an address that stands in the header; behind a
 *     stranger it is always the peer;
 *   - a list of networks contains the bases of all its networks;
 *   - an upgrade that is taken keeps the rules of RFC 6455 that can be seen in it, and one that is
 *     not has a sentence.
 */
#include "arrive/forwarded.h"
#include "arrive/proxy_header.h"
#include "arrive/upgrade_check.h"

#include "../fuzz.h"

unsigned long fuzz_taken;

static void check_address(const struct address *address)
{
    char shown[ADDRESS_TEXT_BYTES];
    struct address again;
    address_format(address, shown);
    check(address_parse(span_string(shown), &again) && address_equals(address, &again));
    check(address_parse_host(span_string(shown), &again) && address_equals(address, &again));
    struct address most = address_shorten(address, 128);
    check(address_equals(&most, address));
}

/* ---- PROXY headers --------------------------------------------------------------------------- */

static void fuzz_proxy_header(struct span bytes)
{
    struct proxy_header header, other;
    bytes.size = bytes.size < PROXY_HEADER_BYTES_MAX ? bytes.size : PROXY_HEADER_BYTES_MAX;
    enum proxy_verdict verdict = proxy_header_read(bytes, &header);
    if (verdict == PROXY_WHOLE) {
        check(header.size > 0 && header.size <= bytes.size);
        check(proxy_header_read(span_of(bytes.data, header.size), &other) == PROXY_WHOLE);
        check(other.size == header.size && other.has_address == header.has_address);
        for (size_t size = 0; size < header.size; size++) {
            check(proxy_header_read(span_of(bytes.data, size), &other) == PROXY_MORE);
        }
    }
    if (verdict == PROXY_WHOLE && header.has_address) {
        check_address(&header.address);
        fuzz_taken++;
    }
    /* Until it is malformed for the first time it is incomplete, and afterwards it stays so. */
    for (size_t size = bytes.size; verdict == PROXY_MALFORMED && size > 0; size--) {
        enum proxy_verdict before = proxy_header_read(span_of(bytes.data, size - 1), &other);
        check(before != PROXY_WHOLE);
        verdict = before;
    }
}

/* ---- X-Forwarded-For ------------------------------------------------------------------------- */

static bool stands_in(const struct address *address, struct span list)
{
    for (size_t start = 0; start < list.size; start++) {
        for (size_t end = start + 1; end <= list.size && end - start < ADDRESS_TEXT_BYTES; end++) {
            struct address one;
            if (address_parse(span_of(list.data + start, end - start), &one) &&
                address_equals(&one, address)) {
                return true;
            }
        }
    }
    return false;
}

static void fuzz_forwarded(struct span header)
{
    struct network_list trusted = {.count = 0};
    struct problem problem;
    struct address peer, client;
    check(address_parse(span_string("10.0.0.1"), &peer));
    client = forwarded_client(&peer, header, &trusted);
    check(address_equals(&client, &peer)); /* nobody is trusted */
    check(network_list_parse(span_string("10.0.0.0/8 2001:db8::/32"), &trusted, &problem) ==
          STATUS_OK);
    client = forwarded_client(&peer, header, &trusted);
    check(address_equals(&client, &peer) || header.size > 200 || stands_in(&client, header));
    check_address(&client);
}

/* ---- networks -------------------------------------------------------------------------------- */

static void fuzz_networks(struct span text)
{
    struct network_list list;
    struct problem problem;
    if (network_list_parse(text, &list, &problem) != STATUS_OK) {
        check(problem.text[0] != '\0');
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        check(list.networks[i].prefix_bits <= 128);
        check(network_list_contains(&list, &list.networks[i].base));
        check_address(&list.networks[i].base);
    }
    fuzz_taken++;
}

/* ---- upgrades -------------------------------------------------------------------------------- */

static void fuzz_upgrade(struct span text)
{
    struct problem problem;
    struct upgrade_request request = {.is_get = true};
    struct span *const lines[] = {&request.path,        &request.version,    &request.host,
                                  &request.upgrade,     &request.connection, &request.key,
                                  &request.key_version, &request.protocols,  &request.producer};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        *lines[i] = span_take(&text, '\n');
    }
    request.has_producer = request.producer.size > 0;
    int status = upgrade_check(&request, &problem);
    if (status != 0) {
        check(status >= 400 && status < 500 && problem.text[0] != '\0');
        return;
    }
    check(span_is(request.path, UPGRADE_PATH) && span_is(request.version, "HTTP/1.1"));
    check(span_is(request.key_version, "13") && request.key.size == 24);
    check(request.upgrade.size == 9 && request.connection.size >= 7);
    check(memchr(request.host.data, ',', request.host.size) == NULL);
    check(request.producer.size <= PRODUCER_BYTES_MAX && utf8_valid(request.producer));
    request.has_body = true;
    check(upgrade_check(&request, &problem) == 400);
    fuzz_taken++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FUZZ_BYTES_MAX) {
        return 0;
    }
    struct span bytes = span_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        fuzz_proxy_header(bytes);
        break;
    case 1:
        fuzz_forwarded(bytes);
        break;
    case 2:
        fuzz_networks(bytes);
        break;
    default:
        fuzz_upgrade(bytes);
        break;
    }
    return 0;
}
