/* registry_test.c - the lane knows the schema of every record that may still come, and no more. */
#include "registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct problem problem;
static struct stream_account account;
static struct stream_account *accounts[1] = {&account};

/* The table "Log" of the stream "log", with one column of this name. */
static struct stream *make_stream(const char *column)
{
    struct column_description description = {.type_oid = 25,
                                             .base_oid = 25,
                                             .type_modifier = -1,
                                             .type_kind = 'b',
                                             .type_name = "text",
                                             .type_schema = "pg_catalog"};
    snprintf(description.name, sizeof description.name, "%s", column);
    struct table_description table = {
        .schema = "public", .name = "Log", .relation_kind = 'r', .columns = &description};
    table.column_count = 1;
    struct stream_options options = {.name = span_string("log")};
    struct stream *stream = NULL;
    assert_int_equal(stream_create(&options, &table, &stream, &problem), STATUS_OK);
    return stream;
}

/* Learns a set of that one stream, which is gone afterwards; returns its key. */
static uint64_t learn(struct registry *registry, struct stream_set *set, const char *column)
{
    struct stream *stream = make_stream(column);
    uint64_t key = stream_schema_key(stream);
    *set = (struct stream_set){.streams = &stream, .accounts = accounts, .count = 1};
    assert_int_equal(registry_learn(registry, set, &problem), STATUS_OK);
    stream_destroy(stream);
    *set = (struct stream_set){.accounts = accounts};
    return key;
}

/* Records made with any former set are still known, with the same account, when the set is gone. */
static void test_former_shapes_stay_known(void **state)
{
    (void)state;
    struct registry registry = {0};
    struct stream_set sets[3];
    uint64_t first = learn(&registry, &sets[0], "a"), second = learn(&registry, &sets[1], "b");
    assert_int_not_equal(first, second);
    assert_int_equal(learn(&registry, &sets[2], "a"), first); /* altered back: known already */
    assert_int_equal(registry.count, 2);
    assert_ptr_equal(registry_find(&registry, first)->account, &account);
    assert_ptr_equal(registry_find(&registry, second)->account, &account);
    assert_string_equal(registry_find(&registry, second)->schema.columns[0].name, "b");
    assert_null(registry_find(&registry, first + second));
    registry_fini(&registry);
}

static bool is_the_one(void *owner, uint64_t key)
{
    return key == *(const uint64_t *)owner;
}

/* What goes is of neither of the last two sets, nor in the journal. */
static void test_trim_keeps_what_may_still_come(void **state)
{
    (void)state;
    struct registry registry = {0};
    struct stream_set sets[5];
    uint64_t keys[5];
    for (size_t i = 0; i < 5; i++) {
        char column[] = {(char)('a' + i), '\0'};
        keys[i] = learn(&registry, &sets[i], column);
    }
    assert_non_null(registry_find(&registry, keys[0])); /* the one found last goes, too */
    registry_trim(&registry, is_the_one, &keys[1]);
    assert_int_equal(registry.count, 3);
    assert_null(registry_find(&registry, keys[0]));
    assert_non_null(registry_find(&registry, keys[1]));
    assert_null(registry_find(&registry, keys[2]));
    assert_non_null(registry_find(&registry, keys[3]));
    assert_non_null(registry_find(&registry, keys[4]));
    registry_fini(&registry);
}

/* A shape that was altered away and back is of the newest set, however old it is. */
static void test_trim_keeps_an_old_shape_that_is_back(void **state)
{
    (void)state;
    struct registry registry = {0};
    struct stream_set sets[4];
    uint64_t none = 0, first = learn(&registry, &sets[0], "a");
    learn(&registry, &sets[1], "b");
    learn(&registry, &sets[2], "c");
    learn(&registry, &sets[3], "a");
    registry_trim(&registry, is_the_one, &none);
    assert_int_equal(registry.count, 2);
    assert_non_null(registry_find(&registry, first));
    registry_fini(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_former_shapes_stay_known),
        cmocka_unit_test(test_trim_keeps_what_may_still_come),
        cmocka_unit_test(test_trim_keeps_an_old_shape_that_is_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
