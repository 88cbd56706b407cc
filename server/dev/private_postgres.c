/*
 * private_postgres.c - the life of the PostgreSQL of `penstock dev`.
 *
 *   1. owner_find      as whom: ourselves, or the user postgres when we are root;
 *   2. dev_folder_open     make, check and lock the folder;
 *   3. cluster_version, programs_find
 *                      the programs of the version that made the data, or the newest;
 *   4. cluster_stop_leftover
 *                      a killed run leaves a server that is still shutting down;
 *   5. cluster_create  initdb, the first time;
 *   6. launch          start, and wait until it says that it is ready;
 *   7. stop            SIGINT (sessions end, nothing is lost), SIGQUIT, SIGKILL, with patience
 *      between.
 *
 * The lock is given back last, so that whoever gets it finds no server running.
 */
#include "dev.h"

#include "penstock/base.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READY_TIMEOUT_US = 120 * 1000000, /* recovery after a power cut reads its log first */
    READY_POLL_US = 5000,
    STOP_TIMEOUT_US = 30 * 1000000,
    QUIT_TIMEOUT_US = 5 * 1000000,
    SETTINGS_ROOM = 8,                 /* in add_settings(), with the end */
    URL_BYTES_MAX = 3 * PATH_MAX + 64, /* every byte of the path percent-encoded */
};

struct private_postgres {
    struct folder folder;
    struct process process;
    bool is_throwaway;
    char log[PATH_MAX];
    char url[URL_BYTES_MAX];
};

static void write_url(struct private_postgres *postgres)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    struct writer out = writer_of(postgres->url, sizeof postgres->url);
    writer_string(&out, "postgresql:///postgres?user=postgres&host=");
    for (const char *at = postgres->folder.path; *at != '\0'; at++) {
        char escape[4];
        snprintf(escape, sizeof escape, "%%%02X", (unsigned char)*at);
        if (strchr(plain, *at) != NULL) {
            writer_u8(&out, (uint8_t)*at);
        } else {
            writer_string(&out, escape);
        }
    }
    writer_u8(&out, 0);
}

/* unix_socket_directories is a list: quoted, with quotes doubled, a path is one entry whatever it
 * holds (SplitDirectoriesString in PostgreSQL). */
static void write_socket_setting(const char *path, char *out, size_t room)
{
    struct writer w = writer_of(out, room);
    writer_string(&w, "unix_socket_directories=\"");
    for (const char *at = path; *at != '\0'; at++) {
        writer_bytes(&w, at, 1);
        if (*at == '"') {
            writer_u8(&w, '"');
        }
    }
    writer_string(&w, "\"");
    writer_u8(&w, 0);
}

static enum status await_ready(struct private_postgres *postgres, struct problem *problem)
{
    int64_t end = clock_monotonic_us() + READY_TIMEOUT_US;
    while (!cluster_is_ready(&postgres->folder, postgres->process.pid)) {
        if (process_has_ended(&postgres->process)) {
            return cluster_blame_log(&postgres->folder, postgres->log, "PostgreSQL did not start",
                                     problem);
        }
        if (clock_monotonic_us() > end) {
            return problem_set(problem, STATUS_BAD_DATABASE,
                               "PostgreSQL was not ready within %d seconds; see %s",
                               READY_TIMEOUT_US / 1000000, postgres->log);
        }
        sleep_us(READY_POLL_US);
    }
    return STATUS_OK;
}

/* A throwaway forgets what a power cut takes, and leaves its rows as they are. */
static void add_settings(const struct postgres_kind *kind, const char *argv[], size_t at)
{
    static const char *const throwaway[] = {
        "-c", "fsync=off", "-c", "autovacuum=off", "-c", "full_page_writes=off", NULL};
    for (size_t i = 0; kind->is_throwaway && throwaway[i] != NULL; i++) {
        argv[at++] = throwaway[i];
    }
    argv[at] = NULL;
}

