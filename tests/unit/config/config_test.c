/* Settings: defaults, the file, the environment, flags, which goes before which, and the texts. */
#include "penstock/config.h"

#include "../../../server/config/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct settings settings;
static struct problem problem;

/* A file with this text; the path stands until the next call. */
static const char *file_with(const char *text)
{
    static char path[] = "/tmp/penstock-config-test.conf";
    snprintf(path, sizeof path, "/tmp/penstock-config-%07d", (int)getpid() % 10000000);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

/* Loads, and fails the test with the reason when that fails. */
static void load(const char *file, int argc, char **argv)
{
    if (settings_load(&settings, file, argc, argv, 0, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    if (file != NULL) {
        unlink(file);
    }
}

static int settings_free(void **state)
{
    (void)state;
    settings_fini(&settings);
    unsetenv("DATABASE_URL");
    unsetenv("PENSTOCK_DATABASE_URL");
    unsetenv("PENSTOCK_LANES");
    return 0;
}

/* Without anything, the settings are those that the table names. */
static void defaults_are_the_tables(void **state)
{
    (void)state;
    load(NULL, 0, NULL);
    assert_string_equal(settings.listen, "127.0.0.1:8080");
    assert_false(settings.trusted_network);
    assert_string_equal(settings.database_url, "");
    assert_string_equal(settings.data_dir, "./penstock-data");
    assert_int_equal(settings.lanes, 2);
    assert_int_equal(settings.loop, LOOP_AUTO);
    assert_int_equal(settings.message_bytes, 1 << 20);
    assert_int_equal(settings.journal_bytes, 1 << 30);
    assert_int_equal(settings.lane_memory_bytes, 32 << 20);
    assert_int_equal(settings.batch_rows, 10000);
    assert_int_equal(settings.log_format, LOG_FORMAT_LOGFMT);
    assert_string_equal(settings.log_level, "info");
    assert_int_equal(settings.stream_count, 0);
}

/* The file sets keys, quoted or not, and streams with their channels, in the order they stand. */
static void the_file_sets_keys_and_streams(void **state)
{
    (void)state;
    load(file_with("# a comment\n"
                   "listen = \"[::1]:9090\"\n"
                   "lanes = 4\n"
                   "loop = epoll\n"
                   "log_level = \"debug\"\n"
                   "trusted_network = true\n"
                   "stream \"behavior\" {\n"
                   "    table = \"BehaviorLog\"\n"
                   "    channels = {\"user:{userId}\", \"stream:behavior\"}\n"
                   "}\n"
                   "stream social { table = \"app.SocialPost\" }\n"),
         0, NULL);
    assert_string_equal(settings.listen, "[::1]:9090");
    assert_int_equal(settings.lanes, 4);
    assert_int_equal(settings.loop, LOOP_EPOLL);
    assert_string_equal(settings.log_level, "debug");
    assert_true(settings.trusted_network);
    assert_int_equal(settings.stream_count, 2);
    assert_string_equal(settings.streams[0].name, "behavior");
    assert_string_equal(settings.streams[0].table, "BehaviorLog");
    assert_int_equal(settings.streams[0].channel_count, 2);
    assert_string_equal(settings.streams[0].channels[0], "user:{userId}");
    assert_string_equal(settings.streams[0].channels[1], "stream:behavior");
    assert_string_equal(settings.streams[1].name, "social");
    assert_string_equal(settings.streams[1].table, "app.SocialPost");
    assert_int_equal(settings.streams[1].channel_count, 0);
}

/* An empty file is a file: all defaults. */
static void an_empty_file_changes_nothing(void **state)
{
    (void)state;
    load(file_with(""), 0, NULL);
    assert_int_equal(settings.lanes, 2);
}

/* Sizes count in 1024s, with any of the usual units, in any case, with or without a blank. */
static void sizes_take_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"65536", 65536}, {"64KB", 65536},  {"64K", 65536},   {"64KiB", 65536},
                 {"64kb", 65536},  {"64 KB", 65536}, {"1MB", 1 << 20}, {"1 MiB", 1 << 20},
                 {"1g", 1u << 30}, {"65536B", 65536}};
    const struct key *key = key_find("send-bytes", 10);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(key_set(&settings, key, cases[i].text, &problem), STATUS_OK);
        assert_int_equal(settings.send_bytes, cases[i].bytes);
    }
}

/* default < file < environment < flag, key by key. */
static void later_sources_go_first(void **state)
{
    (void)state;
    char *flags[] = {(char *)"--batch-rows=400", (char *)"--log_format", (char *)"json"};
    setenv("PENSTOCK_LANES", "3", 1);
    const char *file = file_with("lanes = 4\nbatch_rows = 100\ninflight = 7\n");
    load(file, 3, flags);
    assert_int_equal(settings.inflight, 7);
    assert_int_equal(settings.lanes, 3);
    assert_int_equal(settings.batch_rows, 400);
    assert_int_equal(settings.log_format, LOG_FORMAT_JSON);
}

