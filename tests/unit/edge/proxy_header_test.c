/*
 * proxy_header_test.c - headers of the PROXY protocol, whole, cut anywhere, and wrong.
 */
#include "arrive/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
/* 198.51.100.7:56324 to 192.0.2.1:443 */
#define V4_ADDRESSES "\xc6\x33\x64\x07\xc0\x00\x02\x01\xdc\x04\x01\xbb"
#define V6_ADDRESSES                             \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb"
#define BYTES(text)                               \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static const struct {
    struct span bytes;
    const char *address; /* NULL: none */
} sound[] = {
    {BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n"), "198.51.100.7"},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255"},
    {BYTES("PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"), "2001:db8::7"},
    {BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {BYTES("PROXY UNKNOWN\r\n"), NULL},
    {BYTES("PROXY UNKNOWN ffff::1 anything at all\r\n"), NULL},
    {BYTES(SIGNATURE "\x21\x11\0\x0c" V4_ADDRESSES), "198.51.100.7"},
    {BYTES(SIGNATURE "\x21\x21\0\x24" V6_ADDRESSES), "2001:db8::7"},
    {BYTES(SIGNATURE "\x21\x11\0\x13" V4_ADDRESSES "\x04\0\x04more"), "198.51.100.7"},
    {BYTES(SIGNATURE "\x20\0\0\0"), NULL},
    {BYTES(SIGNATURE "\x20\x11\0\x0c" V4_ADDRESSES), NULL}, /* LOCAL: the proxy's own check */
    {BYTES(SIGNATURE "\x21\0\0\0"), NULL},
    {BYTES(SIGNATURE "\x21\x31\0\x02//"), NULL},
};

static const struct span broken[] = {
    BYTES("GET / HTTP/1.1\r\n"),
    BYTES("PROXY\r\n"),
    BYTES("PROXY \r\n"),
    BYTES("proxy TCP4 198.51.100.7 192.0.2.1 56324 443\r\n"),
    BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\n"),
    BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 56324\r\n"),
    BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 56324 443 1\r\n"),
    BYTES("PROXY TCP4 198.51.100.7  192.0.2.1 56324 443\r\n"),
    BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 56324 65536\r\n"),
    BYTES("PROXY TCP4 198.51.100.7 192.0.2.1 56324 -1\r\n"),
    BYTES("PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n"),
    BYTES("PROXY TCP4 localhost 192.0.2.1 56324 443\r\n"),
    BYTES("PROXY TCP5 198.51.100.7 192.0.2.1 56324 443\r\n"),
    BYTES("PROXY UDP4 198.51.100.7 192.0.2.1 56324 443\r\n"),
    BYTES("\r\n\r\n\0\r\nQUIT\r"),
    BYTES(SIGNATURE "\x11\x11\0\x0c" V4_ADDRESSES), /* version 1 in a header of version 2 */
    BYTES(SIGNATURE "\x22\x11\0\x0c" V4_ADDRESSES), /* no such command */
    BYTES(SIGNATURE "\x21\x11\0\x0b" V4_ADDRESSES), /* too short for two addresses */
    BYTES(SIGNATURE "\x21\x21\0\x0c" V4_ADDRESSES),
    BYTES(SIGNATURE "\x21\x12\0\x0c" V4_ADDRESSES),   /* a datagram */
    BYTES(SIGNATURE "\x21\x41\0\x0c" V4_ADDRESSES),   /* no such family */
    BYTES(SIGNATURE "\x21\x11\xff\xff" V4_ADDRESSES), /* more than any network takes */
};

/* From memory of its own, so that reading beyond it is seen. */
static enum proxy_verdict read_exactly(struct span bytes, size_t size, struct proxy_header *out)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    assert_non_null(copy);
    memcpy(copy, bytes.data, size);
    enum proxy_verdict verdict = proxy_header_read(span_of(copy, size), out);
    free(copy);
    return verdict;
}

/* A header is known whole at its last byte, and never before; what follows is not looked at. */
static void sound_headers_are_read(void **state)
{
    (void)state;
    struct proxy_header header;
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        struct span bytes = sound[i].bytes;
        for (size_t size = 0; size < bytes.size; size++) {
            assert_int_equal(read_exactly(bytes, size, &header), PROXY_MORE);
        }
        char shown[ADDRESS_TEXT_BYTES];
        uint8_t more[PROXY_HEADER_BYTES_MAX];
        memset(more, 'x', sizeof more);
        memcpy(more, bytes.data, bytes.size);
        for (size_t extra = 0; extra <= 20; extra += 20) {
            assert_int_equal(read_exactly(span_of(more, sizeof more), bytes.size + extra, &header),
                             PROXY_WHOLE);
            assert_int_equal(header.size, bytes.size);
            assert_int_equal(header.has_address, sound[i].address != NULL);
        }
        if (sound[i].address != NULL) {
            address_format(&header.address, shown);
            assert_string_equal(shown, sound[i].address);
        }
    }
}

/* Whatever else comes is refused, at its end at the latest. */
static void broken_headers_are_refused(void **state)
{
    (void)state;
    struct proxy_header header;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        if (read_exactly(broken[i], broken[i].size, &header) != PROXY_MALFORMED) {
            fail_msg("case %zu was taken", i);
        }
    }
}

/* A header that never ends is refused while there is room for it. */
static void endless_headers_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[PROXY_HEADER_BYTES_MAX];
    struct proxy_header header;
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, "PROXY UNKNOWN", 13);
    assert_int_equal(read_exactly(span_of(bytes, sizeof bytes), 106, &header), PROXY_MORE);
    assert_int_equal(read_exactly(span_of(bytes, sizeof bytes), 107, &header), PROXY_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_headers_are_read),
        cmocka_unit_test(broken_headers_are_refused),
        cmocka_unit_test(endless_headers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
