/*
 * folder.c - a folder whose name survives a power cut.
 *
 * A new name is durable when the folder that holds it was synced (fsync(2)). That is done although
 * the folder was there already: a start before this one may have ended between the two.
 */
#include "penstock/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int folder_create(const char *path)
{
    char above[PATH_MAX];
    if ((size_t)snprintf(above, sizeof above, "%s/..", path) >= sizeof above) {
        return ENAMETOOLONG;
    }
    bool made = mkdir(path, 0700) == 0;
    if (!made && errno != EEXIST) {
        return errno;
    }
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return made ? errno : 0; /* somebody else's, who made ours */
    }
    int error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* EINVAL: nothing to sync there */
    close(fd);
    return error;
}