static enum status launch(struct private_postgres *postgres, const struct owner *owner,
                          const struct programs *programs, const struct postgres_kind *kind,
                          struct problem *problem)
{
    char program[PATH_MAX + 16], data[PATH_MAX], socket_setting[2 * PATH_MAX + 64];
    enum status status = folder_file(&postgres->folder, "data", data, problem);
    if (status != STATUS_OK) {
        return status;
    }
    snprintf(program, sizeof program, "%s/postgres", programs->folder);
    write_socket_setting(postgres->folder.path, socket_setting, sizeof socket_setting);
    const char *const fixed[] = {program,
                                 "-D",
                                 data,
                                 "-c",
                                 socket_setting,
                                 "-c",
                                 "unix_socket_permissions=0700",
                                 "-c",
                                 "listen_addresses=",
                                 "-c",
                                 "port=5432",
                                 "-c",
                                 "timezone=UTC",
                                 "-c",
                                 "logging_collector=off",
                                 "-c",
                                 "log_destination=stderr"};
    const char *argv[sizeof fixed / sizeof fixed[0] + SETTINGS_ROOM];
    memcpy(argv, fixed, sizeof fixed);
    add_settings(kind, argv, sizeof fixed / sizeof fixed[0]);
    status = process_start(owner, argv, NULL, postgres->log, &postgres->process, problem);
    return status == STATUS_OK ? await_ready(postgres, problem) : status;
}

static enum status prepare(struct private_postgres *postgres, const struct owner *owner,
                           const struct postgres_kind *kind, struct programs *programs,
                           struct problem *problem)
{
    int version;
    enum status status = cluster_version(&postgres->folder, &version, problem);
    if (status == STATUS_OK) {
        status = programs_find(version != 0 ? version : kind->version, programs, problem);
    }
    if (status == STATUS_OK) {
        status = cluster_stop_leftover(&postgres->folder, problem);
    }
    if (status == STATUS_OK && version == 0) {
        log_info("dev", "making a PostgreSQL %d cluster in %s", programs->version,
                 postgres->folder.path);
        status = cluster_create(&postgres->folder, owner, programs, kind->is_throwaway, problem);
    }
    if (status == STATUS_OK) {
        status = folder_file(&postgres->folder, "postgres.log", postgres->log, problem);
    }
    return status;
}

enum status private_postgres_start(const char *folder, struct private_postgres **out,
                                   struct problem *problem)
{
    struct postgres_kind kind = {0};
    return private_postgres_start_kind(folder, &kind, out, problem);
}

enum status private_postgres_start_kind(const char *folder, const struct postgres_kind *kind,
                                        struct private_postgres **out, struct problem *problem)
{
    struct owner owner;
    struct programs programs;
    enum status status = owner_find(&owner, problem);
    if (status != STATUS_OK) {
        return status;
    }
    struct private_postgres *postgres = calloc(1, sizeof *postgres);
    if (postgres == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to start PostgreSQL");
    }
    postgres->is_throwaway = kind->is_throwaway;
    status = dev_folder_open(folder, &owner, &postgres->folder, problem);
    if (status == STATUS_OK) {
        status = prepare(postgres, &owner, kind, &programs, problem);
    }
    if (status == STATUS_OK) {
        status = launch(postgres, &owner, &programs, kind, problem);
    }
    if (status != STATUS_OK) {
        private_postgres_stop(postgres);
        return status;
    }
    write_url(postgres);
    log_info("dev", "PostgreSQL %d is ready: psql -h %s -U postgres postgres", programs.version,
             postgres->folder.path);
    *out = postgres;
    return STATUS_OK;
}

const char *private_postgres_url(const struct private_postgres *postgres)
{
    return postgres->url;
}

const char *private_postgres_folder(const struct private_postgres *postgres)
{
    return postgres->folder.path;
}

enum status private_postgres_check(struct private_postgres *postgres, struct problem *problem)
{
    if (!process_has_ended(&postgres->process)) {
        return STATUS_OK;
    }
    return cluster_blame_log(&postgres->folder, postgres->log, "PostgreSQL has ended", problem);
}

/* What is thrown away need not be left in order. */
static void stop_process(struct process *process, bool is_throwaway)
{
    static const struct {
        int signal;
        int64_t patience_us;
    } steps[] = {{SIGINT, STOP_TIMEOUT_US}, {SIGQUIT, QUIT_TIMEOUT_US}, {SIGKILL, -1}};
    for (size_t i = is_throwaway; i < sizeof steps / sizeof *steps && !process_has_ended(process);
         i++) {
        kill(process->pid, steps[i].signal);
        process_wait(process, steps[i].patience_us);
    }
}

void private_postgres_stop(struct private_postgres *postgres)
{
    if (postgres == NULL) {
        return;
    }
    stop_process(&postgres->process, postgres->is_throwaway);
    dev_folder_close(&postgres->folder);
    free(postgres);
}
