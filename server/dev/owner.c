/*
 * owner.c - processes that belong to another user, and do not outlive us.
 *
 * Life of a process:
 *   1. before the fork everything is made that the child must not make itself: environment, log
 *      file;
 *   2. the child gets a session of its own (Ctrl-C of the terminal is for us alone, and we stop
 *      PostgreSQL in order), becomes its owner, and asks for SIGINT at our death, in this order:
 *      the kernel drops the request at a change of user (prctl(2), PR_SET_PDEATHSIG);
 *   3. it checks that we did not die before it asked, and becomes the program;
 *   4. waitpid(2) tells of its end.
 * A child that fails before step 4 says so on a pipe that the exec closes.
 */
#include "dev.h"

#include "penstock/base.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { POLL_US = 5000, ENVIRONMENT_MAX = 1024 };

extern char **environ;

enum status owner_find(struct owner *out, struct problem *problem)
{
    *out = (struct owner){.uid = getuid(), .gid = getgid()};
    if (out->uid != 0) {
        return STATUS_OK;
    }
    const struct passwd *account = getpwnam("postgres");
    if (account == NULL) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "PostgreSQL does not run as root and there is no user postgres: install "
                           "the package postgresql, or run this as an ordinary user");
    }
    *out = (struct owner){.is_other = true, .uid = account->pw_uid, .gid = account->pw_gid};
    return STATUS_OK;
}

/* Ours without what would point PostgreSQL elsewhere, and with messages in English: we read them.
 */
static void fill_environment(const char *variable, char *out[ENVIRONMENT_MAX])
{
    static char english[] = "LC_ALL=C";
    size_t count = 0;
    for (char **entry = environ; *entry != NULL && count < ENVIRONMENT_MAX - 3; entry++) {
        if (strncmp(*entry, "PG", 2) != 0 && strncmp(*entry, "LC_", 3) != 0 &&
            strncmp(*entry, "LANG", 4) != 0) {
            out[count++] = *entry;
        }
    }
    out[count++] = english;
    if (variable != NULL) {
        out[count++] = (char *)variable; /* execve() does not write to it */
    }
    out[count] = NULL;
}

static bool become(const struct owner *owner)
{
    if (!owner->is_other) {
        return true;
    }
    return setgroups(1, &owner->gid) == 0 && setgid(owner->gid) == 0 && setuid(owner->uid) == 0;
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

/* The child: never returns. `report` takes errno when the program cannot be started. */
static void run_child(const struct owner *owner, const char *const argv[], char **environment,
                      int log, int report, pid_t parent)
{
    reset_signals();
    setsid();
    int null = open("/dev/null", O_RDONLY);
    bool is_ready = null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 &&
                    dup2(log, STDERR_FILENO) >= 0 && chdir("/") == 0 && become(owner) &&
                    prctl(PR_SET_PDEATHSIG, SIGINT) == 0;
    if (is_ready && getppid() == parent) {
        execve(argv[0], (char *const *)argv, environment);
    }
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

static enum status open_log(const struct owner *owner, const char *path, int *out,
                            struct problem *problem)
{
    *out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*out < 0) {
        return problem_set(problem, errno == ENOSPC ? STATUS_DISK_FULL : STATUS_IO,
                           "cannot write %s: %s", path, strerror(errno));
    }
    if (owner->is_other && fchown(*out, owner->uid, owner->gid) != 0) {
        int error = errno;
        close(*out);
        return problem_set(problem, STATUS_IO, "cannot give %s to the user postgres: %s", path,
                           strerror(error));
    }
    return STATUS_OK;
}

/* Waits for the exec: nothing on the pipe is good news. */
static enum status await_exec(int report, const char *program, struct process *process,
                              struct problem *problem)
{
    int error = 0;
    ssize_t got;
    do {
        got = read(report, &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return STATUS_OK;
    }
    process_wait(process, -1);
    return problem_set(problem, STATUS_BAD_DATABASE, "cannot start %s: %s", program,
                       strerror(error));
}

enum status process_start(const struct owner *owner, const char *const argv[], const char *variable,
                          const char *log, struct process *out, struct problem *problem)
{
    char *environment[ENVIRONMENT_MAX];
    fill_environment(variable, environment);
    *out = (struct process){0};
    int log_fd, report[2];
    enum status status = open_log(owner, log, &log_fd, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (pipe2(report, O_CLOEXEC) != 0) {
        status = problem_set(problem, STATUS_IO, "cannot make a pipe: %s", strerror(errno));
        goto close_log;
    }
    pid_t parent = getpid();
    out->pid = fork();
    if (out->pid == 0) {
        run_child(owner, argv, environment, log_fd, report[1], parent);
    }
    close(report[1]);
    if (out->pid < 0) {
        status = problem_set(problem, STATUS_IO, "cannot start a process: %s", strerror(errno));
        out->pid = 0;
    } else {
        status = await_exec(report[0], argv[0], out, problem);
    }
    close(report[0]);
close_log:
    close(log_fd);
    return status;
}

bool process_has_ended(struct process *process)
{
    if (process->pid == 0) {
        return true;
    }
    int status;
    pid_t got = waitpid(process->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) {
        return false;
    }
    *process = (struct process){.pid = 0, .status = got > 0 ? status : 0};
    return true;
}

bool process_wait(struct process *process, int64_t timeout_us)
{
    int64_t end = clock_monotonic_us() + timeout_us;
    while (!process_has_ended(process)) {
        if (timeout_us >= 0 && clock_monotonic_us() >= end) {
            return false;
        }
        sleep_us(POLL_US);
    }
    return true;
}

bool process_succeeded(const struct process *process)
{
    return WIFEXITED(process->status) && WEXITSTATUS(process->status) == 0;
}

void sleep_us(int64_t us)
{
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&time, NULL);
}
