/* bearer.c - see bearer.h. */
#include "bearer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static enum status read_file(const char *file, char *room, struct problem *problem)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        return problem_set(problem, STATUS_UNAVAILABLE, "cannot open the token file %.200s: %s",
                           file, strerror(errno));
    }
    size_t size = fread(room, 1, BEARER_BYTES_MAX, stream);
    bool failed = ferror(stream) != 0;
    fclose(stream);
    room[size] = '\0';
    return failed
               ? problem_set(problem, STATUS_UNAVAILABLE, "cannot read the token file %.200s", file)
               : STATUS_OK;
}

/* What can stand in a header: anything else would be cut there, or begin another. */
static bool is_token(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f) {
            return false;
        }
    }
    return text.size > 0;
}

enum status bearer_read(const char *file, char room[BEARER_BYTES_MAX + 1], struct span *out,
                        struct problem *problem)
{
    const char *source = file == NULL ? "PENSTOCK_TOKEN" : file;
    const char *variable = getenv("PENSTOCK_TOKEN");
    *out = span_of(NULL, 0);
    if (file != NULL) {
        enum status status = read_file(file, room, problem);
        if (status != STATUS_OK) {
            return status;
        }
    } else if (variable == NULL || *variable == '\0') {
        return STATUS_OK;
    } else {
        snprintf(room, BEARER_BYTES_MAX + 1, "%s", variable);
    }
    size_t size = strlen(room);
    while (size > 0 && strchr(" \t\r\n", room[size - 1]) != NULL) {
        size--;
    }
    *out = span_of(room, size);
    return is_token(*out)
               ? STATUS_OK
               : problem_set(problem, STATUS_UNAVAILABLE, "%.200s holds no token", source);
}
