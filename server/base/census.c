/* census.c - see census.h. */
#include "penstock/census.h"

#include <pthread.h>
#include <stdlib.h>

#define WAYS        8
#define SETS        32                      /* a power of two */
#define MERGED_ROOM 2048                    /* a power of two; slices hold 1280 names */
#define ASKED_US    (10 * INT64_C(1000000)) /* who asked then may still look */

_Static_assert(MERGED_ROOM > CENSUS_SLICES * SETS * WAYS * 3 / 2, "the table is never full");

/* What is compared lies together; names are looked at where a hash is the same. */
struct set {
    uint32_t hash[WAYS], count[WAYS], found[WAYS]; /* count 0: the place is free */
    uint8_t name_bytes[WAYS];
    uint8_t name[WAYS][CHANNEL_BYTES_MAX];
};

struct slice {
    int64_t began_us; /* 0: never */
    struct set sets[SETS];
};

/* A channel of several slices. */
struct merged {
    const struct set *set; /* where its name is: the place `way`; NULL: free */
    unsigned way;
    uint64_t events, events_most;
};

struct census {
    pthread_mutex_t lock; /* of everything */
    unsigned edges;
    unsigned newest; /* slice */
    struct slice slices[CENSUS_SLICES];
    struct merged merged[MERGED_ROOM];
    _Atomic int64_t asked_us; /* when somebody asked last; 0: never. Read without the lock, too */
    size_t asked_count;
    struct census_row asked[CENSUS_SHOWN];
    uint64_t subscribers[][CENSUS_SHOWN]; /* [edges]: of each row that was asked for */
};

enum status census_create(unsigned edges, struct census **out, struct problem *problem)
{
    struct census *census = calloc(1, sizeof *census + edges * sizeof census->subscribers[0]);
    if (census == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to count the events of channels");
    }
    pthread_mutex_init(&census->lock, NULL); /* cannot fail with default attributes */
    census->edges = edges;
    *out = census;
    return STATUS_OK;
}

void census_destroy(struct census *census)
{
    if (census != NULL) {
        pthread_mutex_destroy(&census->lock);
        free(census);
    }
}

/* ---- counting -------------------------------------------------------------------------------- */

void census_begin(struct census *census, int64_t now_us)
{
    pthread_mutex_lock(&census->lock);
    struct slice *slice = &census->slices[census->newest];
    if (slice->began_us != 0 && now_us - slice->began_us < CENSUS_SLICE_US) {
        return;
    }
    census->newest = (census->newest + 1) % CENSUS_SLICES;
    slice = &census->slices[census->newest];
    memset(slice, 0, sizeof *slice);
    slice->began_us = now_us;
}

static bool is_at(const struct set *set, unsigned way, uint32_t hash, struct span channel)
{
    return set->hash[way] == hash && set->count[way] > 0 &&
           span_equals(span_of(set->name[way], set->name_bytes[way]), channel);
}

static void take_place(struct set *set, unsigned way, uint32_t hash, struct span channel)
{
    set->hash[way] = hash;
    set->found[way] = set->count[way];
    set->name_bytes[way] = (uint8_t)channel.size;
    memcpy(set->name[way], channel.data, channel.size);
}

/* A hash that is there is nearly always the channel's own. */
static bool count_known(struct set *set, uint32_t hash, struct span channel)
{
    for (unsigned way = 0; way < WAYS; way++) {
        if (set->hash[way] == hash && is_at(set, way, hash, channel)) {
            set->count[way] += set->count[way] < UINT32_MAX;
            return true;
        }
    }
    return false;
}

void census_count(struct census *census, uint32_t hash, struct span channel)
{
    struct set *set = &census->slices[census->newest].sets[hash & (SETS - 1)];
    unsigned least = 0;
    if (channel.size > sizeof set->name[0] || count_known(set, hash, channel)) {
        return; /* to one that is longer nobody may subscribe */
    }
    for (unsigned way = 1; way < WAYS; way++) {
        least = set->count[way] < set->count[least] ? way : least;
    }
    take_place(set, least, hash, channel);
    set->count[least] += set->count[least] < UINT32_MAX;
}

