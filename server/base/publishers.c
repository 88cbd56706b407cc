/*
 * publishers.c - see publishers.h.
 *
 * The sequence lock: the writer makes the group's version odd, changes the group, and makes the
 * version even again. Every field is atomic. The writer's stores release and the reader's loads
 * acquire, so that none of them passes a change of the version: whoever sees one changed field sees
 * at least the odd version. On x86 these are plain moves.
 */
#include "penstock/publishers.h"

#include <stdalign.h>
#include <stdlib.h>

#define LINE_BYTES 64

struct counts {
    _Atomic uint64_t received, committed, duplicates, dead_lettered;
};

struct row {
    struct counts counts;
    _Atomic int64_t seen_us; /* 0: nobody is in this row */
};

/* To find a publisher reads one line of memory, and to count it writes two. */
struct group {
    alignas(LINE_BYTES) _Atomic uint64_t producers[PUBLISHER_WAYS];
    struct row rows[PUBLISHER_WAYS];
    struct counts rest;
    _Atomic uint64_t version;
};

struct publishers {
    size_t group_count;   /* a power of two */
    struct group *groups; /* owns */
};

/* Only the writer stores, so it may read its own values in any order. */
static uint64_t get(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}

static void set(_Atomic uint64_t *field, uint64_t value)
{
    atomic_store_explicit(field, value, memory_order_release); /* pairs with copy_*() */
}

enum status publishers_create(size_t rows, struct publishers **out, struct problem *problem)
{
    size_t groups = 1;
    while (groups * PUBLISHER_WAYS < rows) {
        groups *= 2;
    }
    struct publishers *publishers = calloc(1, sizeof *publishers);
    struct group *memory = aligned_alloc(LINE_BYTES, groups * sizeof *memory);
    if (publishers == NULL || memory == NULL) {
        free(publishers);
        free(memory);
        return problem_set(problem, STATUS_NO_MEMORY,
                           "no memory for the accounts of %zu publishers", rows);
    }
    memset(memory, 0, groups * sizeof *memory);
    publishers->group_count = groups;
    publishers->groups = memory;
    *out = publishers;
    return STATUS_OK;
}

void publishers_destroy(struct publishers *publishers)
{
    if (publishers != NULL) {
        free(publishers->groups);
        free(publishers);
    }
}

/* ---- the writer ------------------------------------------------------------------------------ */

static struct group *group_of(struct publishers *publishers, uint64_t producer)
{
    /* The low bits have chosen the lane already. */
    return &publishers->groups[(producer >> 32) & (publishers->group_count - 1)];
}

static int64_t seen(const struct row *row)
{
    return atomic_load_explicit(&row->seen_us, memory_order_relaxed);
}

static struct row *find(struct group *group, uint64_t producer)
{
    for (unsigned i = 0; i < PUBLISHER_WAYS; i++) {
        if (get(&group->producers[i]) == producer && seen(&group->rows[i]) != 0) {
            return &group->rows[i];
        }
    }
    return NULL;
}

static uint64_t pending(const struct counts *counts)
{
    return get(&counts->received) - get(&counts->committed) - get(&counts->duplicates) -
           get(&counts->dead_lettered);
}

static void add(struct counts *counts, uint64_t committed, uint64_t duplicates,
                uint64_t dead_lettered)
{
    set(&counts->committed, get(&counts->committed) + committed);
    set(&counts->duplicates, get(&counts->duplicates) + duplicates);
    set(&counts->dead_lettered, get(&counts->dead_lettered) + dead_lettered);
}

/* The row to give away: of those that have nothing pending, the one heard of longest ago. NULL: all
 * have something. */
static struct row *oldest(struct group *group)
{
    struct row *oldest = NULL;
    int64_t oldest_us = 0;
    for (unsigned i = 0; i < PUBLISHER_WAYS; i++) {
        struct row *row = &group->rows[i];
        int64_t seen_us = seen(row);
        if ((oldest == NULL || seen_us < oldest_us) && pending(&row->counts) == 0) {
            oldest = row;
            oldest_us = seen_us;
        }
    }
    return oldest;
}

