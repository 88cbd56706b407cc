/* account_test.c - penstock.account: what became of the events of each publisher, exactly, whatever
 * way a batch took, and however much of the log retention has dropped. */
#include "notes.h"
#include "session.h"

#include "penstock/record.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t publisher(unsigned number)
{
    char name[16];
    snprintf(name, sizeof name, "p%u", number);
    return producer_of_name(span_string(name));
}

/* The account of this publisher as "stored duplicates rejected"; "" when it has none. */
static const char *account_of(const char *expression)
{
    return sql_value("SELECT concat_ws(' ', stored, duplicates, rejected) FROM penstock.account"
                     " WHERE stream = 'note' AND publisher = %s",
                     expression);
}

/* One batch: notes `first` … of p1, as many of a session without a name, then of p2, p3 … */
static void commit_shared(uint64_t sequence, uint64_t first, unsigned names, size_t count)
{
    builder_clear(&builder, sequence);
    for (unsigned i = 1; i <= names; i++) {
        builder.producer = publisher(i);
        add_notes(&builder, &note, first, count);
        first += count;
        if (i == 1) {
            builder.producer = producer_of_session(span_string("a session"));
            add_notes(&builder, &note, first, count);
            first += count;
        }
    }
    rig_commit(rig, builder_batch(&builder));
    check_batch(&builder.batch);
}

/* A publisher's number is the same in C and in SQL, and says that it has a name. */
static void test_number_of_a_name(void **state)
{
    (void)state;
    static const char *const names[] = {"", "p", "kiosk-7", "\xc3\xa9t\xc3\xa9",
                                        "a name of some length, with spaces in it"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char expected[17];
        snprintf(expected, sizeof expected, "%016llx",
                 (unsigned long long)producer_of_name(span_string(names[i])));
        assert_string_equal(sql_value("SELECT penstock.publisher('%s')", names[i]), expected);
        assert_true(expected[0] >= '8');
    }
}

/* Each named publisher has its own counts, the others share '': stored by statements and by COPY,
 * with duplicates and refused rows. What is not counted is left out of the log. */
static void test_each_publisher_has_its_own(void **state)
{
    (void)state;
    sql("ALTER TABLE \"Note\" ADD CHECK (n %% 10 <> 0)");
    commit_shared(1, 1, 2, 2);    /* p1: 1 2, '': 3 4, p2: 5 6 */
    commit_shared(2, 101, 2, 10); /* p1: 101 …, '': 111 …, p2: 121 …; one of each is refused */
    commit_shared(3, 1, 3, 2);    /* again; p3: 7 8 */
    assert_string_equal(account_of("penstock.publisher('p1')"), "11 2 1");
    assert_string_equal(account_of("penstock.publisher('p2')"), "11 2 1");
    assert_string_equal(account_of("penstock.publisher('p3')"), "2 0 0");
    assert_string_equal(account_of("''"), "11 2 1");
    assert_string_equal(sql_value("SELECT streams #>> ARRAY['note', 'publishers',"
                                  " penstock.publisher('p1')] FROM penstock.batch"
                                  " WHERE position = 1"),
                        "[2]");
    assert_string_equal(sql_value("SELECT concat_ws(' ', stored, duplicates, rejected)"
                                  " FROM penstock.stream_account"),
                        "35 6 3");
    assert_string_equal(sql_value("SELECT string_agg(DISTINCT publisher || ' ' || rejected, ', ')"
                                  " FROM penstock.account a WHERE publisher <> '' AND rejected <>"
                                  " (SELECT count(*) FROM penstock.dead_letter l"
                                  "  WHERE l.producer = a.publisher)"),
                        "");
}

/* A letter that is retried counts back for its publisher, with a name or without. */
static void test_retried_letter_counts_for_its_publisher(void **state)
{
    (void)state;
    sql("ALTER TABLE \"Note\" ADD CONSTRAINT no_tens CHECK (n %% 10 <> 0)");
    commit_shared(1, 1, 2, 10);
    sql("ALTER TABLE \"Note\" DROP CONSTRAINT no_tens");
    sql("INSERT INTO \"Note\" (id, n) SELECT (event ->> 'id')::uuid, 0 FROM penstock.dead_letter"
        " WHERE producer = penstock.publisher('p2')");
    sql("SELECT penstock.retry_dead_letters()");
    assert_string_equal(account_of("penstock.publisher('p1')"), "10 0 0");
    assert_string_equal(account_of("penstock.publisher('p2')"), "9 1 0");
    assert_string_equal(account_of("''"), "10 0 0");
}

static int64_t drop_oldest_slot(void)
{
    return sql_number("SELECT penstock.drop_slot(penstock.oldest_slot())");
}

