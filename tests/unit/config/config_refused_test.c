/* Every wrong line, variable and flag is refused by a sentence that says what, where and why; and
 * no sentence ever holds a password. */
#include "penstock/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static void file_write(const char *text, size_t size)
{
    snprintf(path, sizeof path, "/tmp/penstock-config-refused-%d", (int)getpid());
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fwrite(text, 1, size, file);
    fclose(file);
}

/* Loading must fail, and the sentence must hold `expected`. */
static void expect_refusal(const char *file, int argc, char **argv, const char *expected)
{
    struct settings settings;
    struct problem problem;
    problem_clear(&problem);
    if (settings_load(&settings, file, argc, argv, 0, &problem) == STATUS_OK) {
        settings_fini(&settings);
        fail_msg("accepted, but expected: %s", expected);
    }
    assert_int_equal(problem.status, STATUS_BAD_CONFIG);
    if (strstr(problem.text, expected) == NULL) {
        fail_msg("\n  said:     %s\n  expected: %s", problem.text, expected);
    }
    assert_null(settings.listen); /* nothing half loaded is left */
}

static const struct {
    const char *text, *expected;
} bad_files[] = {
    {"lanes = 2\nbatch_row = 5\n", ":2: no such option 'batch_row'"},
    {"lanes = 0\n", ":1: lanes must be 1 to 16, not 0"},
    {"lanes = 17\n", ":1: lanes must be 1 to 16, not 17"},
    {"\n\nlanes = two\n", ":3: lanes must be a whole number, not \"two\""},
    {"lanes = -1\n", "lanes must be a whole number, not \"-1\""},
    {"lanes = 2KB\n", "lanes must be a whole number, not \"2KB\""},
    {"lanes = 99999999999999999999999\n", "lanes must be a whole number"},
    {"lanes = 0x2\n", "lanes must be a whole number"},
    {"lanes = \"\"\n", "lanes must be a whole number, not \"\""},
    {"lanes = 2\nlanes = 3\n", ":2: lanes was already set on line 1"},
    {"presence = \"a,,b\"\n", "presence: the name of a channel has 1 to 200 bytes"},
    {"presence = \"room:*, ro*m\"\n", "presence: a '*' stands at the end of a name only"},
    {"batch_bytes = 8XB\n", "batch_bytes must be a size such as 512KB, 64MB or 1GB, not \"8XB\""},
    {"batch_bytes = 1KB\n", "batch_bytes must be 64KB to 1GB, not 1KB"},
    {"batch_bytes = 99999999999999999GB\n", "batch_bytes must be a size"},
    {"message_bytes = 2MB\n", "message_bytes must be 1KB to 1280KB, not 2MB"},
    {"lane_memory_bytes = 48MB\n", "lane_memory_bytes must be a power of two"},
    {"journal_segment_bytes = 67108865\n", "journal_segment_bytes must be a multiple of 4096"},
    {"journal_segment_bytes = 4MB\n", "journal_segment_bytes must be 8MB to 1GB, not 4MB"},
    {"journal_bytes = 100MB\n",
     "journal_bytes (100MB) must be at least 2 times journal_segment_bytes (64MB)"},
    {"receive_bytes = 1MB\nmessage_bytes = 1280KB\n",
     "receive_bytes (1MB) must be at least message_bytes (1280KB)"},
    {"trusted_network = maybe\n", "trusted_network must be true or false, not \"maybe\""},
    {"trusted_proxy = \"10.0.0.0/8, proxy.example\"\n",
     "trusted_proxy: \"proxy.example\" is no address and no network"},
    {"proxy_protocol = true\n", "proxy_protocol needs trusted_proxy"},
    {"burst_s = 0\n", "burst_s must be 1 to 3600, not 0"},
    {"address_prefix = 129\n", "address_prefix must be 16 to 128, not 129"},
    {"loop = kqueue\n", ":1: loop must be one of auto, uring, epoll, not \"kqueue\""},
    {"log_level = loud\n",
     "log_level must be debug, info, warn or error, and may name areas behind it, as in "
     "\"info,edge=debug\", not \"loud\""},
    {"log_format = xml\n", "log_format must be one of logfmt, json, not \"xml\""},
    {"data_dir = \"\"\n", "data_dir must not be empty"},
    {"data_dir = \"a\\nb\"\n", "data_dir contains a control character"},
    {"node = \"a b\"\n", "node must consist of letters, digits"},
    {"node = \"0123456789012345678901234567890123456789x\"\n", "node is longer than 40 bytes"},
    {"listen = \"8080\"\n", "listen must be HOST:PORT"},
    {"listen = \":8080\"\n", "listen must be HOST:PORT"},
    {"listen = \"127.0.0.1:\"\n", "listen must be HOST:PORT"},
    {"listen = \"127.0.0.1:70000\"\n", "listen must be HOST:PORT"},
    {"listen = \"127.0.0.1:http\"\n", "listen must be HOST:PORT"},
    {"listen = \"127.0.0.256:80\"\n", "listen must be HOST:PORT"},
    {"listen = \"::1:8080\"\n", "listen must be HOST:PORT"},
    {"listen = \"[::1:8080\"\n", "listen must be HOST:PORT"},
    {"listen = \"[]:8080\"\n", "listen must be HOST:PORT"},
    {"listen = \"[127.0.0.1]:8080\"\n", "listen must be HOST:PORT"},
    {"listen = \"a host:8080\"\n", "listen must be HOST:PORT"},
    {"listen = \"0.0.0.0:8080\"\n",
     "listen is 0.0.0.0:8080, which other machines may reach, and clients are not asked who they "
     "are"},
    {"listen = \"0.0.0.0:8080\"\nauth_key_file = k\n",
     "tokens would cross the network unprotected"},
    {"listen = \"0.0.0.0:8080\"\ntls_certificate = c\ntls_key = k\n",
     "clients are not asked who they are"},
    {"tls_certificate = c\n", "tls_certificate and tls_key belong together"},
    {"tls_key = k\n", "tls_certificate and tls_key belong together"},
    {"auth_key = k\nauth_key_file = f\n", "auth_key and auth_key_file exclude each other"},
    {"origins = \"https://a.example/\"\n", "origins: \"https://a.example/\" is no origin"},
    {"origins = \"https://a.example, *\"\n", "origins: \"*\" is no origin"},
    {"origins = \"https://A.example\"\n", "is no origin"},
    {"origins = \"https://a.example:443\"\n", "is no origin"},
    {"origins = \"null\"\n", "is no origin"},
    {"hosts = \"gate.example:8080\"\n", "hosts: \"gate.example:8080\" is no name alone"},
    {"hosts = \"gate.example, *.example\"\n", "hosts: \"*.example\" is no name alone"},
    {"allow_subscribe = \"user:{sub}, a*b\"\n", "allow_subscribe: write text, {claim}"},
    {"allow_subscribe = \"user:{sub\"\n", "allow_subscribe: write text, {claim}"},
    {"allow_subscribe = \"user:{}\"\n", "allow_subscribe: write text, {claim}"},
    {"allow_publish = \"a{\"\n", "allow_publish: write text, {claim}"},
    {"stream \"a\" { table = \"T\" set = {\"userId = sub\"} }\n", "a column is set as in"},
    {"stream \"a\" { table = \"T\" set = {\"userId = claim\"} }\n", "a column is set as in"},
    {"stream \"a\" { table = \"T\" set = {\"userId = claim a b\"} }\n", "a column is set as in"},
    {"listen = \"[::]:8080\"\n", "which other machines may reach"},
    {"stream \"a\" { }\n", ":1: stream \"a\" names no table"},
    {"stream \"a\" {\n table = \"T\"\n}\nstream \"a\" { table = \"U\" }\n",
     ":4: found duplicate title"},
    {"stream \"a b\" { table = \"T\" }\n", "a stream's name must have 1 to 54 letters"},
    {"stream \"\" { table = \"T\" }\n", "a stream's name must have 1 to 54 letters"},
    {"stream { table = \"T\" }\n", ":1: missing title for section 'stream'"},
    {"stream \"a\" { tabel = \"T\" }\n", ":1: no such option 'tabel'"},
    {"stream \"a\" {\n table = \"T\"\n channels = {\"\"}\n}\n",
     "stream \"a\": a channel must have 1 to 200 bytes, not 0"},
    {"stream \"a\" { table = \"T\" channels = {\"a\\tb\"} }\n", "contains a control character"},
    {"stream \"a\" { table = \"T\" channels = {a,b,c,d,e,f,g,h,i} }\n",
     "stream \"a\" has 9 channels; an event can go to at most 8"},
    {"stream \"a\" { table = \"T\"\n", ":1: the file ends too early"},
    {"stream \"a\" {\n table =", ":2: the file ends too early"},
    {"lanes 2\n", ":1: missing equal sign after option 'lanes'"},
    {"lanes = \n", ":1: the file ends too early: a value, a quote or a '}' is missing"},
    {"data_dir = \n", ":1: the file ends too early"},
    {"node = \"abc\n\n", ":2: the file ends too early"},
    {"lanes = {1, 2}\n", ":1: unexpected token '{'"},
    {"/* lanes = 2\n", ":1: the file ends too early: a comment is not closed"},
    {"include(\"x\")\n", ":1: no such option 'include'"},
    {"stream \"a\" { table = \"T\" table = \"U\" }\n",
     ":1: stream \"a\": its table was already named on line 1"},
    {"lanes += 2\n", ":1: attempt to append to non-list option 'lanes'"},
    {"}\n", ":1: unexpected closing brace"},
    {"= 5\n", ":1: unexpected token '='"},
};

