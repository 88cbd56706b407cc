/*
 * http_query_test.c - the arguments of requests: what each must be, and which belong together.
 */
#include "http/query.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ALL 127u

static struct http_query query;
static struct problem problem;

static enum status take(unsigned allowed, const char *argument)
{
    return http_query_take(&query, allowed, span_string(argument), &problem);
}

static void accept(const char *argument)
{
    if (take(ALL, argument) != STATUS_OK) {
        fail_msg("%s: %s", argument, problem.text);
    }
}

/* Each argument is read, and says that it was there. */
static void arguments_are_read(void **state)
{
    (void)state;
    http_query_init(&query);
    assert_int_equal(query.ack, ACK_DURABLE);
    assert_int_equal(query.limit, PAGE_EVENTS_DEFAULT);
    accept("ack=committed");
    accept("producer=ph\xc6\xb0\x6fng");
    accept("since=9007199254740991");
    accept("epoch=0190b3b8");
    accept("last=0");
    accept("limit=1000");
    accept("token=a=b&c");
    assert_int_equal(query.ack, ACK_COMMITTED);
    assert_int_equal(query.producer_bytes, 7);
    assert_int_equal(query.since, 9007199254740991);
    assert_int_equal(query.epoch_bytes, 8);
    assert_int_equal(query.limit, 1000);
    assert_int_equal(query.has, ALL);
}

/* Everything else is refused with a sentence that names the argument. */
static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *named;
    } cases[] = {
        {"since=-1", "`since`"},
        {"since=1.5", "`since`"},
        {"since=1e3", "`since`"},
        {"since=", "`since`"},
        {"since", "`since`"},
        {"since= 1", "`since`"},
        {"since=0x10", "`since`"},
        {"since=9007199254740992", "`since`"},
        {"last=99999999999999999999", "`last`"},
        {"limit=0", "`limit`"},
        {"limit=1001", "`limit`"},
        {"ack=COMMITTED", "`ack`"},
        {"ack=both", "`ack`"},
        {"producer=", "`producer`"},
        {"producer=\xff", "`producer`"},
        {"epoch=", "`epoch`"},
        {"sinse=1", "`sinse`"},
        {"=1", "``"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_query_init(&query);
        assert_int_equal(take(ALL, cases[i].argument), STATUS_MALFORMED);
        if (strstr(problem.text, cases[i].named) == NULL) {
            fail_msg("%s: %s", cases[i].argument, problem.text);
        }
    }
    http_query_init(&query);
    assert_int_equal(take(ARGUMENT_ACK, "since=1"), STATUS_MALFORMED);
    accept("since=1");
    assert_int_equal(take(ALL, "since=1"), STATUS_MALFORMED);
    assert_non_null(strstr(problem.text, "twice"));
}

/* `since` and `last` exclude each other, and an epoch needs an offset. */
static void arguments_are_judged_together(void **state)
{
    (void)state;
    http_query_init(&query);
    assert_int_equal(http_query_judge(&query, &problem), STATUS_OK);
    accept("epoch=x");
    assert_int_equal(http_query_judge(&query, &problem), STATUS_MALFORMED);
    accept("since=1");
    assert_int_equal(http_query_judge(&query, &problem), STATUS_OK);
    accept("last=1");
    assert_int_equal(http_query_judge(&query, &problem), STATUS_MALFORMED);
    http_query_init(&query);
    accept("last=1001");
    assert_int_equal(http_query_judge(&query, &problem), STATUS_MALFORMED);
}

/* What an EventSource saw last stands instead of where its address says to begin. */
static void last_event_id_replaces_the_query(void **state)
{
    (void)state;
    http_query_init(&query);
    accept("last=5");
    struct span both = span_string("0190b3b8-6f3c:42");
    assert_int_equal(http_query_take_last_event_id(&query, both, &problem), STATUS_OK);
    assert_int_equal(query.has, ARGUMENT_SINCE | ARGUMENT_EPOCH);
    assert_int_equal(query.since, 42);
    assert_memory_equal(query.epoch, "0190b3b8-6f3c", 13);
    http_query_init(&query);
    accept("since=1");
    accept("epoch=x");
    assert_int_equal(http_query_take_last_event_id(&query, span_string("7"), &problem), STATUS_OK);
    assert_int_equal(query.has, ARGUMENT_SINCE);
    assert_int_equal(query.since, 7);
    static const char *const wrong[] = {"x", ":1", "a:", "a:-1", "a:b:1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(http_query_take_last_event_id(&query, span_string(wrong[i]), &problem),
                         STATUS_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_are_read),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(arguments_are_judged_together),
        cmocka_unit_test(last_event_id_replaces_the_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
