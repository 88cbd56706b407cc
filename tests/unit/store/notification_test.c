/* notification_test.c - NOTIFY payloads and rows of the log, good and bad. */
#include "notification.h"
#include "parts.h" /* server/window: how a batch is laid out */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct problem problem;

static enum status read_log(const char *events, uint64_t first, uint64_t last,
                            struct window_batch **out)
{
    problem_clear(&problem);
    return log_batch_read(span_string(events), first, last, 7, out, &problem);
}

/* An event of the log lies at first + i; its channels and text come with escapes resolved. */
static void test_log_rows_become_batches(void **state)
{
    (void)state;
    struct window_batch *batch;
    struct window_entry entry;
    assert_int_equal(
        read_log("[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\\\"b\"],\"data\":{}},\n"
                 "{\"i\":2,\"stream\":\"s\",\"channels\":[\"c\",\"d\"],\"data\":{\"x\":[1]}}]",
                 10, 13, &batch),
        STATUS_OK);
    assert_int_equal(batch->first, 10);
    assert_int_equal(batch->last, 13);
    assert_int_equal(batch->committed_us, 7);
    assert_int_equal(batch->entry_count, 2);
    assert_int_equal(batch->mention_count, 3);
    assert_true(span_is(mention_channel(batch, batch_mention(batch, 0)), "a\"b"));
    assert_true(span_is(mention_channel(batch, batch_mention(batch, 2)), "d"));
    entry_open(mention_entry(batch, batch_mention(batch, 1)), &entry);
    assert_int_equal(entry.offset, 12);
    assert_true(span_is(entry.data, "{\"x\":[1]}"));
    window_batch_destroy(batch);
    assert_int_equal(read_log("", 5, 5, &batch), STATUS_OK);
    assert_int_equal(batch->entry_count, 0);
    window_batch_destroy(batch);
    assert_int_equal(read_log("[]", 5, 5, &batch), STATUS_OK);
    window_batch_destroy(batch);
}

/* What Penstock would not write is refused, whatever it is; nothing of it is asserted. */
static void test_bad_log_rows_are_refused(void **state)
{
    (void)state;
#define GOOD "\"stream\":\"s\",\"channels\":[],\"data\":{}"
    static const char *const bad[] = {
        "{",
        "{}",
        "[1]",
        "[{}]",
        "[{\"i\":0,\"stream\":\"s\",\"channels\":[]}]",
        "[{\"offset\":10," GOOD "}]",
        "[{\"i\":4," GOOD "}]",
        "[{\"i\":-1," GOOD "}]",
        "[{\"i\":0.5," GOOD "}]",
        "[{\"i\":9223372036854775807," GOOD "}]",
        "[{\"i\":1," GOOD "},{\"i\":1," GOOD "}]",
        "[{\"i\":0," GOOD "},{\"i\":0," GOOD "}]",
        "[{\"i\":0,\"stream\":1,\"channels\":[],\"data\":{}}]",
        "[{\"i\":0,\"stream\":\"s\",\"channels\":{},\"data\":{}}]",
        "[{\"i\":0,\"stream\":\"s\",\"channels\":[1],\"data\":{}}]",
        "[{\"i\":0,\"stream\":\"s\",\"channels\":[\"\\u0000\"],\"data\":{}}]",
        "[{\"i\":0,\"stream\":\"s\",\"channels\":[],\"data\":[]}]",
        "[{\"i\":0,\"stream\":\"s\",\"channels\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\","
        "\"9\"],\"data\":{}}]",
        "[{\"i\":0," GOOD ",\"channels\":[]}]x",
    };
    struct window_batch *batch;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (read_log(bad[i], 10, 13, &batch) != STATUS_MALFORMED) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    char text[1024];
    snprintf(text, sizeof text, "[{\"i\":0,\"stream\":\"s\",\"channels\":[\"%0*d\"],\"data\":{}}]",
             CHANNEL_BYTES_MAX + 1, 0);
    assert_int_equal(read_log(text, 10, 13, &batch), STATUS_MALFORMED);
    assert_int_equal(read_log("", 10, 9, &batch), STATUS_MALFORMED);
    assert_int_equal(read_log("", 0, 0, &batch), STATUS_MALFORMED);
}

#define HEAD "{\"v\":1,\"first\":100,\"count\":2,\"node\":\"n\""

/* Fields in any order; unknown ones are passed over, and so are the events, which anybody may have
 * written. */
static void test_notifications_are_read(void **state)
{
    (void)state;
    static const char *const good[] = {
        HEAD "}",
        HEAD ",\"later\":[{}],\"at\":\"2024-02-29T23:59:59.000001Z\"}",
        "{\"node\":\"n\",\"count\":2,\"first\":100,\"v\":1}",
        HEAD ",\"events\":[{\"offset\":100," GOOD "}]}",
        HEAD ",\"events\":[{\"offset\":9000}],\"events\":1}",
    };
    struct notification heard;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        problem_clear(&problem);
        assert_int_equal(notification_read(span_string(good[i]), &heard, &problem), STATUS_OK);
        assert_int_equal(heard.first, 100);
        assert_int_equal(heard.last, 101);
        assert_true(span_is(heard.node, "n"));
    }
}

static void test_foreign_notifications_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "hello",
        "[]",
        "{}",
        "{\"v\":2,\"first\":1,\"count\":1}",
        "{\"v\":1,\"first\":0,\"count\":1}",
        "{\"v\":1,\"first\":1,\"count\":0}",
        "{\"v\":1,\"first\":\"1\",\"count\":1}",
        "{\"v\":1,\"first\":1,\"count\":1,\"node\":5}",
        "{\"v\":1,\"first\":1,\"count\":9223372036854775807}",
        "{\"v\":1,\"first\":2,\"count\":9007199254740992}",
        HEAD "}}",
    };
    struct notification heard;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        problem_clear(&problem);
        if (notification_read(span_string(bad[i]), &heard, &problem) != STATUS_MALFORMED) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_rows_become_batches),
        cmocka_unit_test(test_bad_log_rows_are_refused),
        cmocka_unit_test(test_notifications_are_read),
        cmocka_unit_test(test_foreign_notifications_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
