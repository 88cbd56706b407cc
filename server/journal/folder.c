/*
 * folder.c - the folder of a journal: its lock, the names in it, opening its files.
 *
 *     lock                        held for as long as the journal is open
 *     0000000000000007.segment    segments, by number; the highest may be one prepared ahead
 *     next.preparing              being zero-written; worthless after a crash
 */
#include "journal_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME      "lock"
#define SEGMENT_SUFFIX ".segment"
#define SEGMENT_DIGITS 16

enum status folder_problem(struct journal *journal, struct problem *problem, const char *what,
                           const char *name)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return problem_set(problem, full ? STATUS_DISK_FULL : STATUS_IO, "%s %s%s%s: %s", what,
                       journal->folder, name[0] == '\0' ? "" : "/", name, strerror(errno));
}

static enum status folder_lock(struct journal *journal, struct problem *problem)
{
    journal->lock_fd = openat(journal->folder_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (journal->lock_fd < 0) {
        return folder_problem(journal, problem, "cannot write to the journal: opening", LOCK_NAME);
    }
    if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        return STATUS_OK;
    }
    if (errno == EWOULDBLOCK) {
        return problem_set(problem, STATUS_BAD_JOURNAL,
                           "the journal %s is in use by another process: stop that one, or give "
                           "this one a data folder of its own",
                           journal->folder);
    }
    return folder_problem(journal, problem, "cannot lock", LOCK_NAME);
}

enum status folder_open(struct journal *journal, struct problem *problem)
{
    errno = folder_create(journal->folder);
    if (errno != 0) {
        return folder_problem(journal, problem, "cannot make the folder", "");
    }
    journal->folder_fd = open(journal->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal->folder_fd < 0) {
        return folder_problem(journal, problem, "cannot open the folder", "");
    }
    return folder_lock(journal, problem);
}

void folder_close(struct journal *journal)
{
    if (journal->lock_fd >= 0) {
        close(journal->lock_fd); /* and with it the lock */
    }
    if (journal->folder_fd >= 0) {
        close(journal->folder_fd);
    }
    journal->lock_fd = journal->folder_fd = -1;
}

enum status folder_sync(struct journal *journal, struct problem *problem)
{
    if (fsync(journal->folder_fd) != 0) {
        return folder_problem(journal, problem, "cannot sync the folder", "");
    }
    return STATUS_OK;
}

void segment_name(uint64_t number, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%0*" PRIu64 SEGMENT_SUFFIX, SEGMENT_DIGITS, number);
}

int folder_open_file(struct journal *journal, const char *name, int flags)
{
    flags |= O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(journal->folder_fd, name, flags | O_DIRECT, 0600);
    if (fd >= 0) {
        journal->direct = true;
        return fd;
    }
    if (errno != EINVAL) { /* open(2): the filesystem does not do O_DIRECT */
        return -1;
    }
    journal->direct = false;
    return openat(journal->folder_fd, name, flags, 0600);
}

/* 0: not the name of a segment. */
static uint64_t segment_number(const char *name)
{
    if (strspn(name, "0123456789") != SEGMENT_DIGITS ||
        strcmp(name + SEGMENT_DIGITS, SEGMENT_SUFFIX) != 0) {
        return 0;
    }
    return strtoull(name, NULL, 10);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = ((const struct found_segment *)a)->number;
    uint64_t y = ((const struct found_segment *)b)->number;
    return (x > y) - (x < y);
}

static enum status add_found(struct journal *journal, const char *name,
                             struct found_segment **found, size_t *count, struct problem *problem)
{
    struct stat stat;
    if (fstatat(journal->folder_fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
        return folder_problem(journal, problem, "cannot look at", name);
    }
    if (!S_ISREG(stat.st_mode)) {
        return problem_set(problem, STATUS_BAD_JOURNAL, "%s/%s is no regular file: move it away",
                           journal->folder, name);
    }
    if ((*count & (*count - 1)) == 0) { /* grows at powers of two */
        size_t room = *count == 0 ? 1 : *count * 2;
        struct found_segment *larger = realloc(*found, room * sizeof *larger);
        if (larger == NULL) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory to list %s", journal->folder);
        }
        *found = larger;
    }
    (*found)[(*count)++] = (struct found_segment){segment_number(name), (uint64_t)stat.st_size};
    return STATUS_OK;
}

enum status folder_list(struct journal *journal, struct found_segment **out, size_t *out_count,
                        struct problem *problem)
{
    *out = NULL;
    *out_count = 0;
    DIR *folder = opendir(journal->folder);
    if (folder == NULL) {
        return folder_problem(journal, problem, "cannot read the folder", "");
    }
    enum status status = STATUS_OK;
    errno = 0;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, SPARE_NAME) == 0) {
            (void)unlinkat(journal->folder_fd, SPARE_NAME, 0);
        } else if (segment_number(entry->d_name) != 0) {
            status = add_found(journal, entry->d_name, out, out_count, problem);
        }
        errno = 0;
    }
    if (status == STATUS_OK && errno != 0) {
        status = folder_problem(journal, problem, "cannot read the folder", "");
    }
    closedir(folder);
    if (*out_count > 0) {
        qsort(*out, *out_count, sizeof **out, compare_numbers);
    }
    return status;
}