/* database_url is also read from DATABASE_URL, which our own variable goes before; one that is set
 * but empty says nothing. */
static void the_database_has_two_variables(void **state)
{
    (void)state;
    setenv("DATABASE_URL", "postgresql:///one", 1);
    setenv("PENSTOCK_DATABASE_URL", "", 1);
    load(NULL, 0, NULL);
    assert_string_equal(settings.database_url, "postgresql:///one");
    settings_fini(&settings);
    setenv("PENSTOCK_DATABASE_URL", "postgresql:///two", 1);
    load(NULL, 0, NULL);
    assert_string_equal(settings.database_url, "postgresql:///two");
}

/* A switch may stand alone, and does not eat the argument after it unless that is its value. */
static void a_switch_may_stand_alone(void **state)
{
    (void)state;
    char *alone[] = {(char *)"--trusted-network", (char *)"--lanes", (char *)"1"};
    load(NULL, 3, alone);
    assert_true(settings.trusted_network);
    assert_int_equal(settings.lanes, 1);
    settings_fini(&settings);
    char *valued[] = {(char *)"--trusted-network", (char *)"off"};
    load(NULL, 2, valued);
    assert_false(settings.trusted_network);
}

/* "${NAME}" in a quoted value stands for an environment variable, as the reference file says. */
static void a_quoted_value_may_name_a_variable(void **state)
{
    (void)state;
    setenv("DATABASE_URL", "", 1);
    setenv("PENSTOCK_TEST_HOST", "db.example", 1);
    load(file_with("database_url = \"postgresql://${PENSTOCK_TEST_HOST}/app\"\n"), 0, NULL);
    assert_string_equal(settings.database_url, "postgresql://db.example/app");
    unsetenv("PENSTOCK_TEST_HOST");
}

/* Addresses of this machine need no consent; others have it by trusted_network. */
static void addresses_that_are_accepted(void **state)
{
    (void)state;
    static const char *const loopback[] = {"127.0.0.1:0", "127.9.9.9:65535", "localhost:80",
                                           "[::1]:8080"};
    static const char *const others[] = {"0.0.0.0:80", "[::]:80", "10.1.2.3:80",
                                         "events.example:80"};
    for (size_t i = 0; i < 4; i++) {
        char *flags[] = {(char *)"--listen", (char *)(uintptr_t)loopback[i],
                         (char *)"--trusted-network=true"};
        load(NULL, 2, flags);
        settings_fini(&settings);
        flags[1] = (char *)(uintptr_t)others[i];
        load(NULL, 3, flags);
        assert_string_equal(settings.listen, others[i]);
        settings_fini(&settings);
    }
}

static char *printed(void (*print)(void *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    print(out);
    fclose(out);
    return text;
}

/* A list between commas comes element by element, blanks cut, empty ones passed over. */
static void lists_are_cut_at_commas(void **state)
{
    (void)state;
    const char *list = " user:{sub} ,news:*,, a b ,";
    struct span element;
    assert_true(settings_list_next(&list, &element) && span_is(element, "user:{sub}"));
    assert_true(settings_list_next(&list, &element) && span_is(element, "news:*"));
    assert_true(settings_list_next(&list, &element) && span_is(element, "a b"));
    assert_false(settings_list_next(&list, &element));
    list = "";
    assert_false(settings_list_next(&list, &element));
}

/* With keys for tokens and TLS other machines may come without `trusted_network`, and a stream's
 * columns can be set from claims. */
static void authentication_is_read(void **state)
{
    (void)state;
    load(file_with("listen = \"0.0.0.0:8443\"\n"
                   "auth_key_file = \"/etc/penstock/keys.json\"\n"
                   "tls_certificate = c.pem\ntls_key = k.pem\n"
                   "origins = \"https://app.example, http://localhost:3000\"\n"
                   "allow_subscribe = \"user:{sub}, news:*\"\n"
                   "stream \"a\" { table = \"T\" set = {\"userId = claim sub\", "
                   "\"org=claim https://x.example/org\"} }\n"),
         0, NULL);
    assert_true(settings_ask_tokens(&settings));
    assert_true(settings_protect_transport(&settings));
    assert_string_equal(settings.auth_publish_claim, "publish");
    assert_int_equal(settings.streams[0].set_count, 2);
    assert_string_equal(settings.streams[0].sets[0].column, "userId");
    assert_string_equal(settings.streams[0].sets[0].claim, "sub");
    assert_string_equal(settings.streams[0].sets[1].column, "org");
    assert_string_equal(settings.streams[0].sets[1].claim, "https://x.example/org");
}

/* Names, and beginnings of names: no others, and none unless somebody says so. */
static void presence_is_on_where_it_is_named(void **state)
{
    (void)state;
    load(NULL, 0, NULL);
    assert_false(settings_have_presence(&settings));
    assert_false(settings_presence_is_on(&settings, span_string("")));
    settings_fini(&settings);
    load(file_with("presence = \" lobby,room:* , a b\"\n"), 0, NULL);
    static const char *const on[] = {"lobby", "room:", "room:1", "a b"};
    static const char *const off[] = {"", "lobb", "lobby2", "room", "a", "*", " lobby"};
    assert_true(settings_have_presence(&settings));
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        assert_true(settings_presence_is_on(&settings, span_string(on[i])));
    }
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        assert_false(settings_presence_is_on(&settings, span_string(off[i])));
    }
}