/* A wrong file names itself, the line, and the rule. */
static void bad_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        file_write(bad_files[i].text, strlen(bad_files[i].text));
        expect_refusal(path, 0, NULL, bad_files[i].expected);
        if (bad_files[i].expected[0] == ':') {
            expect_refusal(path, 0, NULL, path);
        }
    }
    unlink(path);
}

/* What is no configuration file at all. */
static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    expect_refusal("/nonexistent/penstock.conf", 0, NULL,
                   "cannot open the configuration file /nonexistent/penstock.conf: No such file");
    expect_refusal("/tmp", 0, NULL, "/tmp is a folder");
    file_write("lanes = 2\0lanes = 3", 19);
    expect_refusal(path, 0, NULL, "contains a NUL byte");
    static char large[(1 << 20) + 1];
    memset(large, '#', sizeof large);
    file_write(large, sizeof large);
    expect_refusal(path, 0, NULL, "is larger than 1 MB");
    unlink(path);
}

/* One stream more than there is room for. */
static void too_many_streams_are_refused(void **state)
{
    (void)state;
    char text[STREAMS_MAX * 40 + 80] = "";
    for (int i = 0; i <= STREAMS_MAX; i++) {
        snprintf(text + strlen(text), 40, "stream s%d { table = \"T\" }\n", i);
    }
    file_write(text, strlen(text));
    expect_refusal(path, 0, NULL, ":65: more than 64 streams");
    unlink(path);
}

