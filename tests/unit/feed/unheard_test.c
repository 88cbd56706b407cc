/*
 * unheard_test.c - a notification that libpq has read along with the answer to a query makes no
 * socket readable any more: the feed hears it before it sleeps.
 *
 * Another node commits just behind a query of the feed's, whose answer does not tell of it, and its
 * NOTIFY is read by the next one, which is the test's. The feed's sleep notes how far the window
 * was by then.
 */
#include "feed_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define NOWHERE UINT64_MAX

enum query { NO_QUERY, A_READ, A_HEAD };

static struct station station;
static pthread_mutex_t database = PTHREAD_MUTEX_INITIALIZER; /* whoever commits by hand has it */
static _Atomic enum query committed_behind;                  /* this query, next time */
static _Atomic int64_t ahead_us;                             /* our clock's */
static bool is_unheard;                                      /* the feed's thread's own */
static _Atomic uint64_t head_asleep; /* the window's, when the feed then slept first */

/* ---- the feed's thread ----------------------------------------------------------------------- */

int64_t __real_clock_monotonic_us(void);
int64_t __wrap_clock_monotonic_us(void);
int64_t __wrap_clock_monotonic_us(void)
{
    return __real_clock_monotonic_us() + atomic_load(&ahead_us);
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (count == 2 && is_unheard) { /* bell and socket: the feed sleeps */
        is_unheard = false;
        atomic_store(&head_asleep, window_head(station.window));
    }
    return __real_poll(fds, count, timeout_ms);
}

enum status __real_listener_head(struct listener *listener, uint64_t *out, struct problem *problem);
enum status __wrap_listener_head(struct listener *listener, uint64_t *out, struct problem *problem);

static void commit_behind(struct listener *listener, enum query query)
{
    uint64_t ignored;
    struct problem problem;
    enum query due = query;
    if (!atomic_compare_exchange_strong(&committed_behind, &due, NO_QUERY)) {
        return;
    }
    pthread_mutex_lock(&database);
    commit_as("two", 1, true);
    pthread_mutex_unlock(&database);
    struct pollfd socket = {.fd = listener_fd(listener), .events = POLLIN};
    assert_int_equal(__real_poll(&socket, 1, PATIENCE_US / 1000), 1);
    assert_int_equal(__real_listener_head(listener, &ignored, &problem), STATUS_OK);
    is_unheard = true;
}

enum status __wrap_listener_head(struct listener *listener, uint64_t *out, struct problem *problem)
{
    enum status status = __real_listener_head(listener, out, problem);
    commit_behind(listener, A_HEAD);
    return status;
}

enum status __real_listener_read(struct listener *listener, uint64_t first, size_t bytes_max,
                                 void (*visit)(void *owner, struct window_batch *batch),
                                 void *owner, struct problem *problem);
enum status __wrap_listener_read(struct listener *listener, uint64_t first, size_t bytes_max,
                                 void (*visit)(void *owner, struct window_batch *batch),
                                 void *owner, struct problem *problem);
enum status __wrap_listener_read(struct listener *listener, uint64_t first, size_t bytes_max,
                                 void (*visit)(void *owner, struct window_batch *batch),
                                 void *owner, struct problem *problem)
{
    enum status status = __real_listener_read(listener, first, bytes_max, visit, owner, problem);
    commit_behind(listener, A_READ);
    return status;
}

/* ---- the promises ---------------------------------------------------------------------------- */

static void start(enum query query)
{
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    atomic_store(&head_asleep, NOWHERE);
    atomic_store(&committed_behind, query);
}

static void expect_awake_until(uint64_t head)
{
    expect_events(&station, 1, head);
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (atomic_load(&head_asleep) == NOWHERE && clock_monotonic_us() < until) {
        usleep(500);
    }
    station_close(&station);
    assert_int_equal(atomic_load(&head_asleep), head);
}

/* What comes along with the log's batches is heard before the feed sleeps. */
static void what_comes_with_the_log_is_heard(void **state)
{
    (void)state;
    start(A_READ);
    pthread_mutex_lock(&database);
    commit_as("two", 1, true);
    pthread_mutex_unlock(&database);
    expect_awake_until(2);
}

/* So is what comes along when a silent connection is asked whether it lives. */
static void what_comes_with_a_probe_is_heard(void **state)
{
    (void)state;
    start(A_HEAD);
    atomic_fetch_add(&ahead_us, 11 * INT64_C(1000000));
    expect_awake_until(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_comes_with_the_log_is_heard, fresh_schema),
        cmocka_unit_test_setup(what_comes_with_a_probe_is_heard, fresh_schema),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    schema_database_close();
    return failed;
}
