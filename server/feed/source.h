/*
 * source.h - the feed's connection to the log, kept up: it is opened when due, and after a loss
 * opened again with growing, jittered pauses.
 */
#ifndef PENSTOCK_FEED_SOURCE_H
#define PENSTOCK_FEED_SOURCE_H

#include "penstock/config.h"
#include "penstock/store.h"

struct source {
    struct store_options options; /* borrows the settings' strings */
    struct listener *listener;    /* owns; NULL while there is no connection */
    unsigned losses;              /* in a row */
    int64_t due_us;               /* next attempt, when there is none */
    int64_t heard_us;             /* the connection's last sign of life */
};

void source_init(struct source *source, const struct settings *settings);
void source_fini(struct source *source);
/* Connects when it is due. True: the connection is new. Takes up to connect_timeout_ms. */
bool source_connect(struct source *source, int64_t now_us);
/* It works: the next pause is a short one again. */
void source_works(struct source *source, int64_t now_us);
/* Closes what does not work any more; `problem` says why, and is logged. */
void source_lost(struct source *source, int64_t now_us, const struct problem *problem);

#endif
