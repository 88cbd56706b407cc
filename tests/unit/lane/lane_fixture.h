/*
 * lane_fixture.h - one lane on a thread of its own, between two edges that the test plays and a
 * real PostgreSQL.
 *
 * The stream is `note`: table "Note"(id uuid primary key, n int not null, CHECK (n >= 0), body
 * text), pushed to "all". Records are made as an edge makes them: from JSON, by the stream.
 */
#ifndef LANE_FIXTURE_H
#define LANE_FIXTURE_H

#include "penstock/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#define FIXTURE_EDGES 2
#define BATCHES_MAX   1024

/* What the lane answered. Text and id end with a zero. */
struct answer {
    struct receipt receipt;
    char id[MESSAGE_ID_BYTES_MAX + 1];
    char text[2048];
};

struct world {
    char folder[64];
    struct settings settings; /* for the next world_start() */
    const char *node_name;    /* likewise */
    bool has_streams;         /* likewise: false, and no stream is configured */
    struct node node;
    struct stream *stream;
    struct stream_account account;
    struct stream_account *accounts[1]; /* that one */
    struct stream_set streams;
    struct ring to_lane[FIXTURE_EDGES], from_lane[FIXTURE_EDGES];
    struct doorbell lane_bell, edge_bells[FIXTURE_EDGES];
    struct lane *lane;
    pthread_t thread;
    struct decoder *decoder;
    struct encode_context *encode_context;
    char log[8192]; /* what the lane logged, after world_stop() */
    /* Offered to the feed: the offsets of each batch. Stable when no commit is under way. */
    uint64_t offered_first[BATCHES_MAX], offered_last[BATCHES_MAX];
    _Atomic size_t offered;
};

/* A fresh database schema, folder and settings. */
struct world *world_make(void);
void world_free(struct world *world); /* stops it, too */

/* Opens the lane; world_start() also runs it. */
enum status world_open(struct world *world, struct problem *problem);
void world_start(struct world *world);
/* lane_stop(), and waits; what is in the journal stays there. */
void world_stop(struct world *world);

/* Publishes `{"events":[…]}` of the stream under this message id, as this edge does. */
void publish(struct world *world, unsigned edge, const char *id, enum ack_level ack,
             const char *events);
/* The same with `count` events whose n ascend from `first`, each with a body of this size. */
void publish_notes(struct world *world, unsigned edge, const char *id, enum ack_level ack,
                   unsigned first, unsigned count, size_t body_bytes);
/* A record that names a schema which nobody knows. */
void publish_unknown(struct world *world, unsigned edge);

/* The next answer to this edge; fails the test after a while. */
struct answer expect_answer(struct world *world, unsigned edge);
/* The next answer acknowledges this message at this level. */
struct answer expect_ack(struct world *world, unsigned edge, const char *id, enum ack_level level);
/* Nothing comes for 200 ms. */
void expect_silence(struct world *world, unsigned edge);

/* SQL on a connection of its own. */
void sql(const char *text);
long sql_number(const char *text);
/* Fails the test when the query does not answer this number soon. */
void wait_for_number(const char *text, long expected);
/* Nobody can insert into "Note" until it is unlocked: commits wait. */
void table_lock(void);
void table_unlock(void);
void sql_disconnect(void);

/* Runs the tests on every engine that the kernel grants. */
int lane_run_group(const struct CMUnitTest *tests, size_t count);

#endif
