/*
 * limits_test.c - buckets by a clock of the test's own, and the table, alone and with threads.
 */
#include "arrive/limits.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000000)

static struct limits *limits;
static struct settings settings;
static struct limit_rates rates;
static int64_t wait_ns;

static void open_limits(void)
{
    struct problem problem;
    settings.burst_s = settings.burst_s == 0 ? 1 : settings.burst_s;
    settings.address_prefix = 64;
    settings.connections = settings.connections == 0 ? 100 : settings.connections;
    limit_rates_read(&settings, &rates);
    assert_int_equal(limits_create(&settings, 1, &limits, &problem), STATUS_OK);
}

static int reset(void **state)
{
    (void)state;
    settings = (struct settings){0};
    return 0;
}

static int close_limits(void **state)
{
    (void)state;
    limits_destroy(limits);
    limits = NULL;
    return 0;
}

static struct address address_of(const char *text)
{
    struct address address;
    assert_true(address_parse(span_string(text), &address));
    return address;
}

static enum limit join(const char *address, int64_t now_ns, struct limit_entry **out)
{
    struct address parsed = address_of(address);
    return limits_join_address(limits, &rates, &parsed, now_ns, out, &wait_ns);
}

/* ---- buckets --------------------------------------------------------------------------------- */

/* A full bucket gives its burst at once, then what drips in; the wait that it tells is exact. */
static void a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
    (void)state;
    struct rate rate = rate_of(100, 2); /* 200 at once, then one each 10 ms */
    int64_t full_at = 0, now = 5 * SECOND;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(bucket_take(&full_at, &rate, 1, now), 0);
    }
    assert_int_equal(bucket_take(&full_at, &rate, 1, now), SECOND / 100);
    assert_int_equal(bucket_take(&full_at, &rate, 5, now), 5 * SECOND / 100);
    now += SECOND / 100;
    assert_int_equal(bucket_take(&full_at, &rate, 1, now), 0);
    assert_true(bucket_take(&full_at, &rate, 1, now) > 0);
    now += 100 * SECOND; /* it never holds more than the burst */
    assert_int_equal(bucket_take(&full_at, &rate, 200, now), 0);
    assert_true(bucket_take(&full_at, &rate, 1, now) > 0);
}

/* What is larger than the bucket is taken from a full one, and paid for afterwards. */
static void no_message_is_too_large_for_a_rate(void **state)
{
    (void)state;
    struct rate rate = rate_of(1000, 1);
    int64_t full_at = 0, now = SECOND;
    assert_int_equal(bucket_take(&full_at, &rate, 10000, now), 0);
    assert_int_equal(bucket_take(&full_at, &rate, 1000, now), 10 * SECOND);
    assert_int_equal(bucket_take(&full_at, &rate, 1, now + 9 * SECOND), SECOND / 1000);
    assert_int_equal(bucket_take(&full_at, &rate, 1, now + 9 * SECOND + SECOND / 1000), 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* An address has so many connections; another is not concerned; who leaves makes room. */
static void connections_of_an_address_are_limited(void **state)
{
    (void)state;
    struct limit_entry *entries[3], *other;
    settings.address_connections = 3;
    open_limits();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(join("192.0.2.1", 0, &entries[i]), LIMIT_NONE);
        assert_ptr_equal(entries[i], entries[0]);
    }
    assert_int_equal(join("192.0.2.1", 0, &other), LIMIT_ADDRESS_CONNECTIONS);
    assert_null(other);
    assert_true(wait_ns > 0);
    assert_int_equal(join("192.0.2.2", 0, &other), LIMIT_NONE);
    limits_leave(limits, entries[0]);
    assert_int_equal(join("::ffff:192.0.2.1", 0, &other), LIMIT_NONE); /* it is the same client */
    assert_int_equal(join("192.0.2.1", 0, &other), LIMIT_ADDRESS_CONNECTIONS);
}

/* An IPv6 client has a whole /64: its addresses are one. */
static void ipv6_clients_are_networks(void **state)
{
    (void)state;
    struct limit_entry *entry;
    settings.address_connections = 1;
    open_limits();
    assert_int_equal(join("2001:db8:0:1::1", 0, &entry), LIMIT_NONE);
    assert_int_equal(join("2001:db8:0:1:ffff::2", 0, &entry), LIMIT_ADDRESS_CONNECTIONS);
    assert_int_equal(join("2001:db8:0:2::1", 0, &entry), LIMIT_NONE);
}

/* New connections are limited by time, and leaving at once does not help. */
static void connection_rates_outlive_connections(void **state)
{
    (void)state;
    struct limit_entry *entry;
    settings.address_connects_per_s = 5;
    open_limits();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(join("192.0.2.1", SECOND, &entry), LIMIT_NONE);
        limits_leave(limits, entry);
    }
    assert_int_equal(join("192.0.2.1", SECOND, &entry), LIMIT_ADDRESS_CONNECTS);
    assert_int_equal(wait_ns, SECOND / 5);
    assert_int_equal(join("192.0.2.1", SECOND + wait_ns, &entry), LIMIT_NONE);
}

