/* Where a container forbids io_uring: AUTO goes on with epoll, an explicit wish is refused. */
#include "penstock/loop.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Forbids io_uring_setup(2) to this process for good, as container run-times do. */
static int forbid_uring(void **state)
{
    (void)state;
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0
               ? -1
               : 0;
}

/* AUTO never fails for want of io_uring. */
static void auto_falls_back_to_epoll(void **state)
{
    (void)state;
    struct loop *loop;
    struct problem problem;
    assert_int_equal(loop_open(LOOP_AUTO, &loop, &problem), STATUS_OK);
    assert_int_equal(loop_engine(loop), LOOP_EPOLL);
    loop_close(loop);
}

/* Who asked for uring and cannot have it is told why, and what to do. */
static void an_explicit_uring_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct loop *loop;
    struct problem problem;
    assert_int_equal(loop_open(LOOP_URING, &loop, &problem), STATUS_BAD_CONFIG);
    assert_non_null(strstr(problem.text, "refuses io_uring"));
    assert_non_null(strstr(problem.text, "seccomp"));
    assert_non_null(strstr(problem.text, "\"epoll\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_falls_back_to_epoll),
        cmocka_unit_test(an_explicit_uring_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, forbid_uring, NULL);
}