/* A wrong variable is named. */
static void bad_variables_are_refused(void **state)
{
    (void)state;
    setenv("PENSTOCK_BATCH_ROWS", "many", 1);
    expect_refusal(NULL, 0, NULL,
                   "environment variable PENSTOCK_BATCH_ROWS: batch_rows must be a whole number");
    unsetenv("PENSTOCK_BATCH_ROWS");
}

/* A wrong flag is named as it was written. */
static void bad_flags_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *expected;
    } cases[] = {
        {"--lanes=99", NULL, "flag --lanes: lanes must be 1 to 16, not 99"},
        {"--batch-rows", "x", "flag --batch-rows: batch_rows must be a whole number"},
        {"--batch-rows", NULL, "flag --batch-rows needs a value: N"},
        {"--batch-rows", "--lanes", "flag --batch-rows needs a value: N"},
        {"--no-such", "1", "unknown flag --no-such: --help lists all of them"},
        {"--lane", "1", "unknown flag --lane:"},
        {"--lanesx=1", NULL, "unknown flag --lanesx:"},
        {"lanes=1", NULL, "unexpected argument \"lanes…\": settings are given as"},
        {"postgresql://u:hunter2@h/db", NULL, "unexpected argument \"postgresql…\": settings are"},
        {"host=h password=hunter2", NULL, "unexpected argument \"host…\": settings are"},
        {"--postgresql://u:hunter2@h/db", NULL, "unknown flag --postgresql: --help"},
        {"-l", NULL, "unexpected argument \"-l\""},
        {"--", NULL, "unexpected argument \"--\""},
        {"--=1", NULL, "unknown flag --:"},
        {"--auth-key=hunter2", NULL, "auth_key is a secret, and flags can be read by everybody"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *flags[] = {(char *)(uintptr_t)cases[i].first, (char *)(uintptr_t)cases[i].second};
        expect_refusal(NULL, cases[i].second == NULL ? 1 : 2, flags, cases[i].expected);
    }
}

