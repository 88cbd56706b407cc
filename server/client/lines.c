/* lines.c - see lines.h. */
#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)64 << 10)

enum status lines_init(struct lines *lines, int fd, size_t line_bytes_max, struct problem *problem)
{
    *lines = (struct lines){
        .fd = fd, .line_bytes_max = line_bytes_max, .room = line_bytes_max + 2 + BLOCK_BYTES};
    lines->buffer = malloc(lines->room);
    if (lines->buffer == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for lines of %zu bytes",
                           line_bytes_max);
    }
    return STATUS_OK;
}

void lines_fini(struct lines *lines)
{
    free(lines->buffer);
    lines->buffer = NULL;
}

/* Bytes up to `end` in the buffer are behind us. */
static void pass_bytes(struct lines *lines, size_t end)
{
    size_t size = end - lines->start;
    lines->place.crc = crc32c(lines->place.crc, lines->buffer + lines->start, size);
    lines->place.bytes += size;
    lines->start = lines->scanned = end;
}

static void make_room(struct lines *lines)
{
    if (lines->start > 0) {
        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->scanned -= lines->start;
        lines->end -= lines->start;
        lines->start = 0;
    }
}

static enum lines_answer read_more(struct lines *lines, bool waits, struct problem *problem)
{
    struct pollfd readable = {.fd = lines->fd, .events = POLLIN};
    if (!waits && poll(&readable, 1, 0) == 0) {
        return LINES_NOT_YET;
    }
    make_room(lines);
    size_t room = lines->room - lines->end;
    ssize_t size =
        read(lines->fd, lines->buffer + lines->end, room < BLOCK_BYTES ? room : BLOCK_BYTES);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) {
        return LINES_NOT_YET;
    }
    if (size < 0) {
        problem_set(problem, STATUS_IO, "cannot read the input behind line %llu: %s",
                    (unsigned long long)lines->place.line, strerror(errno));
        return LINES_FAILED;
    }
    lines->at_end = size == 0;
    lines->end += (size_t)size;
    return LINES_LINE;
}

static bool is_blank(struct span line)
{
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] != ' ' && line.data[i] != '\t') {
            return false;
        }
    }
    return true;
}

/* The line ends behind `end` bytes of the buffer; `ending` of them are its "\n". */
static enum lines_answer give(struct lines *lines, size_t end, size_t ending, struct span *out)
{
    *out = span_of(lines->buffer + lines->start, end - ending - lines->start);
    if (out->size > 0 && out->data[out->size - 1] == '\r') {
        out->size--;
    }
    bool was_passing = lines->passing;
    lines->passing = false;
    lines->place.line++;
    pass_bytes(lines, end);
    if (was_passing || out->size > lines->line_bytes_max) {
        return LINES_TOO_LONG;
    }
    return is_blank(*out) ? LINES_BLANK : LINES_LINE;
}

/* Is a whole line in the buffer? */
static bool find_line(struct lines *lines, enum lines_answer *out_answer, struct span *out)
{
    uint8_t *from = lines->buffer + lines->scanned;
    uint8_t *newline = memchr(from, '\n', lines->end - lines->scanned);
    if (newline != NULL) {
        *out_answer = give(lines, (size_t)(newline + 1 - lines->buffer), 1, out);
        return true;
    }
    lines->scanned = lines->end;
    if (lines->at_end) {
        bool has_rest = lines->end > lines->start || lines->passing;
        *out_answer = has_rest ? give(lines, lines->end, 0, out) : LINES_END;
        return true;
    }
    if (lines->end - lines->start > lines->line_bytes_max + 1) {
        lines->passing = true;
        pass_bytes(lines, lines->end);
    }
    return false;
}

enum lines_answer lines_next(struct lines *lines, struct span *out, struct problem *problem)
{
    enum lines_answer answer;
    while (!find_line(lines, &answer, out)) {
        answer = read_more(lines, false, problem);
        if (answer != LINES_LINE) {
            return answer;
        }
    }
    return answer;
}

enum status lines_pass(struct lines *lines, const struct place *place, struct problem *problem)
{
    while (lines->place.bytes < place->bytes && !lines->at_end) {
        if (lines->start == lines->end && read_more(lines, true, problem) == LINES_FAILED) {
            return problem->status;
        }
        uint64_t missing = place->bytes - lines->place.bytes;
        size_t here = lines->end - lines->start;
        pass_bytes(lines, lines->start + (missing < here ? (size_t)missing : here));
    }
    if (lines->place.bytes != place->bytes || lines->place.crc != place->crc) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the first %llu lines of the input are not those that were sent before: "
                           "remove the state file to send this one from its beginning",
                           (unsigned long long)place->line);
    }
    lines->place.line = place->line;
    return STATUS_OK;
}
