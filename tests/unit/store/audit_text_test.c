/* audit_text_test.c - statements of others are shown without what somebody wrote into them. */
#include "audit_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct text shown;
static struct statement_facts facts;

static const char *scrub(const char *statement)
{
    text_clear(&shown);
    statement_scrub(span_string(statement), 4000, &shown, &facts);
    return text_value(&shown);
}

static int fini(void **state)
{
    (void)state;
    text_fini(&shown);
    return 0;
}

/* What pg_stat_statements has normalised stays as it is, on one line. */
static void test_normalised_text_is_kept(void **state)
{
    (void)state;
    assert_string_equal(scrub("SELECT  a.\"Name 1\",\n\tb2 FROM t1 a WHERE x$y = $1 AND é = $12"),
                        "SELECT a.\"Name 1\", b2 FROM t1 a WHERE x$y = $1 AND é = $12");
    assert_true(facts.is_query);
    assert_false(facts.has_string);
    assert_false(facts.is_compound);
    assert_string_equal(scrub("  ( select 1"), "( select ?");
    assert_string_equal(facts.verb, "SELECT");
    assert_true(facts.is_query);
}

/* Every form of a literal that PostgreSQL takes becomes a '?', also where its end is missing. */
static void test_literals_are_replaced(void **state)
{
    static const char *const literals[] = {
        "'s3cret'",    "'it''s3cret'", "E's3\\'cret'", "e'\\\\'",    "B'0101'",
        "x'5ec3e7'",   "N's3cret'",    "U&'s3cret'",   "$$s3cret$$", "$a$s3cret$$ $a$",
        "$tag$s3cret", "'s3cret",      "42",           "4.2e-10",    ".5",
        "0x5ec3e7",    "1_000",        "E's3cret\\",   "$$",         "'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        char statement[100];
        snprintf(statement, sizeof statement, "SELECT %s", literals[i]);
        const char *text = scrub(statement);
        if (strcmp(text, "SELECT ?") != 0 && strcmp(text, "SELECT .?") != 0) {
            fail_msg("%s is shown as %s", statement, text);
        }
    }
    assert_string_equal(scrub("SELECT 'a', $1, 'b'||'c', name"), "SELECT ?, $1, ?||?, name");
    assert_true(facts.has_string);
}

/* Comments may say anything, nest, and hide what looks like a string. */
static void test_comments_are_cut_out(void **state)
{
    (void)state;
    assert_string_equal(scrub("/* s3cret /* nested */ ' */ SELECT a -- s3cret '\n FROM t /* open"),
                        "SELECT a FROM t");
    assert_false(facts.has_string);
    assert_string_equal(scrub("SELECT '-- no comment', \"/* nor this\""),
                        "SELECT ?, \"/* nor this\"");
}

/* What is no query is known as such, however it begins; so is more than one statement. */
static void test_utility_and_compound_statements_are_known(void **state)
{
    static const char *const utilities[] = {"ALTER ROLE x PASSWORD 's3cret'",
                                            "DO $$ x $$",
                                            "/* SELECT */ COPY t FROM STDIN",
                                            "",
                                            "-- SELECT",
                                            "SELECTED",
                                            "\"SELECT\""};
    (void)state;
    for (size_t i = 0; i < sizeof utilities / sizeof utilities[0]; i++) {
        scrub(utilities[i]);
        assert_false(facts.is_query);
    }
    scrub("SELECT $1; COMMIT");
    assert_true(facts.is_compound);
    scrub("SELECT \"a;b\" FROM t");
    assert_false(facts.is_compound);
    assert_null(strstr(scrub("ALTER ROLE x PASSWORD 's3cret'"), "s3cret"));
}

/* A long text is cut at the beginning of a rune. */
static void test_a_long_text_is_cut(void **state)
{
    (void)state;
    text_clear(&shown);
    statement_scrub(span_string("SELECT ééééé"), 10, &shown, &facts);
    assert_string_equal(text_value(&shown), "SELECT é…");
}

/* In a plan the estimates stay, and conditions lose their values. */
static void test_plans_keep_estimates_and_lose_values(void **state)
{
    (void)state;
    text_clear(&shown);
    plan_scrub(span_string("  ->  Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4)"), &shown);
    assert_string_equal(text_value(&shown),
                        "  ->  Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4)");
    text_clear(&shown);
    plan_scrub(span_string("        Filter: ((name = 's3cret'::text) AND (n > 42) AND (m = $1))"),
               &shown);
    assert_string_equal(text_value(&shown),
                        "        Filter: ((name = ?::text) AND (n > ?) AND (m = $1))");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalised_text_is_kept),
        cmocka_unit_test(test_literals_are_replaced),
        cmocka_unit_test(test_comments_are_cut_out),
        cmocka_unit_test(test_utility_and_compound_statements_are_known),
        cmocka_unit_test(test_a_long_text_is_cut),
        cmocka_unit_test(test_plans_keep_estimates_and_lose_values),
    };
    return cmocka_run_group_tests(tests, NULL, fini);
}
