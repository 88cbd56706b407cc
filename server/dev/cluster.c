/*
 * cluster.c - the data in the folder: are they there, make them, is somebody serving them.
 *
 * PostgreSQL says what it does in data/postmaster.pid, one fact a line
 * (src/include/utils/pidfile.h): 1 its process number, 2 the data folder, … 8 the status, "ready"
 * once it takes connections. pg_ctl waits in the same way.
 *
 * initdb writes into data.new, which is renamed when it is whole: a run that is killed half-way, or
 * a disk that fills up, leaves nothing that looks like data.
 */
#include "dev.h"

#include "penstock/base.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOG_BYTES_MAX = 64 * 1024, /* of its end, looked at for the reason of a failure */
    LINE_BYTES_MAX = 512,
    INITDB_TIMEOUT_US = 120 * 1000000,
    LEFTOVER_TIMEOUT_US = 60 * 1000000,
    LEFTOVER_POLL_US = 20000,
    STATUS_LINE = 8,
};

enum status cluster_version(const struct folder *folder, int *out, struct problem *problem)
{
    char path[PATH_MAX], line[32] = "";
    *out = 0;
    enum status status = folder_file(folder, "data/PG_VERSION", path, problem);
    if (status != STATUS_OK) {
        return status;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return errno == ENOENT
                   ? STATUS_OK
                   : problem_set(problem, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    }
    if (fgets(line, sizeof line, file) != NULL) {
        *out = atoi(line);
    }
    fclose(file);
    if (*out <= 0) {
        return problem_set(problem, STATUS_BAD_DATABASE, "%s does not hold a version number", path);
    }
    return STATUS_OK;
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *walk)
{
    (void)facts;
    (void)type;
    (void)walk;
    return remove(path);
}

void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* The end of the log, with its first, probably cut line left out. */
static void read_end(const char *path, char out[LOG_BYTES_MAX])
{
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fseek(file, -(LOG_BYTES_MAX - 1), SEEK_END) != 0) {
        rewind(file);
    }
    out[fread(out, 1, LOG_BYTES_MAX - 1, file)] = '\0';
    fclose(file);
}

enum status cluster_blame_log(const struct folder *folder, const char *log, const char *what,
                              struct problem *problem)
{
    static const char *const marks[] = {"PANIC:  ", "FATAL:  ", "ERROR:  ", "error: "};
    char end[LOG_BYTES_MAX], reason[LINE_BYTES_MAX] = "";
    read_end(log, end);
    if (strstr(end, "No space left on device") != NULL) {
        return problem_set(problem, STATUS_DISK_FULL,
                           "the disk is full: %s; free some space on the disk that holds %s, or "
                           "name a folder on another one with --folder",
                           what, folder->path);
    }
    for (char *save = NULL, *line = strtok_r(end, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
            const char *mark = strstr(line, marks[i]);
            if (mark != NULL) {
                snprintf(reason, sizeof reason, "%s", mark + strlen(marks[i]));
            }
        }
    }
    if (reason[0] == '\0') {
        return problem_set(problem, STATUS_BAD_DATABASE, "%s; see %s", what, log);
    }
    return problem_set(problem, STATUS_BAD_DATABASE, "%s: %s (see %s)", what, reason, log);
}

static enum status run_initdb(const struct folder *folder, const struct owner *owner,
                              const char *initdb, const char *data, const char *log,
                              bool is_throwaway, struct problem *problem)
{
    /* Trust is safe here: the socket is in a folder that is closed to everybody else. The superuser
     * is not called penstock: the schema penstock would be its "$user" in search_path, and the
     * example tables would land there. */
    const char *const argv[] = {initdb,
                                "-D",
                                data,
                                "-U",
                                "postgres",
                                "-A",
                                "trust",
                                "-E",
                                "UTF8",
                                "--locale=C.UTF-8",
                                is_throwaway ? "--no-sync" : NULL,
                                NULL};
    struct process process;
    enum status status = process_start(owner, argv, NULL, log, &process, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (!process_wait(&process, INITDB_TIMEOUT_US)) {
        kill(process.pid, SIGKILL);
        process_wait(&process, -1);
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "initdb did not finish within %d seconds; see %s",
                           INITDB_TIMEOUT_US / 1000000, log);
    }
    return process_succeeded(&process) ? STATUS_OK
                                       : cluster_blame_log(folder, log, "initdb failed", problem);
}

