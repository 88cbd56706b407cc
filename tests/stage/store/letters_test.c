/* letters_test.c - the dead letters as the command line sees them: listed, shown, counted, dropped.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

static struct store *store;
static struct problem problem;

static int setup(void **state)
{
    (void)state;
    rig_reset_database();
    problem_clear(&problem);
    store = open_store(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    return 0;
}

struct seen {
    unsigned count;
    int64_t ids[2000];
    char json[2000], event[500], channels[100];
};

static void on_letter(void *owner, const struct dead_letter *letter)
{
    struct seen *seen = owner;
    seen->ids[seen->count++] = letter->id;
    snprintf(seen->json, sizeof seen->json, "%s", letter->json);
    snprintf(seen->event, sizeof seen->event, "%s", letter->event);
    snprintf(seen->channels, sizeof seen->channels, "%s", letter->channels);
}

static struct seen list(struct letter_filter filter, enum letter_form form, uint64_t limit)
{
    static struct seen seen;
    seen.count = 0;
    assert_int_equal(store_list_letters(store, &filter, form, limit, on_letter, &seen, &problem),
                     STATUS_OK);
    return seen;
}

static void add_many(int count)
{
    sql("INSERT INTO penstock.dead_letter (stream, target, event, sqlstate, message, producer, "
        "node,"
        " arrived) SELECT CASE n %% 2 WHEN 0 THEN 'even' ELSE 'odd' END, '\"public\".\"Note\"',"
        " '{}', CASE n %% 3 WHEN 0 THEN '23503' ELSE '23514' END, 'no', 'p', 'node', now()"
        " FROM generate_series(1, %d) n",
        count);
}

/* Lists come newest first, over any number of pages, and end at the limit. */
static void test_list_pages(void **state)
{
    (void)state;
    add_many(1300);
    for (enum letter_form form = LETTER_BRIEF; form <= LETTER_AS_JSON; form++) {
        struct seen seen = list((struct letter_filter){0}, form, 2000);
        assert_int_equal(seen.count, 1300);
        for (unsigned i = 0; i < seen.count; i++) {
            assert_int_equal(seen.ids[i], 1300 - i);
        }
        assert_int_equal(list((struct letter_filter){0}, form, 600).count, 600);
    }
    assert_int_equal(list((struct letter_filter){.stream = "even"}, LETTER_BRIEF, 2000).count, 650);
    struct letter_filter both = {.stream = "odd", .sqlstate = "23503", .behind = 3, .up_to = 15};
    struct seen seen = list(both, LETTER_BRIEF, 2000);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.ids[0], 15);
    assert_int_equal(seen.ids[1], 9);
    assert_int_equal(list((struct letter_filter){.stream = "none"}, LETTER_BRIEF, 10).count, 0);
}

/* A letter is shown whole: its event on several lines, or all of it as one line of JSON. */
static void test_show(void **state)
{
    (void)state;
    add_many(1);
    sql("UPDATE penstock.dead_letter SET event = '{\"n\": 3, \"body\": \"a note\"}',"
        " channels = '{all,\"a b\"}', constraint_name = 'no_thirds'");
    struct letter_filter one = {.behind = 0, .up_to = 1};
    struct seen seen = list(one, LETTER_WITH_EVENT, 1);
    assert_non_null(strstr(seen.event, "\n    \"n\": 3"));
    assert_string_equal(seen.channels, "{all,\"a b\"}");
    seen = list(one, LETTER_AS_JSON, 1);
    assert_null(strchr(seen.json, '\n'));
    assert_non_null(strstr(seen.json, "\"body\": \"a note\""));
    assert_non_null(strstr(seen.json, "\"no_thirds\""));
}

/* Dropping takes the oldest first, not more than asked for, and only what the filter names. */
static void test_drop(void **state)
{
    (void)state;
    uint64_t count;
    int64_t newest;
    add_many(10);
    struct letter_filter even = {.stream = "even", .up_to = 8};
    assert_int_equal(store_count_letters(store, &even, &count, &newest, &problem), STATUS_OK);
    assert_int_equal(count, 4);
    assert_int_equal(newest, 8);
    assert_int_equal(store_drop_letters(store, &even, 3, &count, &problem), STATUS_OK);
    assert_int_equal(count, 3);
    assert_int_equal(store_drop_letters(store, &even, 3, &count, &problem), STATUS_OK);
    assert_int_equal(count, 1);
    assert_string_equal(sql_value("SELECT string_agg(id::text, ' ' ORDER BY id)"
                                  " FROM penstock.dead_letter"),
                        "1 3 5 7 9 10");
    int64_t ids[4];
    size_t found;
    struct letter_filter behind = {.behind = 3};
    assert_int_equal(store_letter_ids(store, &behind, ids, 4, &found, &problem), STATUS_OK);
    assert_int_equal(found, 4);
    assert_int_equal(ids[0], 5);
    assert_int_equal(ids[3], 10);
    assert_int_equal(sql_number("SELECT penstock.head()"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_list_pages),
        TEST(test_show),
        TEST(test_drop),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
