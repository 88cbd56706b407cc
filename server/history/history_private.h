/*
 * history_private.h - what the files of the history stage share.
 *
 *   history.c   the thread: connection, requests in, sleeping
 *   serve.c     one request's turn: page, block, answer
 *   waiters.c   who waits       pages.c   what is in memory       extract.c   a channel's events
 */
#ifndef PENSTOCK_HISTORY_PRIVATE_H
#define PENSTOCK_HISTORY_PRIVATE_H

#include "extract.h"
#include "pages.h"
#include "waiters.h"

struct history {
    struct history_options options;
    _Atomic bool stopping;
    struct waiters waiters;
    struct pages pages;
    size_t blocks_bytes_max;
    _Atomic size_t blocks_bytes; /* in blocks that somebody still reads */

    struct store_options reader_options; /* borrows the settings' strings */
    struct log_reader *reader;           /* owns; NULL while there is no connection */
    unsigned losses;                     /* in a row */
    int64_t connect_due_us, floor_due_us;
    int64_t memory_said_us;
};

/* ---- history.c ------------------------------------------------------------------------------- */

/* Closes the connection, which does not work any more, and forgets the pages: who knows what comes
 * back. */
void history_lose(struct history *history, const struct problem *problem);

/* ---- serve.c --------------------------------------------------------------------------------- */

/* Serves the first request, and whoever can be served by the same page without reading more. False:
 * nothing could be done, for lack of requests, of a connection or of memory. */
bool serve_first(struct history *history);

#endif
