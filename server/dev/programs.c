/*
 * programs.c - finds the programs of an installed PostgreSQL server.
 *
 * Distributions keep them out of PATH, one folder a version. Looked at, in this order:
 *   1. PENSTOCK_POSTGRES_BIN, and when it is set nothing else;
 *   2. `pg_config --bindir` (it may belong to libpq and lead nowhere);
 *   3. /usr/lib/postgresql/<version>/bin (Debian, Ubuntu), newest first; /usr/pgsql-<version>/bin;
 *   4. PATH.
 * A folder counts when it has initdb and postgres, and, when the data exist already, the version
 * that made them.
 */
#include "dev.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDERS_MAX = 64 };

/* The first line that `command` prints, without its newline; "" when there is none. */
static void read_line_of(const char *command, char out[PATH_MAX])
{
    out[0] = '\0';
    FILE *pipe = popen(command, "re");
    if (pipe == NULL) {
        return;
    }
    if (fgets(out, PATH_MAX, pipe) == NULL) {
        out[0] = '\0';
    }
    out[strcspn(out, "\n")] = '\0';
    pclose(pipe);
}

/* What `postgres --version` says: "postgres (PostgreSQL) 15.4 (Debian 15.4-1)". 0: nothing usable.
 */
static int version_of(const char *folder)
{
    char command[PATH_MAX + 64], line[PATH_MAX];
    if (strchr(folder, '\'') != NULL) {
        return 0; /* it would end the quotes below */
    }
    snprintf(command, sizeof command, "'%s/postgres' --version 2>/dev/null", folder);
    read_line_of(command, line);
    const char *number = strchr(line, ')');
    return number == NULL ? 0 : atoi(number + 1);
}

static bool has_program(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length < (int)sizeof path && access(path, X_OK) == 0;
}

/* Takes `folder` when it has the programs in the wanted version. */
static bool accept_folder(const char *folder, int wanted, struct programs *out)
{
    if (folder[0] != '/' || !has_program(folder, "initdb") || !has_program(folder, "postgres")) {
        return false;
    }
    int version = version_of(folder);
    if (version == 0 || (wanted != 0 && version != wanted)) {
        return false;
    }
    snprintf(out->folder, sizeof out->folder, "%s", folder);
    out->version = version;
    return true;
}

static int by_version_descending(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strverscmp(*right, *left);
}

static bool find_in_pattern(const char *pattern, int wanted, struct programs *out)
{
    glob_t found;
    bool is_found = false;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
        qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_version_descending);
        for (size_t i = 0; i < found.gl_pathc && i < FOLDERS_MAX && !is_found; i++) {
            is_found = accept_folder(found.gl_pathv[i], wanted, out);
        }
    }
    globfree(&found);
    return is_found;
}

static bool find_in_path(int wanted, struct programs *out)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%.*s", (int)(length < PATH_MAX ? length : 0), path);
        if (accept_folder(folder, wanted, out)) {
            return true;
        }
        path += length + (path[length] == ':');
    }
    return false;
}

static bool find_installed(int wanted, struct programs *out)
{
    char folder[PATH_MAX];
    read_line_of("pg_config --bindir 2>/dev/null", folder);
    return accept_folder(folder, wanted, out) ||
           find_in_pattern("/usr/lib/postgresql/*/bin", wanted, out) ||
           find_in_pattern("/usr/pgsql-*/bin", wanted, out) || find_in_path(wanted, out);
}

enum status programs_find(int wanted, struct programs *out, struct problem *problem)
{
    const char *named = getenv("PENSTOCK_POSTGRES_BIN");
    if (named != NULL && named[0] != '\0') {
        if (accept_folder(named, wanted, out)) {
            return STATUS_OK;
        }
    } else if (find_installed(wanted, out)) {
        return STATUS_OK;
    }
    if (wanted != 0) {
        return problem_set(
            problem, STATUS_BAD_DATABASE,
            "the data are of PostgreSQL %d, whose programs are not installed: "
            "install the package postgresql-%d, or name another folder with --folder",
            wanted, wanted);
    }
    if (named != NULL && named[0] != '\0') {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "there is no initdb in %s, which PENSTOCK_POSTGRES_BIN names", named);
    }
    return problem_set(problem, STATUS_BAD_DATABASE,
                       "PostgreSQL's initdb is missing: install the package postgresql "
                       "(apt-get install postgresql)");
}
