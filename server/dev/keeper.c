/*
 * keeper.c - a process that outlives us for a moment, to clean up behind us.
 *
 * We can remove our folder when we end in order, but not when we are killed. So before there is
 * anything to remove:
 *   1. a pipe is made, of which nobody but us has the writing end;
 *   2. the keeper is forked, in a session of its own, so that what ends a terminal's or a job's
 *      whole group does not reach it. It lets go of all our files: whoever waits for the end of our
 *      output must not wait for it;
 *   3. it reads the pipe, on which nothing ever comes but its end: we have closed it, or are gone.
 *      (PostgreSQL is gone then or on its way: the kernel has told it, owner.c.)
 *   4. it stops what is left of PostgreSQL, and removes the folder, again and again while a dying
 *      process still makes files in it.
 */
#include "dev.h"

#include "penstock/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 600, TRY_US = 50000 };

static void let_go(int kept)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++) {
        dup2(null, fd);
    }
    long most = sysconf(_SC_OPEN_MAX);
    if (kept > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, (unsigned)kept - 1, 0);
    }
    close_range((unsigned)kept + 1, most > kept ? (unsigned)most : ~0u, 0);
}

static void await_end(int pipe)
{
    char byte;
    ssize_t got;
    do {
        got = read(pipe, &byte, 1);
    } while (got > 0 || (got < 0 && errno == EINTR));
}

static bool is_there(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

/* The keeper: never returns. */
static void keep(const char *path, int pipe)
{
    struct folder folder = {.lock = -1};
    struct problem problem;
    snprintf(folder.path, sizeof folder.path, "%s", path);
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    let_go(pipe);
    if (chdir("/") != 0) {
        _exit(1);
    }
    await_end(pipe);
    problem_clear(&problem);
    enum status status = cluster_stop_leftover(&folder, &problem);
    for (int i = 0; i < TRIES && is_there(path); i++) {
        remove_tree(path);
        if (is_there(path)) {
            sleep_us(TRY_US);
        }
    }
    _exit(status == STATUS_OK && !is_there(path) ? 0 : 1);
}

enum status keeper_start(const char *folder, struct keeper *out, struct problem *problem)
{
    int ends[2];
    *out = (struct keeper){.pipe = -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return problem_set(problem, STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    }
    fflush(NULL); /* what is still to be written is ours to write */
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        keep(folder, ends[0]);
    }
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return problem_set(problem, STATUS_IO, "cannot start a process: %s", strerror(errno));
    }
    *out = (struct keeper){.pid = pid, .pipe = ends[1]};
    return STATUS_OK;
}

void keeper_dismiss(struct keeper *keeper)
{
    int status;
    if (keeper->pid == 0) {
        return;
    }
    close(keeper->pipe);
    while (waitpid(keeper->pid, &status, 0) < 0 && errno == EINTR) {
    }
    *keeper = (struct keeper){.pipe = -1};
}
