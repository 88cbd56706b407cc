/*
 * lines.h - an input cut into lines, without ever holding more of it than one line and a block.
 */
#ifndef PENSTOCK_CLIENT_LINES_H
#define PENSTOCK_CLIENT_LINES_H

#include "run.h"

struct lines {
    int fd; /* borrows */
    size_t line_bytes_max;
    uint8_t *buffer; /* owns: | taken … start … read … end | room | */
    size_t start, scanned, end, room;
    bool at_end;        /* of the input */
    bool passing;       /* inside a line that is too long */
    struct place place; /* behind the last line that was given out */
};

enum lines_answer {
    LINES_LINE,
    LINES_BLANK,    /* nothing but spaces and tabs */
    LINES_TOO_LONG, /* the line is passed */
    LINES_NOT_YET,  /* a pipe with nothing in it for now */
    LINES_END,
    LINES_FAILED,
};

enum status lines_init(struct lines *lines, int fd, size_t line_bytes_max,
                       struct problem *problem) must_use;
void lines_fini(struct lines *lines);
/* The next line without its end ("\n" or "\r\n"; the last may have none), valid until the next
 * call. lines->place is then behind it. */
enum lines_answer lines_next(struct lines *lines, struct span *out,
                             struct problem *problem) must_use;
/* Reads on to where an earlier run got to; waits for a pipe. BAD_CONFIG: the input is another one.
 */
enum status lines_pass(struct lines *lines, const struct place *place,
                       struct problem *problem) must_use;

#endif
