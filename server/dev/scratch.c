/*
 * scratch.c - a copy of a database's schema, in a PostgreSQL that lives as long as we need it.
 *
 *   1. programs_find       of the database's own major version, so that it behaves as that does;
 *   2. mkdtemp, keeper     a folder, and who removes it if we cannot;
 *   3. private_postgres    as for `penstock dev`, but nothing of it is durable;
 *   4. pg_dump             the schema into a file; it waits for no lock longer than LOCK_WAIT;
 *   5. psql                the file into the copy. pg_dump's output is for psql: newer ones begin
 *                          with a command of its own (\restrict).
 *
 * The database's password goes by the environment: arguments are for everybody to read.
 */
#include "dev.h"

#include "penstock/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_WAIT "--lock-wait-timeout=5000"

enum { COPY_TIMEOUT_US = 600 * 1000000, LOG_BYTES = 16 * 1024, VARIABLE_BYTES = 2048 };

struct scratch {
    struct programs programs;
    char folder[PATH_MAX];
    struct keeper keeper;
    struct private_postgres *postgres; /* owns */
};

/* ---- its life -------------------------------------------------------------------------------- */

static enum status find_programs(int version, struct programs *out, struct problem *problem)
{
    if (programs_find(version, out, problem) == STATUS_OK) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_BAD_DATABASE,
                       "a scratch copy needs the programs of the database's own PostgreSQL, %d, "
                       "which are not installed here: install the package postgresql-%d, or name "
                       "their folder in PENSTOCK_POSTGRES_BIN",
                       version, version);
}

static enum status make_folder(struct scratch *scratch, struct problem *problem)
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(scratch->folder, sizeof scratch->folder, "%s/penstock-scratch.XXXXXX",
                          parent == NULL || parent[0] != '/' ? "/tmp" : parent);
    if (length >= (int)sizeof scratch->folder || mkdtemp(scratch->folder) == NULL) {
        enum status status = errno == ENOSPC ? STATUS_DISK_FULL : STATUS_IO;
        return problem_set(problem, status, "cannot make the folder of a scratch copy, %.200s: %s",
                           scratch->folder, strerror(errno));
    }
    enum status status = keeper_start(scratch->folder, &scratch->keeper, problem);
    if (status != STATUS_OK) {
        rmdir(scratch->folder);
    }
    return status;
}

enum status scratch_start(int version, struct scratch **out, struct problem *problem)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a scratch copy");
    }
    struct postgres_kind kind = {.version = version, .is_throwaway = true};
    enum status status = find_programs(version, &scratch->programs, problem);
    if (status == STATUS_OK) {
        status = make_folder(scratch, problem);
    }
    if (status == STATUS_OK) {
        status = private_postgres_start_kind(scratch->folder, &kind, &scratch->postgres, problem);
    }
    if (status != STATUS_OK) {
        problem_context(problem, "scratch copy (TMPDIR names its place)");
        scratch_stop(scratch);
        return status;
    }
    *out = scratch;
    return STATUS_OK;
}

const char *scratch_url(const struct scratch *scratch)
{
    return private_postgres_url(scratch->postgres);
}

void scratch_stop(struct scratch *scratch)
{
    if (scratch != NULL) {
        private_postgres_stop(scratch->postgres);
        keeper_dismiss(&scratch->keeper);
        free(scratch);
    }
}

/* ---- the copy -------------------------------------------------------------------------------- */

/* The first line of the log with an error in it, which is the one that the others come from. */
static enum status blame(const char *what, const char *log, struct problem *problem)
{
    char text[LOG_BYTES];
    FILE *file = fopen(log, "re");
    text[file == NULL ? 0 : fread(text, 1, sizeof text - 1, file)] = '\0';
    if (file != NULL) {
        fclose(file);
    }
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        const char *mark = strstr(line, "rror: ");
        mark = mark == NULL ? strstr(line, "ERROR: ") : mark;
        if (mark != NULL) {
            mark = strchr(mark, ' ');
            return problem_set(problem, STATUS_BAD_DATABASE, "%s: %.300s", what,
                               mark + strspn(mark, " "));
        }
    }
    return problem_set(problem, STATUS_BAD_DATABASE, "%s, and did not say why", what);
}

/* Runs one of PostgreSQL's programs as ourselves, to its end. */
static enum status run(struct scratch *scratch, const char *const argv[], const char *variable,
                       const char *what, struct problem *problem)
{
    struct owner ourselves = {.uid = getuid(), .gid = getgid()};
    struct process process;
    char log[PATH_MAX + 16];
    snprintf(log, sizeof log, "%s/copy.log", scratch->folder);
    if (access(argv[0], X_OK) != 0) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "%.200s is missing: install the package postgresql-client-%d", argv[0],
                           scratch->programs.version);
    }
    enum status status = process_start(&ourselves, argv, variable, log, &process, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (!process_wait(&process, COPY_TIMEOUT_US)) {
        kill(process.pid, SIGKILL);
        process_wait(&process, -1);
        return problem_set(problem, STATUS_BAD_DATABASE, "%s: it did not end within %d seconds",
                           what, COPY_TIMEOUT_US / 1000000);
    }
    return process_succeeded(&process) ? STATUS_OK : blame(what, log, problem);
}

static enum status dump(struct scratch *scratch, const char *conninfo, const char *password,
                        const char *file, struct problem *problem)
{
    char program[PATH_MAX + 16], variable[VARIABLE_BYTES];
    int length =
        snprintf(variable, sizeof variable, "PGPASSWORD=%s", password == NULL ? "" : password);
    if (length >= (int)sizeof variable) {
        return problem_set(problem, STATUS_BAD_CONFIG, "the database's password is too long");
    }
    snprintf(program, sizeof program, "%s/pg_dump", scratch->programs.folder);
    const char *const argv[] = {program,
                                "--schema-only",
                                "--no-owner",
                                "--no-privileges",
                                "--no-publications",
                                "--no-subscriptions",
                                "--no-security-labels",
                                "--no-tablespaces",
                                "--no-password",
                                LOCK_WAIT,
                                "--file",
                                file,
                                "--dbname",
                                conninfo,
                                NULL};
    enum status status = run(scratch, argv, password == NULL ? NULL : variable,
                             "pg_dump cannot copy the schema", problem);
    explicit_bzero(variable, sizeof variable);
    return status;
}

static enum status restore(struct scratch *scratch, const char *file, struct problem *problem)
{
    char program[PATH_MAX + 16];
    snprintf(program, sizeof program, "%s/psql", scratch->programs.folder);
    const char *const argv[] = {
        program,  "--no-psqlrc", "--quiet",  "--set=ON_ERROR_STOP=1", "--single-transaction",
        "--file", file,          "--dbname", scratch_url(scratch),    NULL};
    return run(scratch, argv, NULL, "the schema cannot be made again in a scratch copy", problem);
}

enum status scratch_copy_schema(struct scratch *scratch, const char *conninfo, const char *password,
                                struct problem *problem)
{
    char file[PATH_MAX + 16];
    snprintf(file, sizeof file, "%s/schema.sql", scratch->folder);
    enum status status = dump(scratch, conninfo, password, file, problem);
    return status == STATUS_OK ? restore(scratch, file, problem) : status;
}
