/*
 * window_fixture.h - a window and one reader on the test's own thread. Every event is
 * {"n":<its offset>} of stream "s", so that whoever reads one can tell which it is.
 */
#ifndef PENSTOCK_TESTS_WINDOW_FIXTURE_H
#define PENSTOCK_TESTS_WINDOW_FIXTURE_H

#include "penstock/window.h"

struct fixture {
    struct window *window;
    struct window_reader *reader;
    unsigned ready; /* calls of on_ready */
    void *last_ready;
};

void open_window(struct fixture *f, size_t bytes_max, size_t cursors_max);
void close_window(struct fixture *f);
/* A reset that has memory. */
void must_reset(struct fixture *f, uint64_t head);

/* Adds one event on these channels (NULL-terminated) to the batch, unless that is NULL. Returns how
 * many bytes it takes. */
size_t event_write(struct window_batch *batch, uint64_t offset, const char *const *channels);
/* Appends a batch of `count` events from head + 1 on, all on one channel. */
void append(struct fixture *f, const char *channel, unsigned count);
void append_and_advance(struct fixture *f, const char *channel, unsigned count);

struct cursor *follow(struct fixture *f, const char *channel, uint64_t since, void *owner);
/* What the cursor has next; an entry is passed. */
void expect_entry(struct cursor *cursor, uint64_t offset);
void expect_end(struct cursor *cursor);
void expect_gap(struct cursor *cursor, uint64_t gap_from, uint64_t gap_to);

#endif
