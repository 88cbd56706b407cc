/* A configuration read again while the server runs: what is taken of it, and what is said. */
#include "penstock/config.h"

#include "../../../server/config/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct settings now, next;
static struct settings_news news;
static struct problem problem;

static int start(void **state)
{
    (void)state;
    clearenv();
    problem_clear(&problem);
    assert_int_equal(settings_load(&now, NULL, 0, NULL, 0, &problem), STATUS_OK);
    assert_int_equal(settings_load(&next, NULL, 0, NULL, 0, &problem), STATUS_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    settings_fini(&now);
    settings_fini(&next);
    return 0;
}

static void set(const char *name, const char *value)
{
    const struct key *key = key_find(name, strlen(name));
    assert_non_null(key);
    assert_int_equal(key_set(&next, key, value, &problem), STATUS_OK);
}

static void renew(void)
{
    assert_int_equal(settings_renew(&now, &next, &news, &problem), STATUS_OK);
}

/* The same configuration has no news. */
static void the_same_is_no_news(void **state)
{
    (void)state;
    renew();
    assert_string_equal(news.changed, "");
    assert_string_equal(news.kept, "");
}

/* What may change is taken, and told with both values as one would write them. */
static void live_keys_change_and_are_told(void **state)
{
    (void)state;
    set("batch_rows", "500");
    set("send_bytes", "2MB");
    set("log_level", "debug");
    renew();
    assert_int_equal(next.batch_rows, 500);
    assert_string_equal(next.log_level, "debug");
    assert_string_equal(
        news.changed,
        "send_bytes 1MB → 2MB, batch_rows 10000 → 500, log_level \"info\" → \"debug\"");
    assert_string_equal(news.kept, "");
}

/* What cannot change keeps the running value, of every type, and is named. */
static void fixed_keys_stay_as_they_are(void **state)
{
    (void)state;
    set("listen", "127.0.0.1:9999");
    set("lanes", "7");
    set("loop", "epoll");
    set("salvage", "true");
    set("message_bytes", "512KB");
    renew();
    assert_string_equal(next.listen, now.listen);
    assert_int_equal(next.lanes, now.lanes);
    assert_int_equal(next.loop, now.loop);
    assert_int_equal(next.salvage, now.salvage);
    assert_int_equal(next.message_bytes, now.message_bytes);
    assert_string_equal(news.changed, "");
    assert_string_equal(news.kept, "listen, message_bytes, lanes, loop, salvage");
}

/* A secret that differs is named and never shown. */
static void secrets_are_not_shown(void **state)
{
    (void)state;
    set("database_url", "postgresql://u:hunter2@h/d");
    renew();
    assert_null(strstr(news.changed, "hunter2"));
    assert_string_equal(news.kept, "database_url");
}

/* A new value must fit the old ones that stay: the whole is refused else. */
static void the_result_must_not_contradict_itself(void **state)
{
    (void)state;
    now.message_bytes = 4 << 20;
    set("receive_bytes", "1MB");
    assert_int_equal(settings_renew(&now, &next, &news, &problem), STATUS_BAD_CONFIG);
    assert_non_null(strstr(problem.text, "receive_bytes"));
    assert_non_null(strstr(problem.text, "message_bytes"));
}

/* More news than a line of the log holds are cut, and it shows. */
static void long_lists_end_in_dots(void **state)
{
    (void)state;
    struct settings_news all = {0};
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        if (key->type == KEY_NUMBER || key->type == KEY_SIZE) {
            uint64_t *field = (uint64_t *)((char *)&next + key->offset);
            *field += key->least;
        }
    }
    next.receive_bytes = 1 << 30;
    enum status status = settings_renew(&now, &next, &all, &problem);
    assert_int_equal(status, STATUS_OK);
    assert_true(strlen(all.kept) < sizeof all.kept && strlen(all.changed) < sizeof all.changed);
    assert_non_null(strstr(all.changed, " → "));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_is_no_news),
        TEST(live_keys_change_and_are_told),
        TEST(fixed_keys_stay_as_they_are),
        TEST(secrets_are_not_shown),
        TEST(the_result_must_not_contradict_itself),
        TEST(long_lists_end_in_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
