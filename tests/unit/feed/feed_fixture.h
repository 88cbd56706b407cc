/*
 * feed_fixture.h - nodes with a feed each, on one database in which the test commits by hand,
 * through penstock.commit_batch(), as the committer does.
 */
#ifndef TESTS_FEED_FIXTURE_H
#define TESTS_FEED_FIXTURE_H

#include "penstock/feed.h"

#include "schema_database.h"

#include <pthread.h>

#define PATIENCE_US 10000000

/* ---- the database ---------------------------------------------------------------------------- */

/* A schema that nothing was committed in: each test's setup. */
int fresh_schema(void **state);
/* Commits `count` events {"n":<rank>} of stream "s" on channel "a". Small ones go into the NOTIFY.
 */
void commit_as(const char *node, unsigned count, bool is_small);

/* ---- one node -------------------------------------------------------------------------------- */

struct station {
    struct settings settings;
    struct node node;
    struct doorbell bell;
    struct doorbell *bells[1];
    struct window *window;
    struct window_reader *reader;
    struct cursor *cursor;
    struct feed *feed;
    pthread_t thread;
    bool runs;
};

/* Opened, running, listening: step by step, or all at once. */
void station_open(struct station *station, const char *name, const char *url, size_t window_bytes);
void station_run(struct station *station);
void wait_until_listening(struct station *station);
void station_start(struct station *station, const char *name);
void station_close(struct station *station);

void follow(struct station *station, uint64_t since);
/* Hands over a batch as a lane would. */
void offer(struct station *station, uint64_t first, uint64_t last);
/* The next thing that the cursor has, waited for. */
enum cursor_answer await(struct station *station, struct window_entry *entry, uint64_t *from,
                         uint64_t *to);
void expect_events(struct station *station, uint64_t first, uint64_t last);
void expect_nothing_more(struct station *station);

#endif