/* Users are counted by name, however long, and never taken for an address. */
static void users_are_counted_by_name(void **state)
{
    (void)state;
    char name[4000];
    struct limit_entry *entry, *of_address;
    settings.user_connections = 1;
    settings.address_connections = 1;
    open_limits();
    memset(name, 'n', sizeof name);
    struct span user = span_of(name, sizeof name), other = span_of(name, sizeof name - 1);
    assert_int_equal(limits_join_user(limits, &rates, user, 0, &entry, &wait_ns), LIMIT_NONE);
    assert_int_equal(limits_join_user(limits, &rates, other, 0, &entry, &wait_ns), LIMIT_NONE);
    assert_int_equal(limits_join_user(limits, &rates, user, 0, &entry, &wait_ns),
                     LIMIT_USER_CONNECTIONS);
    assert_int_equal(join("192.0.2.1", 0, &of_address), LIMIT_NONE);
}

/* Connections are counted before anything limits them: a limit that comes with a reload holds for
 * those that are there, and one that goes lets the next in. */
static void limits_that_come_later_find_everybody_counted(void **state)
{
    (void)state;
    struct limit_entry *first, *second, *third;
    settings.messages_per_s = 10; /* of a connection: its own bucket */
    open_limits();
    assert_true(rates.is_any);
    assert_int_equal(join("192.0.2.1", 0, &first), LIMIT_NONE);
    assert_int_equal(join("192.0.2.1", 0, &second), LIMIT_NONE);
    assert_non_null(first);
    assert_ptr_equal(first, second);
    settings.address_connections = 2;
    limit_rates_read(&settings, &rates);
    assert_int_equal(join("192.0.2.1", 0, &third), LIMIT_ADDRESS_CONNECTIONS);
    limits_leave(limits, first);
    assert_int_equal(join("192.0.2.1", 0, &third), LIMIT_NONE);
    settings.address_connections = 0;
    limit_rates_read(&settings, &rates);
    assert_int_equal(join("192.0.2.1", 0, &first), LIMIT_NONE);
    assert_false(limits_take_overflow(limits));
}

/* Many more addresses than the table has room for come and go: each finds a place, and those that
 * stay keep theirs. */
static void addresses_that_are_gone_make_room(void **state)
{
    (void)state;
    char text[32];
    struct limit_entry *staying[50], *entry;
    settings.address_connections = 1;
    open_limits();
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "10.9.0.%d", i);
        assert_int_equal(join(text, 0, &staying[i]), LIMIT_NONE);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250);
        assert_int_equal(join(text, i, &entry), LIMIT_NONE);
        limits_leave(limits, entry);
    }
    assert_false(limits_take_overflow(limits));
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "10.9.0.%d", i);
        assert_int_equal(join(text, 0, &entry), LIMIT_ADDRESS_CONNECTIONS);
        limits_leave(limits, staying[i]);
    }
}

/* With more connected addresses than it holds, the table says so, and lets the others in. */
static void a_full_table_lets_in_and_says_so(void **state)
{
    (void)state;
    char text[32];
    struct limit_entry *entry;
    int without = 0;
    settings.address_connections = 1;
    open_limits(); /* 1,024 entries */
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250);
        assert_int_equal(join(text, 0, &entry), LIMIT_NONE);
        without += entry == NULL;
    }
    assert_true(without >= 5000 - 1024);
    assert_true(limits_take_overflow(limits));
    assert_false(limits_take_overflow(limits));
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 20000 };

struct crowd {
    _Atomic uint64_t taken, joined;
    _Atomic int inside;
    _Atomic int most_inside;
};

static void *come_and_go(void *argument)
{
    struct crowd *crowd = argument;
    struct address address = address_of("192.0.2.1");
    const struct rate *rate = &rates.holder[HOLDER_ADDRESS][MEASURE_MESSAGES];
    for (int i = 0; i < ROUNDS; i++) {
        struct limit_entry *entry;
        int64_t wait;
        if (limits_join_address(limits, &rates, &address, 0, &entry, &wait) != LIMIT_NONE) {
            continue;
        }
        atomic_fetch_add(&crowd->joined, 1);
        int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        int most = atomic_load(&crowd->most_inside);
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most_inside, &most, inside)) {
            continue;
        }
        if (bucket_take_shared(&entry->full_at_ns[MEASURE_MESSAGES], rate, 1, 0) == 0) {
            atomic_fetch_add(&crowd->taken, 1);
        }
        atomic_fetch_sub(&crowd->inside, 1);
        limits_leave(limits, entry);
    }
    return NULL;
}

/* Edges share an address's connections and buckets: together they never take more than there is. */
static void threads_never_take_too_much(void **state)
{
    (void)state;
    struct crowd crowd = {0};
    pthread_t threads[THREADS];
    settings.address_connections = 2;
    settings.address_messages_per_s = 1000;
    open_limits();
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&crowd.joined) >= ROUNDS); /* the last one alone is never refused */
    assert_true(atomic_load(&crowd.most_inside) <= 2);
    assert_int_equal(atomic_load(&crowd.taken), 1000); /* the test's clock stands still */
    struct limit_entry *entry;
    assert_int_equal(join("192.0.2.1", 0, &entry), LIMIT_NONE);
    assert_int_equal(entry->connections, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, close_limits)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_gives_its_burst_and_then_its_rate),
        cmocka_unit_test(no_message_is_too_large_for_a_rate),
        TEST(connections_of_an_address_are_limited),
        TEST(ipv6_clients_are_networks),
        TEST(connection_rates_outlive_connections),
        TEST(users_are_counted_by_name),
        TEST(limits_that_come_later_find_everybody_counted),
        TEST(addresses_that_are_gone_make_room),
        TEST(a_full_table_lets_in_and_says_so),
        TEST(threads_never_take_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