static struct row *enter(struct group *group, uint64_t producer)
{
    struct row *row = oldest(group);
    if (row == NULL) {
        return NULL;
    }
    struct counts *rest = &group->rest, *counts = &row->counts;
    set(&rest->received, get(&rest->received) + get(&counts->received));
    add(rest, get(&counts->committed), get(&counts->duplicates), get(&counts->dead_lettered));
    set(&counts->received, 0);
    set(&counts->committed, 0);
    set(&counts->duplicates, 0);
    set(&counts->dead_lettered, 0);
    set(&group->producers[row - group->rows], producer);
    return row;
}

static void begin(struct group *group)
{
    atomic_store_explicit(&group->version, get(&group->version) + 1, memory_order_relaxed);
}

static void end(struct group *group)
{
    set(&group->version, get(&group->version) + 1);
}

void publishers_receive(struct publishers *publishers, uint64_t producer, uint32_t events,
                        int64_t arrival_us)
{
    struct group *group = group_of(publishers, producer);
    struct row *row = find(group, producer);
    begin(group);
    row = row != NULL ? row : enter(group, producer);
    struct counts *counts = row != NULL ? &row->counts : &group->rest;
    set(&counts->received, get(&counts->received) + events);
    if (row != NULL) {
        /* 0 would say that nobody is in this row. */
        atomic_store_explicit(&row->seen_us, arrival_us > 0 ? arrival_us : 1, memory_order_release);
    }
    end(group);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void publishers_settle(struct publishers *publishers, uint64_t producer, uint64_t committed,
                       uint64_t duplicates, uint64_t dead_lettered)
{
    struct group *group = group_of(publishers, producer);
    struct row *row = find(group, producer);
    begin(group);
    if (row != NULL) {
        uint64_t room = pending(&row->counts);
        uint64_t c = least(committed, room);
        uint64_t d = least(duplicates, room - c);
        uint64_t l = least(dead_lettered, room - c - d);
        add(&row->counts, c, d, l);
        committed -= c;
        duplicates -= d;
        dead_lettered -= l;
    }
    add(&group->rest, committed, duplicates, dead_lettered);
    end(group);
}

/* ---- readers --------------------------------------------------------------------------------- */

size_t publishers_groups(const struct publishers *publishers)
{
    return publishers->group_count;
}

static uint64_t look(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_acquire); /* pairs with set() */
}

static void copy_counts(const struct counts *counts, struct publisher_counts *out)
{
    out->received = look(&counts->received);
    out->committed = look(&counts->committed);
    out->duplicates = look(&counts->duplicates);
    out->dead_lettered = look(&counts->dead_lettered);
}

static void copy_group(const struct group *group, struct publisher_group *out)
{
    copy_counts(&group->rest, &out->rest);
    for (unsigned i = 0; i < PUBLISHER_WAYS; i++) {
        const struct row *row = &group->rows[i];
        out->rows[i].producer = look(&group->producers[i]);
        out->rows[i].seen_us = atomic_load_explicit(&row->seen_us, memory_order_acquire);
        copy_counts(&row->counts, &out->rows[i].counts);
    }
}

void publishers_read(const struct publishers *publishers, size_t index, struct publisher_group *out)
{
    const struct group *group = &publishers->groups[index];
    uint64_t before, after;
    do {
        before = look(&group->version);
        copy_group(group, out);
        after = look(&group->version);
    } while (before != after || before % 2 != 0);
}

void publisher_counts_add(struct publisher_counts *sum, const struct publisher_counts *counts)
{
    sum->received += counts->received;
    sum->committed += counts->committed;
    sum->duplicates += counts->duplicates;
    sum->dead_lettered += counts->dead_lettered;
}