/* A flag may name a database, as long as no password is in it. */
static void passwords_are_refused_as_flags(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "--database-url=postgresql://u:hunter2@h/db",
        "--database-url=postgres://:hunter2@[::1]:5432",
        "--database-url=postgresql://u:p#hunter2@h/db",
        "--database-url=postgresql://u:p?hunter2@h/db",
        "--listen-url=postgresql://u@h/db?sslmode=require&password=hunter2",
        "--database-url=host=h Password = hunter2",
        "--database-url=host=h sslpassword=hunter2",
    };
    static const char *const taken[] = {"--database-url=postgresql://u@[::1]:5432/db",
                                        "--database-url=postgresql:///db?host=/run/a:b",
                                        "--database-url=postgresql://h:5432/a@b",
                                        "--listen-url=host=h passfile=/etc/password"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char *flags[] = {(char *)(uintptr_t)refused[i]};
        expect_refusal(NULL, 1, flags, "_url holds a password, and flags can be read by everybody");
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        char *flags[] = {(char *)(uintptr_t)taken[i]};
        struct settings settings;
        struct problem problem;
        problem_clear(&problem);
        if (settings_load(&settings, NULL, 1, flags, 0, &problem) != STATUS_OK) {
            fail_msg("%s: %s", taken[i], problem.text);
        }
        settings_fini(&settings);
    }
}

/* However a database URL is mistyped, no piece of it is repeated. */
static void passwords_are_never_shown(void **state)
{
    (void)state;
    static const char *const files[] = {
        "database_url = \"postgresql://u:hun\"ter2@h/db\"\n",
        "database_url = host=h password=hunter2\n",
        "database_url = \"host=h\" hunter2\n",
        "listen_url = \"host=h\"\nhunter2\n",
        "database_url = \"hunter2\n\n",
        "database_url = \"hunter2\\n\"\n",
        "database_url = {hunter2, hunter2}\n",
        "database_url = \"hunter2\"\ndatabase_url = \"hunter2\"\n",
        "database_url = hunter2}\n",
        "auth_key = \"-----BEGIN\nx\"\n\n\nhunter2 = 1\n",
        "auth_key = \"hun\"ter2\"\n",
        "auth_key = \"hunter2\001\"\n",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct settings settings;
        struct problem problem;
        file_write(files[i], strlen(files[i]));
        assert_int_equal(settings_load(&settings, path, 0, NULL, 0, &problem), STATUS_BAD_CONFIG);
        if (strstr(problem.text, "hun") != NULL || strstr(problem.text, "ter2") != NULL) {
            fail_msg("%s", problem.text);
        }
    }
    unlink(path);
}

int main(void)
{
    unsetenv("DATABASE_URL");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(too_many_streams_are_refused),
        cmocka_unit_test(bad_variables_are_refused),
        cmocka_unit_test(bad_flags_are_refused),
        cmocka_unit_test(passwords_are_refused_as_flags),
        cmocka_unit_test(passwords_are_never_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
