#include "node_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define PATH_BYTES 4096

static enum status make_folder(const char *path, struct problem *problem)
{
    int error = folder_create(path);
    if (error == 0) {
        return STATUS_OK;
    }
    return problem_set(problem, error == ENOSPC ? STATUS_DISK_FULL : STATUS_IO,
                       "cannot make the data folder %s: %s (data_dir names it)", path,
                       strerror(error));
}

static enum status lock_folder(struct node_folder *folder, const char *path,
                               struct problem *problem)
{
    char file[PATH_BYTES];
    snprintf(file, sizeof file, "%s/lock", path);
    folder->lock_fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (folder->lock_fd < 0) {
        return problem_set(problem, STATUS_IO, "cannot open %s: %s", file, strerror(errno));
    }
    if (flock(folder->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        return STATUS_OK;
    }
    if (errno == EWOULDBLOCK) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "another penstock runs in the data folder %s: stop it, or give this one "
                           "a data_dir of its own",
                           path);
    }
    return problem_set(problem, STATUS_IO, "cannot lock %s: %s", file, strerror(errno));
}

static bool name_is_valid(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= NODE_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               size;
}

/* "" when there is none yet. A file that cannot be read is no reason to draw another name: the
 * journal belongs to the one that it holds. */
static enum status read_name(const char *file, char out[NODE_NAME_BYTES_MAX + 1],
                             struct problem *problem)
{
    out[0] = '\0';
    FILE *in = fopen(file, "re");
    if (in == NULL && errno == ENOENT) {
        return STATUS_OK;
    }
    char line[NODE_NAME_BYTES_MAX + 3] = "";
    bool found = in != NULL && fgets(line, sizeof line, in) != NULL;
    int error = in == NULL || ferror(in) != 0 ? errno : 0;
    if (in != NULL) {
        fclose(in);
    }
    if (error != 0) {
        return problem_set(problem, STATUS_IO, "cannot read %s: %s", file, strerror(error));
    }
    line[strcspn(line, "\n")] = '\0';
    if (!found || !name_is_valid(line)) {
        return problem_set(
            problem, STATUS_BAD_JOURNAL,
            "%s holds no node name: write the one that its journal belongs to into it", file);
    }
    memcpy(out, line, strlen(line) + 1);
    return STATUS_OK;
}

static enum status sync_folder(const char *path, struct problem *problem)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    return synced ? STATUS_OK
                  : problem_set(problem, STATUS_IO, "cannot sync the data folder %s: %s", path,
                                strerror(error));
}

/* Written beside and renamed, so that a crash leaves the old file or the new one. */
static enum status write_name(const char *path, const char *file, const char *name,
                              struct problem *problem)
{
    char draft[PATH_BYTES + 8];
    snprintf(draft, sizeof draft, "%s.new", file);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && dprintf(fd, "%s\n", name) > 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!written || rename(draft, file) != 0) {
        error = written ? errno : error;
        return problem_set(problem, error == ENOSPC ? STATUS_DISK_FULL : STATUS_IO,
                           "cannot write %s: %s", file, strerror(error));
    }
    return sync_folder(path, problem);
}

static enum status draw_name(char out[NODE_NAME_BYTES_MAX + 1], struct problem *problem)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random) {
        return problem_set(problem, STATUS_INTERNAL, "getrandom: %s", strerror(errno));
    }
    snprintf(out, NODE_NAME_BYTES_MAX + 1, "n-%012" PRIx64, random >> 16);
    return STATUS_OK;
}

static enum status settle_name(const char *path, const char *wanted,
                               char out_name[NODE_NAME_BYTES_MAX + 1], struct problem *problem)
{
    char file[PATH_BYTES];
    snprintf(file, sizeof file, "%s/node", path);
    if (*wanted != '\0' && !name_is_valid(wanted)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "node = \"%s\": a name is 1 to %d letters, digits, '-', '_' or '.'",
                           wanted, NODE_NAME_BYTES_MAX);
    }
    enum status status = read_name(file, out_name, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (out_name[0] != '\0') {
        if (*wanted != '\0' && strcmp(wanted, out_name) != 0) {
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "node = \"%s\", but the journal in %s belongs to node \"%s\": use "
                               "that name, or another data_dir",
                               wanted, path, out_name);
        }
        return STATUS_OK;
    }
    if (*wanted != '\0') {
        snprintf(out_name, NODE_NAME_BYTES_MAX + 1, "%s", wanted);
    } else {
        status = draw_name(out_name, problem);
    }
    return status == STATUS_OK ? write_name(path, file, out_name, problem) : status;
}

enum status node_folder_open(struct node_folder *folder, const char *path, const char *wanted,
                             char out_name[NODE_NAME_BYTES_MAX + 1], struct problem *problem)
{
    folder->lock_fd = -1;
    enum status status = make_folder(path, problem);
    if (status == STATUS_OK) {
        status = lock_folder(folder, path, problem);
    }
    if (status == STATUS_OK) {
        status = settle_name(path, wanted, out_name, problem);
    }
    if (status != STATUS_OK) {
        node_folder_close(folder);
    }
    return status;
}

void node_folder_close(struct node_folder *folder)
{
    if (folder->lock_fd >= 0) {
        close(folder->lock_fd);
        folder->lock_fd = -1;
    }
}

unsigned node_folder_lanes(const char *path)
{
    for (unsigned lane = LANES_MAX; lane > 0; lane--) {
        char folder[PATH_BYTES];
        snprintf(folder, sizeof folder, "%s/journal/lane-%u", path, lane - 1);
        if (access(folder, F_OK) == 0) {
            return lane;
        }
    }
    return 0;
}
