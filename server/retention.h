/*
 * retention.h - the log does not grow for ever: batches older than `retention_s` are dropped, and
 * the oldest when all of them take more than `retention_bytes`.
 *
 * Thread: the one that owns it (catalog_watch.c), on a connection that is lent for the call.
 */
#ifndef SERVER_RETENTION_H
#define SERVER_RETENTION_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/store.h"

struct retention {
    const struct settings *settings;
    struct node *node; /* keeps node->log */
    int64_t due_us;    /* monotonic: the next round */
    bool failed;       /* the last one did */
    int64_t held_us;   /* monotonic: since when somebody has been in the way; 0: nobody is */
    bool held_said;
};

void retention_init(struct retention *retention, const struct settings *settings,
                    struct node *node);
/* Other limits hold from now on. */
void retention_follow(struct retention *retention, const struct settings *settings);
/* One round, of at most one slot. */
enum status retention_run(struct retention *retention, struct store *store,
                          struct problem *problem) must_use;
/* How the round went (problem->status): tells it when that is news, and sets the next one. */
void retention_note(struct retention *retention, const struct problem *problem);

#endif
