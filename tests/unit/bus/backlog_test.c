/* backlog_test.c - what waits for other nodes goes out in order, packed, and never beyond its room.
 */
#include "bus_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t key[SEAL_KEY_BYTES] = {1};
static const uint8_t incarnation[SEAL_INCARNATION_BYTES] = {2};
static struct backlog *backlog;
static struct seal *opener;

static int start(void **state)
{
    (void)state;
    struct problem problem;
    size_t size = (sizeof *backlog + CACHE_LINE_BYTES - 1) & ~(size_t)(CACHE_LINE_BYTES - 1);
    backlog = aligned_alloc(CACHE_LINE_BYTES, size);
    memset(backlog, 0, sizeof *backlog);
    assert_int_equal(backlog_init(backlog, &problem), STATUS_OK);
    assert_int_equal(
        seal_create(SEAL_CLOSES, key, span_string("n"), incarnation, &backlog->seal, &problem),
        STATUS_OK);
    assert_int_equal(seal_create(SEAL_OPENS, key, span_string("n"), incarnation, &opener, &problem),
                     STATUS_OK);
    backlog->is_open = true;
    return 0;
}

static int end(void **state)
{
    (void)state;
    backlog_fini(backlog);
    free(backlog);
    seal_destroy(opener);
    return 0;
}

static bool put(const char *data, size_t padding)
{
    static uint8_t room[BUS_DATA_BYTES];
    uint8_t session[BUS_SESSION_BYTES] = {7};
    struct writer out = writer_of(room, sizeof room);
    writer_string(&out, data);
    memset(writer_take(&out, padding), '.', padding);
    struct item item = {.kind = ITEM_BROADCAST,
                        .session = session,
                        .channel = span_string("c"),
                        .data = writer_span(&out)};
    return backlog_put(backlog, &item);
}

/* Opens the payloads, expects numbered items in them from `*next` on. Returns how many. */
static size_t check(const struct span *payloads, size_t count, unsigned *next)
{
    size_t seen = 0;
    uint8_t room[SEAL_TEXT_BYTES_MAX], plain[SEAL_PLAIN_BYTES_MAX];
    for (size_t i = 0; i < count; i++) {
        struct envelope envelope;
        struct writer out = writer_of(plain, sizeof plain);
        assert_true(envelope_read(payloads[i], room, &envelope));
        assert_true(seal_open(opener, &envelope, &out));
        struct span rest = writer_span(&out);
        struct item item;
        while (rest.size > 0) {
            assert_true(item_read(&rest, &item));
            assert_int_equal(item.kind, ITEM_BROADCAST);
            assert_int_equal(atoi((const char *)item.data.data), (int)(*next)++);
            seen++;
        }
    }
    return seen;
}

/* Small items share a payload; payloads come one behind the other, with ascending counters. */
static void items_are_packed_in_order(void **state)
{
    (void)state;
    char number[16];
    unsigned next = 1000;
    struct span payloads[BUS_PAYLOADS_MAX];
    for (unsigned i = 1000; i < 2000; i++) {
        snprintf(number, sizeof number, "%u.", i);
        assert_true(put(number, 40));
    }
    size_t seen = 0, transactions = 0;
    while (!backlog_is_empty(backlog)) {
        size_t count = backlog_take(backlog, 1, payloads);
        assert_in_range(count, 1, BUS_PAYLOADS_MAX);
        seen += check(payloads, count, &next);
        transactions++;
    }
    assert_int_equal(seen, 1000);
    assert_int_equal(transactions, 1);
    assert_true(backlog->counter < 16);
    assert_int_equal(backlog->broadcasts, 0);
}

/* The largest item fits; a full backlog takes no more until something has left it. */
static void a_full_backlog_takes_no_more(void **state)
{
    (void)state;
    unsigned count = 0, next = 1000;
    char number[16];
    struct span payloads[BUS_PAYLOADS_MAX];
    for (; backlog_has_room(backlog); count++) {
        snprintf(number, sizeof number, "%u.", 1000 + count);
        assert_true(put(number, BUS_DATA_BYTES - 5));
    }
    assert_in_range(count, 50, 70);
    assert_false(put("1", 0));
    assert_int_equal(check(payloads, backlog_take(backlog, 1, payloads), &next), BUS_PAYLOADS_MAX);
    assert_true(backlog_has_room(backlog));
}

/* Without a connection, what waited is lost, and counted; nothing is kept. */
static void a_closed_backlog_keeps_nothing(void **state)
{
    (void)state;
    struct span payloads[BUS_PAYLOADS_MAX];
    assert_true(put("1", 0));
    assert_true(put("2", 0));
    assert_int_equal(backlog_close(backlog), 2);
    assert_true(backlog_is_empty(backlog));
    assert_false(put("3", 0));
    assert_true(backlog_has_room(backlog)); /* nobody needs to wait */
    backlog->is_open = true;
    assert_int_equal(backlog_take(backlog, 1, payloads), 0);
}

/* Items that are cut short, or of a kind that is to come, do no harm. */
static void broken_items_are_not_read(void **state)
{
    (void)state;
    uint8_t room[ITEM_BYTES_MAX], session[BUS_SESSION_BYTES] = {1};
    struct item item = {.kind = ITEM_JOIN,
                        .session = session,
                        .channel = span_string("channel"),
                        .user = span_string("user"),
                        .joined_ms = 12};
    struct writer out = writer_of(room, sizeof room);
    item_write(&out, &item);
    for (size_t size = 0; size < writer_size(&out); size++) {
        struct span cut = span_of(room, size);
        assert_false(item_read(&cut, &item));
        if (size > 3) { /* as if that were all of it */
            uint16_t body = htobe16((uint16_t)(size - 3));
            memcpy(room + 1, &body, sizeof body);
            cut = span_of(room, size);
            assert_false(item_read(&cut, &item));
        }
        uint16_t whole = htobe16((uint16_t)(writer_size(&out) - 3));
        memcpy(room + 1, &whole, sizeof whole);
    }
    struct span rest = writer_span(&out);
    assert_true(item_read(&rest, &item));
    assert_true(span_is(item.user, "user") && item.joined_ms == 12 && rest.size == 0);
    room[0] = 200;
    rest = writer_span(&out);
    assert_true(item_read(&rest, &item));
    assert_int_equal(item.kind, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(items_are_packed_in_order, start, end),
        cmocka_unit_test_setup_teardown(a_full_backlog_takes_no_more, start, end),
        cmocka_unit_test_setup_teardown(a_closed_backlog_keeps_nothing, start, end),
        cmocka_unit_test_setup_teardown(broken_items_are_not_read, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