/* Retention changes nothing of what the account says. */
static void test_retention_keeps_the_account(void **state)
{
    (void)state;
    static const char all[] =
        "SELECT string_agg(concat_ws(' ', stream, publisher, stored, duplicates, rejected), ', '"
        " ORDER BY stream, publisher) FROM penstock.account";
    for (unsigned i = 0; i < 6; i++) {
        commit_shared(1 + i, 1 + 50 * i, 1 + i, 3 + 10 * (i % 2));
        if (i == 1 || i == 4) {
            assert_true(turn_log());
        }
    }
    char *before = strdup(sql_value(all));
    assert_int_equal(drop_oldest_slot(), 2);
    assert_string_equal(sql_value(all), before);
    assert_int_equal(drop_oldest_slot(), 3);
    assert_string_equal(sql_value(all), before);
    assert_int_equal(sql_number("SELECT penstock.retain('0')"), 1);
    assert_string_equal(sql_value(all), before);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.batch"), 0);
    free(before);
}

/* Behind retention, publishers beyond account_publishers are in '', whoever was silent longest
 * first; the stream's sum stays. */
static void test_dropped_publishers_are_bounded(void **state)
{
    (void)state;
    sql("UPDATE penstock.meta SET account_publishers = 2");
    for (unsigned i = 0; i < 5; i++) {
        builder_clear(&builder, 1 + i);
        builder.producer = publisher(i + 1);
        add_notes(&builder, &note, 1 + 10 * i, 1 + i);
        rig_commit(rig, builder_batch(&builder));
        if (i % 2 == 1) {
            assert_true(turn_log());
        }
    }
    builder_clear(&builder, 6); /* p1 is heard of again */
    builder.producer = publisher(1);
    add_notes(&builder, &note, 100, 2);
    rig_commit(rig, builder_batch(&builder));
    assert_true(turn_log());
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(drop_oldest_slot(), 2);
        assert_true(sql_number("SELECT count(*) FROM penstock.account_before") <= 3);
        assert_int_equal(sql_number("SELECT stored FROM penstock.stream_account"), 17);
    }
    assert_string_equal(account_of("penstock.publisher('p1')"), "2 0 0"); /* began anew */
    assert_string_equal(account_of("penstock.publisher('p5')"), "5 0 0");
    assert_string_equal(account_of("''"), "10 0 0");
}

/* As many publishers as rows, in several streams' worth of growth: none is missing. */
static void test_many_publishers_in_one_batch(void **state)
{
    (void)state;
    commit_shared(1, 1, 1000, 1);
    commit_shared(2, 10001, 3000, 1);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.account WHERE publisher <> ''"
                                " AND stored = 2"),
                     1000);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.account WHERE publisher <> ''"
                                " AND stored = 1"),
                     2000);
    assert_string_equal(account_of("''"), "2 0 0");
}

/* What older versions counted is '' of its stream, in the log and behind retention; and letters of
 * theirs count there when they are retried, whatever their numbers look like. */
static void test_older_counts_stay(void **state)
{
    (void)state;
    rig_close_all();
    rig = NULL;
    make_version_4();
    sql("INSERT INTO penstock.account_before VALUES ('note', 7, 1, 0)");
    sql("INSERT INTO penstock.batch VALUES (1, 5, 'old', 0, 1, 1, 1, now(),"
        " '{\"note\": {\"stored\": 5, \"duplicates\": 1, \"rejected\": 1}}')");
    sql("INSERT INTO penstock.dead_letter (stream, target, event, sqlstate, message, producer, "
        "node,"
        " arrived) VALUES ('note', '\"public\".\"Note\"',"
        " '{\"id\": \"00000000-0000-4000-8000-000000000001\", \"n\": 1}', '23514', 'no',"
        " 'f00000000000beef', 'old', now())");
    struct problem problem;
    problem_clear(&problem);
    struct store *store = open_store(NULL);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    store_close(store);
    assert_string_equal(account_of("''"), "12 2 1");
    sql("SELECT penstock.retry_dead_letters()");
    assert_string_equal(account_of("''"), "13 2 0");
    assert_int_equal(sql_number("SELECT penstock.retain('0')"), 2);
    assert_string_equal(account_of("''"), "13 2 0");
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.account"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, notes_setup, notes_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_number_of_a_name),
        TEST(test_each_publisher_has_its_own),
        TEST(test_retried_letter_counts_for_its_publisher),
        TEST(test_retention_keeps_the_account),
        TEST(test_dropped_publishers_are_bounded),
        TEST(test_many_publishers_in_one_batch),
        TEST(test_older_counts_stay),
    };
    return rig_run_group("account", tests, sizeof tests / sizeof tests[0]);
}
