/* Log lines: one write a line, and no message can break out of its own. */
#include "penstock/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int ends[2], saved_stderr;
static char said[16384];

/* Standard error becomes a packet pipe (pipe2(2), O_DIRECT): a read gives what one write gave. */
static int catch_start(void **state)
{
    (void)state;
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    if (pipe2(ends, O_CLOEXEC | O_DIRECT | O_NONBLOCK) != 0) {
        return -1;
    }
    return dup2(ends[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int catch_stop(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(ends[0]);
    close(ends[1]);
    log_open(LOG_FORMAT_LOGFMT, LOG_INFO);
    return 0;
}

/* What one write(2) brought; "" when nothing is left. */
static const char *next_write(void)
{
    ssize_t size = read(ends[0], said, sizeof said - 1);
    said[size > 0 ? size : 0] = '\0';
    return said;
}

/* The message as it stands between the quotes of the line. */
static const char *message_of(const char *line)
{
    static char message[16384];
    const char *start = strstr(line, "msg=\"");
    start = start != NULL ? start + 5 : strstr(line, "\"msg\":\"") + 7;
    size_t size = strlen(start);
    const char *tail = strstr(line, "msg=\"") != NULL ? "\"\n" : "\"}\n";
    assert_true(size >= strlen(tail));
    assert_string_equal(start + size - strlen(tail), tail);
    snprintf(message, sizeof message, "%.*s", (int)(size - strlen(tail)), start);
    return message;
}

/* A line has its time in UTC, level, area and message, and comes in one write. */
static void a_line_is_one_write(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_LOGFMT, LOG_INFO);
    log_warn("edge", "port %d is taken", 8080);
    const char *line = next_write();
    int year, month, day, hour, minute, second, us, end = 0;
    assert_int_equal(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%6dZ %n", &year, &month, &day,
                            &hour, &minute, &second, &us, &end),
                     7);
    assert_true(year >= 2024 && month >= 1 && month <= 12);
    assert_string_equal(line + end, "level=warn area=edge msg=\"port 8080 is taken\"\n");
    assert_string_equal(next_write(), "");
}

/* The same as JSON. */
static void a_line_can_be_json(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_JSON, LOG_DEBUG);
    log_debug("loop", "say \"hi\"");
    const char *line = next_write();
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_non_null(
        strstr(line, "Z\",\"level\":\"debug\",\"area\":\"loop\",\"msg\":\"say \\\"hi\\\"\"}\n"));
}

/* Levels below the least are not written, and their arguments not formatted. */
static void quiet_levels_are_quiet(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_LOGFMT, LOG_WARN);
    int evaluated = 0;
    log_debug("a", "%d", ++evaluated);
    log_info("a", "%d", ++evaluated);
    assert_int_equal(evaluated, 0);
    assert_string_equal(next_write(), "");
    log_error("a", "%d", ++evaluated);
    assert_string_equal(message_of(next_write()), "1");
}

/* Newlines, quotes, terminal escapes and bytes that are no text are escaped; other scripts are not.
 */
static void a_message_cannot_break_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *message, *expected;
    } cases[] = {
        {"a\nlevel=error msg=forged", "a\\nlevel=error msg=forged"},
        {"tab\there \"quoted\" back\\slash", "tab\\there \\\"quoted\\\" back\\\\slash"},
        {"\x1b[31mred\x7f\r", "\\u001b[31mred\\u007f\\u000d"},
        {"c1 \xc2\x9b"
         "31m",
         "c1 \\u009b31m"},
        {"nửa đêm 😀", "nửa đêm 😀"},
        {"\xff\xc3(", "\xEF\xBF\xBD\xEF\xBF\xBD("},
        {"cut \xf0\x9f\x98", "cut \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xc0\x80 \xed\xa0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xf4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"", ""},
    };
    for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        log_open((enum log_format)format, LOG_INFO);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            log_info("test", "%s", cases[i].message);
            assert_string_equal(message_of(next_write()), cases[i].expected);
        }
    }
}

