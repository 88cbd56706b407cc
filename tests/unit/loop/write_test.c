/* Durable writes: all bytes, in the right place, and the reason when that is not possible. */
#include "loop_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct job {
    struct loop_write write;
    struct fixture *f;
    int error, calls, again;
    bool done;
};

static void on_done(struct loop_write *write, int error)
{
    struct job *job = write->owner;
    job->error = error;
    job->calls++;
    if (job->again > 0 && error == 0) {
        job->again--;
        write->offset += write->size;
        loop_write_start(job->f->loop, write);
        return;
    }
    job->done = true;
}

static void job_start(struct job *job, struct fixture *f, int fd, const void *data, size_t size,
                      uint64_t offset)
{
    job->f = f;
    job->done = false;
    job->write = (struct loop_write){
        .fd = fd, .data = data, .size = size, .offset = offset, .on_done = on_done, .owner = job};
    loop_write_start(f->loop, &job->write);
}

/* A new file without a name; `flags` are added to open(2)'s. */
static int file_open(int flags)
{
    char path[] = "/tmp/penstock-loop-test.XXXXXX";
    int made = mkstemp(path);
    assert_true(made >= 0);
    int fd = open(path, O_RDWR | O_CLOEXEC | flags);
    close(made);
    unlink(path);
    return fd;
}

static void expect_bytes(int fd, uint64_t offset, uint8_t byte, size_t size)
{
    uint8_t got[4096];
    while (size > 0) {
        size_t piece = size < sizeof got ? size : sizeof got;
        assert_int_equal(pread(fd, got, piece, (off_t)offset), (ssize_t)piece);
        for (size_t i = 0; i < piece; i++) {
            assert_int_equal(got[i], byte);
        }
        offset += piece;
        size -= piece;
    }
}

/* All bytes are at their offset when the callback says 0, made durable by RWF_DSYNC. */
static void a_write_lands_whole(void **state)
{
    struct fixture *f = *state;
    struct job job = {0};
    int fd = file_open(0);
    static uint8_t data[3 << 20];
    memset(data, 'a', sizeof data);
    job_start(&job, f, fd, data, sizeof data, 4096);
    assert_false(job.done); /* never from inside the start */
    run_until(f->loop, &job.done, 30 * 1000);
    assert_int_equal(job.calls, 1);
    assert_int_equal(job.error, 0);
    expect_bytes(fd, 4096, 'a', sizeof data);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 4096 + sizeof data);
    close(fd);
}

/* The journal's way: an aligned buffer to an O_DIRECT|O_DSYNC file, where the file system has it.
 */
static void a_direct_write_lands_whole(void **state)
{
    struct fixture *f = *state;
    int fd = file_open(O_DIRECT | O_DSYNC);
    if (fd < 0) {
        print_message("skipped: this file system refuses O_DIRECT\n");
        skip();
    }
    struct job job = {0};
    uint8_t *data = aligned_alloc(4096, 65536);
    memset(data, 'd', 65536);
    job.f = f;
    job.write = (struct loop_write){.fd = fd,
                                    .sync_by_flag = true,
                                    .data = data,
                                    .size = 65536,
                                    .offset = 8192,
                                    .on_done = on_done,
                                    .owner = &job};
    loop_write_start(f->loop, &job.write);
    run_until(f->loop, &job.done, 30 * 1000);
    assert_int_equal(job.error, 0);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* no O_DIRECT for the reading back */
    expect_bytes(fd, 8192, 'd', 65536);
    free(data);
    close(fd);
}

/* A callback may start the same request again: natural group commit. */
static void a_callback_may_write_again(void **state)
{
    struct fixture *f = *state;
    struct job job = {.again = 9};
    int fd = file_open(0);
    uint8_t data[512];
    memset(data, 'r', sizeof data);
    job_start(&job, f, fd, data, sizeof data, 0);
    run_until(f->loop, &job.done, 30 * 1000);
    assert_int_equal(job.calls, 10);
    expect_bytes(fd, 0, 'r', 10 * sizeof data);
    close(fd);
}

/* Several writes under way each answer once, for themselves. */
static void writes_do_not_mix(void **state)
{
    struct fixture *f = *state;
    struct job jobs[8];
    memset(jobs, 0, sizeof jobs);
    uint8_t data[8][4096];
    int fd = file_open(0);
    for (int i = 0; i < 8; i++) {
        memset(data[i], 'A' + i, sizeof data[i]);
        job_start(&jobs[i], f, fd, data[i], sizeof data[i], (uint64_t)i * sizeof data[i]);
    }
    for (int i = 0; i < 8; i++) {
        run_until(f->loop, &jobs[i].done, 30 * 1000);
        assert_int_equal(jobs[i].calls, 1);
        assert_int_equal(jobs[i].error, 0);
        expect_bytes(fd, (uint64_t)i * 4096, (uint8_t)('A' + i), 4096);
    }
    close(fd);
}

/* A descriptor that cannot be written: the errno, once. */
static void a_read_only_file_is_ebadf(void **state)
{
    struct fixture *f = *state;
    struct job job = {0};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    job_start(&job, f, fd, "x", 1, 0);
    run_until(f->loop, &job.done, 5000);
    assert_int_equal(job.calls, 1);
    assert_int_equal(job.error, -EBADF);
    close(fd);
}

/* A full disk says so. */
static void a_full_device_is_enospc(void **state)
{
    struct fixture *f = *state;
    struct job job = {0};
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    job_start(&job, f, fd, "x", 1, 0);
    run_until(f->loop, &job.done, 5000);
    assert_int_equal(job.error, -ENOSPC);
    close(fd);
}

/* The file may grow by half of the write only (RLIMIT_FSIZE): the kernel writes short, the loop
 * goes on with the rest, and the rest is refused. So a short write is neither success nor the end.
 */
static void a_short_write_is_continued_and_fails(void **state)
{
    struct fixture *f = *state;
    struct job job = {0};
    int fd = file_open(0);
    uint8_t data[16384];
    memset(data, 's', sizeof data);
    struct rlimit before, half;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    half = (struct rlimit){8192, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &half), 0);
    job_start(&job, f, fd, data, sizeof data, 0);
    run_until(f->loop, &job.done, 5000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(job.calls, 1);
    assert_int_equal(job.error, -EFBIG);
    assert_int_equal(job.write.engine_written, 8192);
    expect_bytes(fd, 0, 's', 8192);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

const struct CMUnitTest write_tests[] = {
    TEST(a_write_lands_whole),
    TEST(a_direct_write_lands_whole),
    TEST(a_callback_may_write_again),
    TEST(writes_do_not_mix),
    TEST(a_read_only_file_is_ebadf),
    TEST(a_full_device_is_enospc),
    TEST(a_short_write_is_continued_and_fails),
};
const size_t write_test_count = sizeof write_tests / sizeof write_tests[0];
