/*
 * progress.h - what a person sees of a long run, on standard error: one line that is rewritten on a
 * terminal, a line every few seconds elsewhere.
 */
#ifndef PENSTOCK_CLIENT_PROGRESS_H
#define PENSTOCK_CLIENT_PROGRESS_H

#include "penstock/base.h"

struct progress {
    bool is_terminal, is_shown;
    int64_t begun_us, shown_us;
    uint64_t shown_lines; /* for the rate since */
    double rate;
};

struct progress_figures {
    uint64_t lines;              /* done, earlier runs included */
    uint64_t lines_total;        /* 0: not known yet */
    uint64_t bytes, bytes_total; /* of the input; 0: not known */
    uint64_t duplicates;
};

void progress_begin(struct progress *progress, uint64_t lines);
/* Shows the figures when it is time to. */
void progress_show(struct progress *progress, const struct progress_figures *figures);
/* A line of its own, whatever stands there. */
void progress_say(struct progress *progress, const char *format, ...) printf_like(2, 3);

#endif