/* A long message is cut to 2 KB, and the line still ends as a line, even of nothing but escapes. */
static void a_long_message_is_cut(void **state)
{
    (void)state;
    static char text[8000];
    static const char fillers[] = "x\n\x01\xff";
    for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        log_open((enum log_format)format, LOG_INFO);
        for (size_t i = 0; i < sizeof fillers - 1; i++) {
            memset(text, fillers[i], sizeof text - 1);
            log_info("test", "%s", text);
            const char *line = next_write();
            assert_in_range(strlen(line), 2000, 2048);
            assert_true(strlen(message_of(line)) > 1800);
        }
    }
}

/* Logging does not disturb errno, and a log that cannot be written is no one's failure. */
static void logging_disturbs_nobody(void **state)
{
    (void)state;
    errno = ENOSPC;
    log_error("test", "first");
    assert_int_equal(errno, ENOSPC);
    next_write();
    for (int i = 0; i < 5000; i++) { /* more than the pipe holds */
        log_write(LOG_ERROR, "test", "line %d", i);
    }
    assert_int_equal(errno, ENOSPC);
    assert_string_equal(message_of(next_write()), "line 0");
    while (*next_write() != '\0') {
    }
}

/* An area may be louder, or quieter, than the rest. */
static void areas_have_levels_of_their_own(void **state)
{
    (void)state;
    struct log_levels levels;
    assert_true(log_levels_read("warn,edge=debug,store=error", &levels));
    log_set_levels(&levels);
    log_info("main", "unheard");
    log_warn("store", "unheard");
    assert_string_equal(next_write(), "");
    log_debug("edge", "a");
    assert_string_equal(message_of(next_write()), "a");
    log_warn("main", "b");
    assert_string_equal(message_of(next_write()), "b");
    log_error("store", "c");
    assert_string_equal(message_of(next_write()), "c");
}

/* What is no level, or no list of them, is not taken for one. */
static void levels_are_spelled_right(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "loud",
                                        "info,",
                                        "edge=debug",
                                        "info,edge",
                                        "info,=info",
                                        "info,edge=",
                                        "info,edge=loud",
                                        "info, edge=info",
                                        "info,Edge=info",
                                        "info,abcdefghijklmnopq=info"};
    struct log_levels levels;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(log_levels_read(wrong[i], &levels));
    }
    char many[600] = "info";
    for (int i = 0; i <= LOG_AREAS_MAX; i++) {
        assert_int_equal(log_levels_read(many, &levels), true);
        strcat(many, ",a=warn");
    }
    assert_false(log_levels_read(many, &levels));
}

/* A place that says the same for ever is cut short; other places are heard, and so is debugging. */
static void a_place_is_heard_only_so_often(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_LOGFMT, LOG_DEBUG);
    struct log_place place = {0};
    int lines = 0;
    for (int i = 0; i < 1000; i++) {
        log_write_from(&place, LOG_INFO, "test", "line %d", i);
        lines += *next_write() != '\0';
    }
    assert_int_equal(lines, LOG_PLACE_MOST);
    log_write_from(&place, LOG_DEBUG, "test", "asked for");
    assert_string_equal(message_of(next_write()), "asked for");
    log_info("test", "elsewhere");
    assert_string_equal(message_of(next_write()), "elsewhere");
    atomic_store(&place.since_us, clock_monotonic_us() - LOG_PLACE_US); /* time goes by */
    log_write_from(&place, LOG_INFO, "test", "again");
    assert_string_equal(message_of(next_write()), "900 lines like the next one were left out");
    assert_string_equal(message_of(next_write()), "again");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, catch_start, catch_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_one_write),
        TEST(a_line_can_be_json),
        TEST(quiet_levels_are_quiet),
        TEST(a_message_cannot_break_its_line),
        TEST(a_long_message_is_cut),
        TEST(logging_disturbs_nobody),
        TEST(areas_have_levels_of_their_own),
        TEST(levels_are_spelled_right),
        TEST(a_place_is_heard_only_so_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
