/*
 * folder.c - the folder of `penstock dev`: made, checked, locked.
 *
 *     <folder>/            0700, of the user that PostgreSQL runs as
 *         lock             held (flock) by the running `penstock dev`; holds its process number
 *         data/            the cluster
 *         postgres.log     of the last start
 *         .s.PGSQL.5432    the socket
 *
 * A folder that has something else in it and was not made by us is refused, so that a mistyped path
 * never gives somebody's files to the user postgres.
 */
#include "dev.h"

#include "penstock/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_NAME "/.s.PGSQL.5432"

const char *private_postgres_default_folder(void)
{
    return getuid() == 0 ? "/var/lib/penstock-dev" : "./.penstock-dev";
}

static enum status fail_with_errno(struct problem *problem, const char *what, const char *path)
{
    if (errno == ENOSPC || errno == EDQUOT) {
        return problem_set(problem, STATUS_DISK_FULL,
                           "the disk is full: %s %s failed; free some space, or name a folder "
                           "on another disk with --folder",
                           what, path);
    }
    return problem_set(problem, STATUS_IO, "%s %s failed: %s", what, path, strerror(errno));
}

enum status folder_file(const struct folder *folder, const char *name, char out[PATH_MAX],
                        struct problem *problem)
{
    int length = snprintf(out, PATH_MAX, "%s/%s", folder->path, name);
    if (length >= PATH_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG, "the path %s/%s is too long", folder->path,
                           name);
    }
    return STATUS_OK;
}

/* mkdir -p; the parents get the usual mode. */
static enum status make_folder(const char *path, struct problem *problem)
{
    char part[PATH_MAX];
    if (path[0] == '\0' || strlen(path) >= sizeof part) {
        return problem_set(problem, STATUS_BAD_CONFIG, "the name of the folder is %s",
                           path[0] == '\0' ? "empty" : "too long");
    }
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST) {
            return fail_with_errno(problem, "making the folder", part);
        }
        *slash = '/';
    }
    if (mkdir(part, 0700) != 0 && errno != EEXIST) {
        return fail_with_errno(problem, "making the folder", part);
    }
    return STATUS_OK;
}

/* Empty, or made by us: then there is a lock file. */
static enum status check_contents(const char *path, bool *out_is_empty, struct problem *problem)
{
    DIR *listing = opendir(path);
    if (listing == NULL) {
        return fail_with_errno(problem, "reading the folder", path);
    }
    bool has_lock = false;
    *out_is_empty = true;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            *out_is_empty = false;
            has_lock = has_lock || strcmp(entry->d_name, "lock") == 0;
        }
    }
    closedir(listing);
    if (!*out_is_empty && !has_lock) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the folder %s has files in it that penstock dev did not make: name "
                           "another one with --folder",
                           path);
    }
    return STATUS_OK;
}

static enum status give_to_owner(const char *path, const struct owner *owner,
                                 struct problem *problem)
{
    struct stat found;
    if (stat(path, &found) != 0) {
        return fail_with_errno(problem, "looking at the folder", path);
    }
    if (found.st_uid != owner->uid && !owner->is_other) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the folder %s belongs to another user: name another one with --folder",
                           path);
    }
    if (found.st_uid != owner->uid && chown(path, owner->uid, owner->gid) != 0) {
        return fail_with_errno(problem, "giving to the user postgres the folder", path);
    }
    if ((found.st_mode & 07777) != 0700 && chmod(path, 0700) != 0) {
        return fail_with_errno(problem, "closing to other users the folder", path);
    }
    return STATUS_OK;
}

/* Can the owner come here? Asked by a child that has become the owner: only that counts every
 * folder above, access lists included. */
static enum status check_reach(const char *path, const struct owner *owner, struct problem *problem)
{
    if (!owner->is_other) {
        return STATUS_OK;
    }
    pid_t pid = fork();
    if (pid == 0) {
        bool can = setgid(owner->gid) == 0 && setuid(owner->uid) == 0 && chdir(path) == 0;
        _exit(can ? 0 : 1);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return fail_with_errno(problem, "checking the folder", path);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the user postgres, as whom PostgreSQL runs when we are root, cannot "
                           "reach %s: name a folder elsewhere with --folder",
                           path);
    }
    return STATUS_OK;
}

/* A unix socket's path has 107 bytes and a zero (unix(7), sun_path), and libpq takes a comma in
 * `host` for the end of one host (libpq-connect, "Specifying Multiple Hosts"). */
static enum status check_name(const char *path, struct problem *problem)
{
    if (strchr(path, ',') != NULL) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the folder %s has a comma in its path, which PostgreSQL's clients "
                           "cannot take: name another one with --folder",
                           path);
    }
    size_t limit = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    size_t length = strlen(path) + strlen(SOCKET_NAME);
    if (length > limit) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the folder %s is too deep for a unix socket (%zu bytes, of at most "
                           "%zu): name a shorter one with --folder",
                           path, length, limit);
    }
    return STATUS_OK;
}

static enum status fail_locked(int lock, const char *path, struct problem *problem)
{
    char holder[32] = "";
    ssize_t got = pread(lock, holder, sizeof holder - 1, 0);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return problem_set(problem, STATUS_BAD_CONFIG,
                       "another penstock dev (process %s) is using %s: stop it, or name another "
                       "folder with --folder",
                       holder[0] == '\0' ? "unknown" : holder, path);
}

static enum status take_lock(struct folder *folder, struct problem *problem)
{
    char path[PATH_MAX];
    enum status status = folder_file(folder, "lock", path, problem);
    if (status != STATUS_OK) {
        return status;
    }
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        return fail_with_errno(problem, "opening", path);
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? fail_locked(lock, folder->path, problem)
                                      : fail_with_errno(problem, "locking", path);
        close(lock);
        return status;
    }
    char line[32];
    int length = snprintf(line, sizeof line, "%ld\n", (long)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, line, (size_t)length, 0) != length) {
        status = fail_with_errno(problem, "writing", path);
        close(lock);
        return status;
    }
    folder->lock = lock;
    return STATUS_OK;
}

enum status dev_folder_open(const char *path, const struct owner *owner, struct folder *out,
                            struct problem *problem)
{
    out->lock = -1;
    bool is_empty;
    enum status status = make_folder(path, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (realpath(path, out->path) == NULL) {
        return fail_with_errno(problem, "finding the folder", path);
    }
    status = check_name(out->path, problem);
    if (status == STATUS_OK) {
        status = check_contents(out->path, &is_empty, problem);
    }
    if (status == STATUS_OK) {
        status = give_to_owner(out->path, owner, problem);
    }
    if (status == STATUS_OK) {
        status = check_reach(out->path, owner, problem);
    }
    return status == STATUS_OK ? take_lock(out, problem) : status;
}

void dev_folder_close(struct folder *folder)
{
    if (folder->lock >= 0) {
        close(folder->lock); /* the file stays: it marks the folder as ours */
        folder->lock = -1;
    }
}
