/*
 * channels_test.c - many channels, and such whose hashes are equal, are told apart.
 */
#include "window_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* 100,000 channels, a cursor each, opened and closed in different orders: each event finds its own.
 */
static void many_channels_are_told_apart(void **state)
{
    (void)state;
    enum { CHANNELS = 100000 };
    struct fixture f;
    char name[32];
    open_window(&f, 64 << 20, CHANNELS);
    struct cursor **cursors = calloc(CHANNELS, sizeof(struct cursor *));
    for (unsigned i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof name, "user:%u", i);
        cursors[i] = follow(&f, name, CURSOR_LIVE, NULL);
    }
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (i % 3 == 0) {
            cursor_close(cursors[i]);
            cursors[i] = NULL;
        }
    }
    for (unsigned i = 0; i < CHANNELS; i += 7) {
        snprintf(name, sizeof name, "user:%u", i);
        append(&f, name, 1);
    }
    window_reader_advance(f.reader);
    uint64_t offset = 0;
    for (unsigned i = 0; i < CHANNELS; i++) {
        offset += i % 7 == 0;
        if (cursors[i] != NULL && i % 7 == 0) {
            expect_entry(cursors[i], offset);
        }
        if (cursors[i] != NULL) {
            expect_end(cursors[i]);
        }
    }
    free(cursors);
    close_window(&f);
}

struct hashed_name {
    uint32_t hash;
    unsigned number;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed_name *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Channels whose 32-bit hashes are equal are still different channels. (With 400,000 names some 19
 * pairs collide; none at all happens once in 10^8 runs.) */
static void colliding_channels_are_told_apart(void **state)
{
    (void)state;
    enum { NAMES = 400000 };
    struct hashed_name *names = calloc(NAMES, sizeof *names);
    char name[2][32];
    unsigned pairs = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        int size = snprintf(name[0], sizeof name[0], "user:%u", i);
        names[i].hash = (uint32_t)hash_keyed(span_of(name[0], (size_t)size));
        names[i].number = i;
    }
    qsort(names, NAMES, sizeof *names, by_hash);
    for (unsigned i = 1; i < NAMES; i++) {
        if (names[i - 1].hash != names[i].hash) {
            continue;
        }
        pairs++;
        snprintf(name[0], sizeof name[0], "user:%u", names[i - 1].number);
        snprintf(name[1], sizeof name[1], "user:%u", names[i].number);
        struct fixture f;
        open_window(&f, 1 << 20, 10);
        append_and_advance(&f, name[0], 1);
        append_and_advance(&f, name[1], 1);
        struct cursor *first = follow(&f, name[0], 0, NULL);
        struct cursor *second = follow(&f, name[1], 0, NULL);
        append_and_advance(&f, name[0], 1);
        append_and_advance(&f, name[1], 1);
        expect_entry(first, 1);
        expect_entry(second, 2);
        cursor_close(first);
        append_and_advance(&f, name[0], 1);
        expect_entry(second, 4);
        expect_end(second);
        close_window(&f);
    }
    assert_true(pairs > 0);
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_channels_are_told_apart),
        cmocka_unit_test(colliding_channels_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
