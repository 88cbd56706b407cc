/*
 * rings.c - the three, see rings.h.
 *
 * Concurrency Kit's ring carries pointers; the records lie in an array with as many places as the
 * ring has entries, and two more: the one being written, and the one being read.
 */
#include "rings.h"

#include "penstock/ring.h"

#include <ck_ring.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- ours ------------------------------------------------------------------------------------ */

struct ours {
    struct ring ring;
    size_t shown; /* bytes of the last take */
};

static void *ours_open(size_t record_bytes)
{
    struct problem problem;
    struct ours *ours = aligned_alloc(CACHE_LINE_BYTES, sizeof *ours);
    (void)record_bytes;
    if (ours == NULL || ring_init(&ours->ring, HELD_BYTES, &problem) != STATUS_OK) {
        abort();
    }
    ours->shown = 0;
    return ours;
}

static void ours_close(void *queue)
{
    struct ours *ours = queue;
    ring_fini(&ours->ring);
    free(ours);
}

static bool ours_put(void *queue, const uint8_t *record, size_t size)
{
    struct ours *ours = queue;
    size_t room;
    uint8_t *at = ring_reserve(&ours->ring, size, &room);
    if (at == NULL) {
        return false;
    }
    memcpy(at, record, size);
    ring_commit(&ours->ring, size);
    return true;
}

static const uint8_t *ours_take(void *queue, size_t size, size_t *out_records)
{
    struct ours *ours = queue;
    if (ours->shown > 0) {
        ring_release(&ours->ring, ours->shown);
    }
    struct span there = ring_peek(&ours->ring);
    ours->shown = there.size;
    *out_records = there.size / size;
    return there.size == 0 ? NULL : there.data;
}

const struct queue queue_ours = {"penstock", ours_open, ours_close, ours_put, ours_take};

/* ---- Concurrency Kit ------------------------------------------------------------------------- */

struct ck {
    ck_ring_t ring;
    uint8_t *records;             /* owns */
    struct ck_ring_buffer *slots; /* owns */
    size_t places, next;
};

static void *ck_open(size_t record_bytes)
{
    struct ck *ck = aligned_alloc(CACHE_LINE_BYTES, (sizeof *ck + 63) / 64 * 64);
    size_t entries = HELD_BYTES / record_bytes; /* both are powers of two */
    if (ck == NULL) {
        abort();
    }
    ck_ring_init(&ck->ring, (unsigned)entries);
    ck->places = entries + 2;
    ck->next = 0;
    ck->records = aligned_alloc(4096, (ck->places * record_bytes + 4095) / 4096 * 4096);
    ck->slots = calloc(entries, sizeof *ck->slots);
    if (ck->records == NULL || ck->slots == NULL) {
        abort();
    }
    return ck;
}

static void ck_close(void *queue)
{
    struct ck *ck = queue;
    free(ck->records);
    free(ck->slots);
    free(ck);
}

static bool ck_put(void *queue, const uint8_t *record, size_t size)
{
    struct ck *ck = queue;
    uint8_t *at = ck->records + ck->next * size;
    if (ck_ring_size(&ck->ring) >= ck_ring_capacity(&ck->ring) - 1) {
        return false; /* before the copy: the place may still be read */
    }
    memcpy(at, record, size);
    if (!ck_ring_enqueue_spsc(&ck->ring, ck->slots, at)) {
        return false;
    }
    ck->next = ck->next + 1 == ck->places ? 0 : ck->next + 1;
    return true;
}

static const uint8_t *ck_take(void *queue, size_t size, size_t *out_records)
{
    struct ck *ck = queue;
    void *record;
    (void)size;
    *out_records = 1;
    return ck_ring_dequeue_spsc(&ck->ring, ck->slots, &record) ? record : NULL;
}

const struct queue queue_ck = {"Concurrency Kit", ck_open, ck_close, ck_put, ck_take};

/* ---- a mutex --------------------------------------------------------------------------------- */

struct locked {
    pthread_mutex_t mutex;
    uint8_t *records; /* owns */
    size_t places, head, count;
    bool is_shown;
};

static void *locked_open(size_t record_bytes)
{
    struct locked *locked = calloc(1, sizeof *locked);
    if (locked == NULL || pthread_mutex_init(&locked->mutex, NULL) != 0) {
        abort();
    }
    locked->places = HELD_BYTES / record_bytes;
    locked->records = aligned_alloc(4096, HELD_BYTES);
    if (locked->records == NULL) {
        abort();
    }
    return locked;
}

static void locked_close(void *queue)
{
    struct locked *locked = queue;
    pthread_mutex_destroy(&locked->mutex);
    free(locked->records);
    free(locked);
}

static bool locked_put(void *queue, const uint8_t *record, size_t size)
{
    struct locked *locked = queue;
    pthread_mutex_lock(&locked->mutex);
    bool has_room = locked->count < locked->places;
    if (has_room) {
        size_t place = (locked->head + locked->count) % locked->places;
        memcpy(locked->records + place * size, record, size);
        locked->count++;
    }
    pthread_mutex_unlock(&locked->mutex);
    return has_room;
}

static const uint8_t *locked_take(void *queue, size_t size, size_t *out_records)
{
    struct locked *locked = queue;
    pthread_mutex_lock(&locked->mutex);
    if (locked->is_shown) {
        locked->head = (locked->head + 1) % locked->places;
        locked->count--;
    }
    locked->is_shown = locked->count > 0;
    const uint8_t *record = locked->is_shown ? locked->records + locked->head * size : NULL;
    pthread_mutex_unlock(&locked->mutex);
    *out_records = 1;
    return record;
}

const struct queue queue_mutex = {"mutex", locked_open, locked_close, locked_put, locked_take};
