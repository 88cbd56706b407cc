/*
 * publishers.h - what became of the events of each publisher: a bounded table that always adds up.
 *
 * For every row, and for the rest: received = committed + duplicates + dead_lettered + pending,
 * where pending is what the journal took and PostgreSQL has not ruled on. Publishers are without
 * number, so rows are kept for those heard of last; a row that has to go is added to the rest.
 *
 *     | group | group | group | …      a publisher is in the group of its hash
 *     group: | row × 8 | rest |        rows that go, and who finds no row, are in its rest
 *
 *   1. publishers_receive(): the journal took a record. Its publisher has a row, or gets one: a
 *      free one, or that of whoever was heard of longest ago and has nothing pending. Where all
 *      have, it is counted in the rest.
 *   2. publishers_settle(): PostgreSQL ruled on a record. Outcomes go to the row as far as it has
 *      something pending, else to the rest: so no row ever has more outcomes than events.
 *
 * Threads: one writes (the lane), any may read, and nobody waits: a reader copies one group at a
 * time, and copies it again when the writer was there meanwhile (a sequence lock). What moves does
 * so within its group, so that a sum over all groups misses nothing and counts nothing twice.
 */
#ifndef PENSTOCK_PUBLISHERS_H
#define PENSTOCK_PUBLISHERS_H

#include "penstock/base.h"

#define PUBLISHER_WAYS 8 /* rows of a group */

struct publisher_counts {
    uint64_t received, committed, duplicates, dead_lettered;
};

struct publisher_row {
    uint64_t producer; /* hash of its name, or session, as in record.h */
    int64_t seen_us;   /* when its last event arrived; 0: nobody is in this row */
    struct publisher_counts counts;
};

/* A copy of one group. */
struct publisher_group {
    struct publisher_row rows[PUBLISHER_WAYS];
    struct publisher_counts rest;
};

struct publishers;

/* `rows` is rounded up to a power of two. */
enum status publishers_create(size_t rows, struct publishers **out,
                              struct problem *problem) must_use;
void publishers_destroy(struct publishers *publishers); /* accepts NULL; no reader may be left */

/* The writer's. */
void publishers_receive(struct publishers *publishers, uint64_t producer, uint32_t events,
                        int64_t arrival_us);
void publishers_settle(struct publishers *publishers, uint64_t producer, uint64_t committed,
                       uint64_t duplicates, uint64_t dead_lettered);

/* Anybody's. */
size_t publishers_groups(const struct publishers *publishers);
void publishers_read(const struct publishers *publishers, size_t group,
                     struct publisher_group *out);
void publisher_counts_add(struct publisher_counts *sum, const struct publisher_counts *counts);
static inline uint64_t publisher_counts_pending(const struct publisher_counts *counts)
{
    return counts->received - counts->committed - counts->duplicates - counts->dead_lettered;
}

#endif