/* --help has every key as a flag, with its default; a secret is no flag. */
static void help_names_every_key(void **state)
{
    (void)state;
    char *text = printed(settings_print_help);
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        char flag[80] = "  --";
        size_t at = key->no_flag ? 2 : strlen(flag);
        for (const char *from = key->name; *from != '\0'; from++) {
            flag[at++] = *from == '_' && !key->no_flag ? '-' : *from;
        }
        flag[at++] = ' ';
        flag[at] = '\0';
        assert_non_null(strstr(text, flag));
        assert_non_null(strstr(text, key->value));
    }
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 100);
    }
    free(text);
}

/* The example file in deploy/ is what the table prints. To renew it: build/…/config_test
 * --reference > deploy/penstock.conf.example */
static void the_example_file_is_the_reference(void **state)
{
    (void)state;
    const char *folder = getenv("PENSTOCK_SOURCE_DIR");
    if (folder == NULL) {
        print_message("skipped: PENSTOCK_SOURCE_DIR is not set\n");
        skip();
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/deploy/penstock.conf.example", folder);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    static char checked_in[1 << 16];
    size_t size = fread(checked_in, 1, sizeof checked_in - 1, file);
    fclose(file);
    checked_in[size] = '\0';
    char *text = printed(settings_print_reference);
    assert_string_equal(checked_in, text);
    free(text);
}

/* Taking away every '#' that hides a setting gives a file that is accepted and says the defaults.
 */
static void the_reference_with_nothing_hidden_is_accepted(void **state)
{
    (void)state;
    char *text = printed(settings_print_reference);
    char *to = text;
    for (const char *line = text, *next; *line != '\0'; line = next) {
        next = line + strcspn(line, "\n") + 1;
        if (line[0] == '#' && strncmp(line, "# ", 2) != 0 && line[1] != '\n') {
            line++;
        } else if (strncmp(line, "#    ", 5) == 0) {
            line++;
        }
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = '\0';
    load(file_with(text), 0, NULL);
    free(text);
    assert_int_equal(settings.stream_count, 1);
    assert_int_equal(settings.streams[0].channel_count, 2);

    struct settings fresh;
    assert_int_equal(settings_load(&fresh, NULL, 0, NULL, 0, &problem), STATUS_OK);
    for (size_t i = 0; i < key_count(); i++) {
        const struct key *key = key_at(i);
        const char *a = (const char *)&settings + key->offset;
        const char *b = (const char *)&fresh + key->offset;
        if (key->type == KEY_TEXT) {
            assert_string_equal(*(char *const *)a, *(char *const *)b);
        } else {
            size_t size = key->type == KEY_SWITCH   ? sizeof(bool)
                          : key->type == KEY_CHOICE ? sizeof(int)
                                                    : sizeof(uint64_t);
            assert_memory_equal(a, b, size);
        }
    }
    settings_fini(&fresh);
}

/* The words of a choice stand in the order of the enum that they become. */
static void choices_match_their_enums(void **state)
{
    (void)state;
    const struct key *loop = key_find("loop", 4);
    assert_string_equal(loop->choices[LOOP_AUTO], "auto");
    assert_string_equal(loop->choices[LOOP_URING], "uring");
    assert_string_equal(loop->choices[LOOP_EPOLL], "epoll");
    assert_string_equal(key_find("log_format", 10)->choices[LOG_FORMAT_JSON], "json");
}

#define TEST(name) cmocka_unit_test_teardown(name, settings_free)

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--reference") == 0) {
        settings_print_reference(stdout);
        return 0;
    }
    unsetenv("DATABASE_URL");
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_the_tables),
        TEST(the_file_sets_keys_and_streams),
        TEST(an_empty_file_changes_nothing),
        TEST(sizes_take_units),
        TEST(later_sources_go_first),
        TEST(the_database_has_two_variables),
        TEST(a_switch_may_stand_alone),
        TEST(a_quoted_value_may_name_a_variable),
        TEST(addresses_that_are_accepted),
        TEST(lists_are_cut_at_commas),
        TEST(authentication_is_read),
        TEST(presence_is_on_where_it_is_named),
        TEST(help_names_every_key),
        TEST(the_example_file_is_the_reference),
        TEST(the_reference_with_nothing_hidden_is_accepted),
        TEST(choices_match_their_enums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
