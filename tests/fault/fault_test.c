/* fault_test.c - the hook itself: what it takes for a description, and that calls reach it. */
#include "fault.h"

#include "penstock/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char why[500];

static void set(const char *text)
{
    if (!fault_set(text, why, sizeof why)) {
        fail_msg("%s", why);
    }
}

/* ---- descriptions ---------------------------------------------------------------------------- */

/* Whatever is not KIND:K:ERR is refused, with what is wrong and how to write it. */
static void a_malformed_fault_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } bad[] = {
        {"", "no such kind"},
        {"malloc", "no such kind"},
        {"mallocs:1:ENOMEM", "no such kind"},
        {":1:ENOMEM", "no such kind"},
        {"malloc:", "K counts from 1"},
        {"malloc:0:ENOMEM", "K counts from 1"},
        {"malloc:-1:ENOMEM", "K counts from 1"},
        {"malloc: 1:ENOMEM", "K counts from 1"},
        {"malloc:x:ENOMEM", "K counts from 1"},
        {"malloc:99999999999999999999:ENOMEM", "K counts from 1"},
        {"malloc:1", "ERR is the name"},
        {"malloc:1:", "ERR is the name"},
        {"malloc:1:12", "ERR is the name"},
        {"malloc:1:ENOMEMORY", "ERR is the name"},
        {"malloc:1+", "ERR is the name"},
        {"malloc:1++:ENOMEM", "ERR is the name"},
        {"malloc:1:ENOMEM ", "ERR is the name"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(fault_set(bad[i].text, why, sizeof why));
        if (strstr(why, bad[i].what) == NULL || strstr(why, "fdatasync:17:EIO") == NULL) {
            fail_msg("\"%s\": %s", bad[i].text, why);
        }
    }
}

/* A process with a malformed variable does nothing but say so. */
static void a_malformed_variable_ends_the_process(void **state)
{
    (void)state;
    char said[600] = "";
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        setenv("PENSTOCK_FAULT", "fdatasync:17", 1);
        execl("/proc/self/exe", "fault_test", (char *)NULL);
        _exit(1);
    }
    close(pipes[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(pipes[0], said, sizeof said - 1) > 0);
    close(pipes[0]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_non_null(strstr(said, "PENSTOCK_FAULT=\"fdatasync:17\": ERR is the name of an errno"));
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* The k-th call fails, those before and behind do not; with `+`, those behind do, too. */
static void the_kth_call_fails(void **state)
{
    (void)state;
    set("write:2:ENOSPC");
    int fd = open("/dev/null", O_WRONLY);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_false(fault_was_reached());
    errno = 0;
    assert_int_equal(pwrite(fd, "x", 1, 0), -1); /* of the same kind */
    assert_int_equal(errno, ENOSPC);
    assert_true(fault_was_reached());
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(fault_calls(), 3);
    set("write:2+:EIO");
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(write(fd, "x", 1), -1);
    fault_clear();
    assert_int_equal(write(fd, "x", 1), 1);
    assert_true(fault_was_reached()); /* it stays told */
    close(fd);
}

/* The calls of each kind go through the hook: one that is missing in CMakeLists.txt would be walked
 * past. */
static void calls_of_each_kind_reach_the_hook(void **state)
{
    (void)state;
    void *volatile memory;
    set("malloc:1+:ENOMEM");
    assert_null(memory = malloc(1));
    assert_null(memory = calloc(1, 1));
    assert_null(memory = realloc(NULL, 1));
    assert_null(memory = aligned_alloc(64, 64));
    assert_null(memory = strdup("x"));
    char *text;
    assert_int_equal(asprintf(&text, "%d", 1), -1);
    set("mmap:1+:ENOMEM");
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
    set("open:1+:EMFILE");
    assert_int_equal(open("/dev/null", O_RDONLY), -1);
    assert_int_equal(openat(AT_FDCWD, "/dev/null", O_RDONLY), -1);
    assert_int_equal(socket(AF_UNIX, SOCK_STREAM, 0), -1);
    assert_null(fopen("/dev/null", "r"));
    set("rename:1+:EIO");
    assert_int_equal(rename("/tmp/none", "/tmp/none"), -1);
    assert_int_equal(errno, EIO);
    set("fdatasync:1+:EIO");
    assert_int_equal(fdatasync(0), -1);
    assert_int_equal(fsync(0), -1);
    set("fallocate:1+:ENOSPC");
    assert_int_equal(fallocate(0, 0, 0, 1), -1);
    assert_int_equal(errno, ENOSPC);
    char byte;
    set("read:1+:EIO");
    assert_int_equal(pread(0, &byte, 1, 0), -1);
    assert_int_equal(errno, EIO);
    fault_clear();
}

/* A socket whose send fails is cut, for the other side, too. */
static void a_failed_send_cuts_the_connection(void **state)
{
    (void)state;
    int pair[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    set("send:2:EPIPE");
    assert_int_equal(send(pair[0], "x", 1, 0), 1);
    assert_int_equal(send(pair[0], "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    fault_clear();
    assert_int_equal(recv(pair[1], &byte, 1, 0), 1);
    assert_int_equal(recv(pair[1], &byte, 1, 0), 0);
    close(pair[0]);
    close(pair[1]);
}

/* ---- io_uring -------------------------------------------------------------------------------- */

static void on_done(struct loop_write *write, int error)
{
    *(int *)write->owner = error;
}

/* A durable write whose answer is to fail fails, and what it wrote is not there. */
static void a_failed_completion_takes_the_bytes_back(void **state)
{
    (void)state;
    struct loop *loop;
    struct problem problem;
    char path[] = "/tmp/penstock-fault-XXXXXX", got[8];
    if (loop_open(LOOP_URING, &loop, &problem) != STATUS_OK) {
        print_message("skipped: %s\n", problem.text);
        skip();
    }
    int error, fd = mkstemp(path);
    struct loop_write write = {.fd = fd,
                               .data = (const uint8_t *)"durable",
                               .size = 7,
                               .on_done = on_done,
                               .owner = &error};
    set("completion:2:EIO");
    for (int i = 0; i < 2; i++) {
        error = 1;
        loop_write_start(loop, &write);
        while (error == 1) {
            assert_int_equal(loop_run_once(loop, -1, &problem), STATUS_OK);
        }
        assert_int_equal(error, i == 0 ? 0 : -EIO);
        assert_int_equal(pread(fd, got, 7, 0), 7);
        assert_memory_equal(got, i == 0 ? "durable" : "\0\0\0\0\0\0\0", 7);
    }
    fault_clear();
    close(fd);
    unlink(path);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_malformed_fault_is_refused),
        cmocka_unit_test(a_malformed_variable_ends_the_process),
        cmocka_unit_test(the_kth_call_fails),
        cmocka_unit_test(calls_of_each_kind_reach_the_hook),
        cmocka_unit_test(a_failed_send_cuts_the_connection),
        cmocka_unit_test(a_failed_completion_takes_the_bytes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