enum status cluster_create(const struct folder *folder, const struct owner *owner,
                           const struct programs *programs, bool is_throwaway,
                           struct problem *problem)
{
    char unfinished[PATH_MAX], data[PATH_MAX], log[PATH_MAX], initdb[PATH_MAX + 8];
    enum status status = folder_file(folder, "data.new", unfinished, problem);
    if (status == STATUS_OK) {
        status = folder_file(folder, "data", data, problem);
    }
    if (status == STATUS_OK) {
        status = folder_file(folder, "postgres.log", log, problem);
    }
    if (status != STATUS_OK) {
        return status;
    }
    remove_tree(unfinished);
    snprintf(initdb, sizeof initdb, "%s/initdb", programs->folder);
    status = run_initdb(folder, owner, initdb, unfinished, log, is_throwaway, problem);
    if (status == STATUS_OK && rename(unfinished, data) != 0) {
        status = problem_set(problem, STATUS_IO, "cannot rename %s to %s: %s", unfinished, data,
                             strerror(errno));
    }
    if (status != STATUS_OK) {
        remove_tree(unfinished);
    }
    return status;
}

/* What postmaster.pid says now: the process, and its status without trailing blanks. 0: no file. */
static pid_t read_pid_file(const struct folder *folder, char status[LINE_BYTES_MAX])
{
    char path[PATH_MAX], line[LINE_BYTES_MAX];
    struct problem ignored;
    pid_t pid = 0;
    status[0] = '\0';
    if (folder_file(folder, "data/postmaster.pid", path, &ignored) != STATUS_OK) {
        return 0;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        if (number == 1) {
            pid = (pid_t)atol(line);
        } else if (number == STATUS_LINE) {
            snprintf(status, LINE_BYTES_MAX, "%.*s", (int)strcspn(line, " \n"), line);
        }
    }
    fclose(file);
    return pid;
}

bool cluster_is_ready(const struct folder *folder, pid_t pid)
{
    char status[LINE_BYTES_MAX];
    return read_pid_file(folder, status) == pid && strcmp(status, "ready") == 0;
}

/* Is `pid` a server of this folder, and not something that got an old number? A server works in its
 * data folder (PostgreSQL, ChangeToDataDir). */
static bool serves(pid_t pid, const struct folder *folder)
{
    char link[64], found[PATH_MAX], data[PATH_MAX];
    struct problem ignored;
    snprintf(link, sizeof link, "/proc/%ld/cwd", (long)pid);
    ssize_t length = readlink(link, found, sizeof found - 1);
    if (length < 0 || folder_file(folder, "data", data, &ignored) != STATUS_OK) {
        return false;
    }
    found[length] = '\0';
    return strcmp(found, data) == 0;
}

enum status cluster_stop_leftover(const struct folder *folder, struct problem *problem)
{
    char ignored[LINE_BYTES_MAX];
    pid_t pid = read_pid_file(folder, ignored);
    if (pid <= 1 || !serves(pid, folder)) {
        return STATUS_OK; /* a stale file is PostgreSQL's own business */
    }
    log_info("dev", "stopping PostgreSQL (process %ld) of an earlier run that was killed",
             (long)pid);
    int64_t end = clock_monotonic_us() + LEFTOVER_TIMEOUT_US;
    kill(pid, SIGINT); /* again, if it was told at our predecessor's death: does no harm */
    while (serves(pid, folder)) {
        if (clock_monotonic_us() > end) {
            return problem_set(problem, STATUS_BAD_DATABASE,
                               "PostgreSQL of an earlier run (process %ld) does not stop: stop it "
                               "with kill -QUIT %ld",
                               (long)pid, (long)pid);
        }
        sleep_us(LEFTOVER_POLL_US);
    }
    return STATUS_OK;
}
