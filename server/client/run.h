/*
 * run.h - one run of `send` over one input: what makes its ids, and how far it got.
 *
 * An event without an id gets one that follows from the run and the event's line alone, so that a
 * line which is sent again, by this process or by the next, is the same event to the server:
 *
 *     | 48 bits: milliseconds | 7 | 12 bits | 10 | 18 bits | 44 bits  |
 *       of the run's start,         line, upper    lower     the run's seed
 *       + line / 2^30               of its 30 bits
 *
 * That is a UUIDv7 (RFC 9562, section 6.2, method 1: a counter behind the timestamp), ascending
 * with the lines, which is what the table's primary key likes.
 */
#ifndef PENSTOCK_CLIENT_RUN_H
#define PENSTOCK_CLIENT_RUN_H

#include "penstock/base.h"

struct run {
    int64_t started_ms;              /* unix time */
    uint64_t seed;                   /* 44 bits */
    char epoch[UUID_TEXT_BYTES + 1]; /* of the database that acknowledged; "": not known yet */
    struct place {
        uint64_t line;  /* lines that are done, blank ones counted */
        uint64_t bytes; /* of the input, up to and with the end of that line */
        uint32_t crc;   /* of those bytes: is it the same input? */
    } done;
};

void run_begin(struct run *run);
/* `line` counts from 1. */
void run_id(const struct run *run, uint64_t line, char out[UUID_TEXT_BYTES]);

#endif