void census_end(struct census *census)
{
    pthread_mutex_unlock(&census->lock);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static struct span name_at(const struct set *set, unsigned way)
{
    return span_of(set->name[way], set->name_bytes[way]);
}

static void merge_place(struct merged *table, const struct set *set, unsigned way)
{
    uint32_t at = set->hash[way] & (MERGED_ROOM - 1);
    while (table[at].set != NULL &&
           !is_at(table[at].set, table[at].way, set->hash[way], name_at(set, way))) {
        at = (at + 1) & (MERGED_ROOM - 1);
    }
    if (table[at].set == NULL) {
        table[at].set = set;
        table[at].way = way;
    }
    table[at].events += set->count[way] - set->found[way];
    table[at].events_most += set->count[way];
}

/* The oldest slice that counts began then; `now_us` where there is none. */
static int64_t merge(struct census *census, int64_t now_us)
{
    int64_t since_us = now_us;
    memset(census->merged, 0, sizeof census->merged);
    for (unsigned i = 0; i < CENSUS_SLICES; i++) {
        const struct slice *slice = &census->slices[i];
        if (slice->began_us == 0 || now_us - slice->began_us > CENSUS_SLICES * CENSUS_SLICE_US) {
            continue;
        }
        since_us = slice->began_us < since_us ? slice->began_us : since_us;
        for (unsigned place = 0; place < SETS * WAYS; place++) {
            const struct set *set = &slice->sets[place / WAYS];
            if (set->count[place % WAYS] > 0) {
                merge_place(census->merged, set, place % WAYS);
            }
        }
    }
    return since_us;
}

static void show(const struct merged *from, struct census_row *out)
{
    struct span name = name_at(from->set, from->way);
    *out = (struct census_row){.events = from->events, .events_most = from->events_most};
    out->channel_bytes = (uint8_t)name.size;
    memcpy(out->channel, name.data, name.size);
}

/* Puts the channel among the busiest so far, in order, if it is one. */
static size_t rank(const struct merged *merged, struct census_row *rows, size_t count)
{
    size_t at = count;
    while (at > 0 && rows[at - 1].events < merged->events) {
        at--;
    }
    if (at == CENSUS_SHOWN) {
        return count;
    }
    size_t kept = count < CENSUS_SHOWN ? count : CENSUS_SHOWN - 1;
    memmove(&rows[at + 1], &rows[at], (kept - at) * sizeof rows[0]);
    show(merged, &rows[at]);
    return kept + 1;
}

static struct span row_name(const struct census_row *row)
{
    return span_of(row->channel, row->channel_bytes);
}

/* What edges have told of the rows before is told of these; they are asked for from now on. */
static void remember(struct census *census, struct census_row *rows, size_t count)
{
    uint64_t told[CENSUS_SHOWN];
    for (unsigned edge = 0; edge < census->edges; edge++) {
        for (size_t i = 0; i < count; i++) {
            size_t at = 0;
            while (at < census->asked_count &&
                   !span_equals(row_name(&census->asked[at]), row_name(&rows[i]))) {
                at++;
            }
            told[i] = at < census->asked_count ? census->subscribers[edge][at] : 0;
            rows[i].subscribers += told[i];
        }
        memcpy(census->subscribers[edge], told, count * sizeof told[0]);
    }
    memcpy(census->asked, rows, count * sizeof rows[0]);
    census->asked_count = count;
}

size_t census_ask(struct census *census, int64_t now_us, struct census_row out[CENSUS_SHOWN],
                  int64_t *out_since_us)
{
    size_t count = 0;
    pthread_mutex_lock(&census->lock);
    *out_since_us = merge(census, now_us);
    for (size_t i = 0; i < MERGED_ROOM; i++) {
        if (census->merged[i].set != NULL) {
            count = rank(&census->merged[i], out, count);
        }
    }
    remember(census, out, count);
    pthread_mutex_unlock(&census->lock);
    atomic_store_explicit(&census->asked_us, now_us, memory_order_relaxed);
    return count;
}

void census_answer(struct census *census, unsigned edge, int64_t now_us,
                   size_t (*count)(void *owner, struct span channel), void *owner)
{
    int64_t asked_us = atomic_load_explicit(&census->asked_us, memory_order_relaxed);
    if (asked_us == 0 || now_us - asked_us > ASKED_US) {
        return;
    }
    pthread_mutex_lock(&census->lock);
    for (size_t i = 0; i < census->asked_count; i++) {
        census->subscribers[edge][i] = count(owner, row_name(&census->asked[i]));
    }
    pthread_mutex_unlock(&census->lock);
}
