/* hosts_test.c - the servers of a URL, and looking their names up. */
#include "hosts.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct hosts hosts;
static struct problem problem;

static void read_url(const char *url)
{
    problem_clear(&problem);
    if (hosts_read(url, &hosts, &problem) != STATUS_OK) {
        fail_msg("%s: %s", url, problem.text);
    }
}

/* Names, addresses and ports come out as libpq reads them, one entry for each server. */
static void test_servers_are_read(void **state)
{
    (void)state;
    read_url("postgresql://u@a.example:5433,b.example:5434/db?application_name=x");
    assert_int_equal(hosts.count, 2);
    assert_string_equal(hosts.list[0].name, "a.example");
    assert_string_equal(hosts.list[0].port, "5433");
    assert_string_equal(hosts.list[1].name, "b.example");
    assert_string_equal(hosts.list[1].port, "5434");
    read_url("host=a,b,c port=7 hostaddr=,10.0.0.2,");
    assert_int_equal(hosts.count, 3);
    assert_string_equal(hosts.list[1].address, "10.0.0.2");
    assert_string_equal(hosts.list[2].address, "");
    assert_string_equal(hosts.list[2].port, "7");
    read_url("postgresql:///db");
    assert_int_equal(hosts.count, 0);
    read_url("postgresql:///db?host=/run/postgresql");
    assert_string_equal(hosts.list[0].name, "/run/postgresql");
}

/* Only a name without an address is looked up. */
static void test_what_needs_a_lookup(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool needs;
    } cases[] = {
        {"postgresql:///db", false},
        {"host=/run/postgresql", false},
        {"host=@abstract", false},
        {"host=10.0.0.1", false},
        {"postgresql://[::1]:5432/db", false},
        {"host=db.example hostaddr=10.0.0.1", false},
        {"host=db.example", true},
        {"host=10.0.0.1,db.example", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_url(cases[i].url);
        if (hosts_need_lookup(&hosts) != cases[i].needs) {
            fail_msg("%s", cases[i].url);
        }
    }
}

/* Each turn begins with another server, and none is left out. */
static void test_turns(void **state)
{
    (void)state;
    struct host_lists lists;
    read_url("host=a,b,c port=1,2,3 hostaddr=,10.0.0.2,");
    hosts_join(&hosts, 0, &lists);
    assert_string_equal(lists.host, "a,b,c");
    hosts_join(&hosts, 4, &lists);
    assert_string_equal(lists.host, "b,c,a");
    assert_string_equal(lists.port, "2,3,1");
    assert_string_equal(lists.address, "10.0.0.2,,");
    read_url("postgresql:///db");
    hosts_join(&hosts, 3, &lists);
    assert_string_equal(lists.host, "");
}

/* A URL that cannot be read, or goes beyond the bounds, is refused without being quoted. */
static void test_bad_urls(void **state)
{
    (void)state;
    char many[200] = "host=", name[400];
    for (int i = 0; i < HOSTS_MAX; i++) {
        strcat(many, "a,");
    }
    strcat(many, "a");
    memset(name, 'n', sizeof name);
    memcpy(name, "host=", 5);
    name[sizeof name - 1] = '\0';
    const char *bad[] = {"postgresql://u:s3cr3t@[::1/db", many, name};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        problem_clear(&problem);
        assert_int_equal(hosts_read(bad[i], &hosts, &problem), STATUS_BAD_CONFIG);
        assert_null(strstr(problem.text, "s3cr3t"));
    }
}

/* A known name gets its addresses; one that nobody knows, and what is none, stay as they are. */
static void test_names_are_looked_up(void **state)
{
    (void)state;
    read_url("host=localhost,/run,nobody.invalid port=1,2,3");
    struct lookup *lookup = lookup_start(&hosts);
    assert_non_null(lookup);
    struct pollfd watched = {.fd = lookup_fd(lookup), .events = POLLIN};
    assert_int_equal(poll(&watched, 1, 60000), 1);
    lookup_take(lookup, &hosts);
    lookup_release(lookup);
    assert_true(hosts.count >= 3);
    assert_string_equal(hosts.list[0].name, "localhost");
    assert_string_not_equal(hosts.list[0].address, "");
    assert_string_equal(hosts.list[0].port, "1");
    const struct host *last = &hosts.list[hosts.count - 1];
    assert_string_equal(last->name, "nobody.invalid");
    assert_string_equal(last->address, "");
    assert_string_equal(last[-1].name, "/run");
}

/* Whoever does not wait for the end may let go. */
static void test_lookup_is_given_up(void **state)
{
    (void)state;
    read_url("host=localhost");
    lookup_release(lookup_start(&hosts));
    lookup_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_servers_are_read),
        cmocka_unit_test(test_what_needs_a_lookup),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_names_are_looked_up),
        cmocka_unit_test(test_lookup_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
