/* The doorbell from one thread: when it writes, when it does not, and that nothing is left behind.
 */
#include "penstock/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static struct doorbell bell;

static int open_bell(void **state)
{
    (void)state;
    struct problem problem;
    return doorbell_init(&bell, &problem) == STATUS_OK ? 0 : -1;
}

static int close_bell(void **state)
{
    (void)state;
    doorbell_fini(&bell);
    doorbell_fini(&bell);
    return 0;
}

/* Would a sleeper wake? */
static bool has_rung(void)
{
    struct pollfd waiting = {.fd = bell.fd, .events = POLLIN};
    return poll(&waiting, 1, 0) == 1;
}

/* A ring while nobody sleeps costs no write. */
static void nobody_asleep_nothing_written(void **state)
{
    (void)state;
    doorbell_ring(&bell);
    assert_false(has_rung());
}

/* A sleeper is woken, once, however many ring. */
static void a_sleeper_is_woken_once(void **state)
{
    (void)state;
    doorbell_arm(&bell);
    for (int i = 0; i < 5; i++) {
        doorbell_ring(&bell);
    }
    assert_true(has_rung());
    uint64_t rings;
    assert_int_equal(read(bell.fd, &rings, sizeof rings), sizeof rings);
    assert_int_equal(rings, 1);
}

/* Disarming leaves nothing that would wake the next sleep, whether it was rung or not. */
static void disarm_leaves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        doorbell_arm(&bell);
        if (i % 3 != 0) {
            doorbell_ring(&bell);
        }
        doorbell_disarm(&bell);
        assert_false(has_rung());
        assert_int_equal(bell.owed, 0);
        doorbell_ring(&bell);
        assert_false(has_rung());
    }
}

/* Arming or disarming twice is once. */
static void arms_do_not_add_up(void **state)
{
    (void)state;
    doorbell_disarm(&bell);
    doorbell_arm(&bell);
    doorbell_arm(&bell);
    doorbell_ring(&bell);
    doorbell_arm(&bell);
    doorbell_disarm(&bell);
    doorbell_disarm(&bell);
    assert_int_equal(bell.owed, 0);
    assert_false(has_rung());
    doorbell_arm(&bell);
    doorbell_ring(&bell);
    assert_true(has_rung());
    doorbell_disarm(&bell);
    assert_false(has_rung());
}

/* A ringer may take the arm, and write only after the sleeper has disarmed: the late write wakes
 * one sleep for nothing, and is gone after it. Without the count of what is owed, it would wake for
 * ever. */
static void a_late_write_is_drained_by_the_next_disarm(void **state)
{
    (void)state;
    doorbell_arm(&bell);
    atomic_store(&bell.armed, false); /* the ringer, as far as it came */
    doorbell_disarm(&bell);
    uint64_t one = 1;
    assert_int_equal(write(bell.fd, &one, sizeof one), sizeof one); /* the rest of it */

    doorbell_arm(&bell);
    assert_true(has_rung());
    doorbell_disarm(&bell);
    assert_false(has_rung());
    assert_int_equal(bell.owed, 0);
}

/* The descriptor does not block its readers, and is not inherited by programs we start. */
static void the_descriptor_is_private_and_does_not_block(void **state)
{
    (void)state;
    assert_true((fcntl(bell.fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(bell.fd, F_GETFL) & O_NONBLOCK) != 0);
}

/* A bell that was never made can be ended, and closes nothing of others. */
static void the_half_built_can_be_ended(void **state)
{
    (void)state;
    int before = fcntl(STDIN_FILENO, F_GETFD);
    struct doorbell never = {0};
    doorbell_fini(&never);
    doorbell_fini(NULL);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bell, close_bell)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_asleep_nothing_written),
        TEST(a_sleeper_is_woken_once),
        TEST(disarm_leaves_nothing),
        TEST(arms_do_not_add_up),
        TEST(a_late_write_is_drained_by_the_next_disarm),
        TEST(the_descriptor_is_private_and_does_not_block),
        TEST(the_half_built_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
