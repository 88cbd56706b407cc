/*
 * conduct.c - see conduct.h.
 *
 * A batch with refused rows costs the lane many times what a good one does, and everybody whose
 * events are in it waits. One refused event now and then is nobody's concern; whoever sends mostly
 * such events is to wait for its next message:
 *
 *   1. the first refused event of a publisher gives it a place here, and from then on its events
 *      are counted, good and bad. At COUNTED_MAX both counts are halved, so the past fades;
 *   2. a batch with refused events of it, when more of its events were bad than good and at least
 *      BAD_LEAST of them, is a strike: it waits HOLD_MS, twice as long with each further strike, up
 *      to a limit;
 *   3. whoever has waited is told after each later batch that was no strike that it may go on;
 *   4. as soon as as many were good as bad, it is trusted: its place is free.
 *
 * A publisher is what its records say (its producer name, else its connection), so that it does not
 * get rid of its strikes by connecting again under its name. Where more misbehave than there are
 * places, those not seen for longest are forgotten; forgetting is forgiving.
 */
#include "conduct.h"

#define HOLD_MS     100
#define BAD_LEAST   8
#define COUNTED_MAX 64

static struct publisher *group_of(struct conduct *conduct, uint64_t producer)
{
    return &conduct->publishers[producer % CONDUCT_GROUPS * CONDUCT_WAYS];
}

static struct publisher *find(struct conduct *conduct, uint64_t producer)
{
    struct publisher *group = group_of(conduct, producer);
    for (unsigned i = 0; i < CONDUCT_WAYS; i++) {
        if (group[i].seen != 0 && group[i].producer == producer) {
            return &group[i];
        }
    }
    return NULL;
}

/* A free place, or that of whoever has not been seen for longest. */
static struct publisher *enter(struct conduct *conduct, uint64_t producer)
{
    struct publisher *group = group_of(conduct, producer), *place = group;
    for (unsigned i = 1; i < CONDUCT_WAYS; i++) {
        place = group[i].seen < place->seen ? &group[i] : place;
    }
    conduct->count += place->seen == 0;
    *place = (struct publisher){.producer = producer};
    return place;
}

static void free_trusted(struct conduct *conduct)
{
    for (size_t i = 0; i < CONDUCT_GROUPS * CONDUCT_WAYS; i++) {
        if (conduct->publishers[i].is_trusted) {
            conduct->publishers[i] = (struct publisher){0};
            conduct->count--;
        }
    }
}

/* ---- counting -------------------------------------------------------------------------------- */

static uint32_t count_bad(const struct batch *batch, const struct batch_record *record)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; batch->rejected > 0 && i < record->event_count; i++) {
        bad += batch->events[record->first_event + i].outcome == EVENT_REJECTED;
    }
    return bad;
}

static void count_record(struct conduct *conduct, const struct batch *batch,
                         const struct batch_record *record)
{
    uint32_t bad = count_bad(batch, record);
    struct publisher *publisher = find(conduct, record->header.producer);
    if (publisher == NULL) {
        if (bad == 0) {
            return;
        }
        publisher = enter(conduct, record->header.producer);
    }
    if (publisher->seen != conduct->batch) {
        publisher->seen = conduct->batch;
        publisher->bad_now = 0;
        publisher->was_told = false;
    }
    publisher->bad_now += bad;
    publisher->bad += bad;
    publisher->good += record->event_count - bad;
}

/* ---- ruling ---------------------------------------------------------------------------------- */

static uint32_t hold_ms_of(uint32_t strikes, uint64_t hold_ms_max)
{
    unsigned doublings = strikes - 1 < 20 ? strikes - 1 : 20;
    uint64_t hold_ms = (uint64_t)HOLD_MS << doublings;
    return (uint32_t)(hold_ms < hold_ms_max ? hold_ms : hold_ms_max);
}

static void rule(struct publisher *publisher, uint64_t hold_ms_max)
{
    bool is_strike =
        publisher->bad_now > 0 && publisher->bad >= BAD_LEAST && publisher->bad > publisher->good;
    publisher->strikes += is_strike;
    publisher->is_told = publisher->strikes > 0;
    publisher->hold_ms = is_strike ? hold_ms_of(publisher->strikes, hold_ms_max) : 0;
    publisher->is_trusted = publisher->good >= publisher->bad;
    while (publisher->good + publisher->bad > COUNTED_MAX) {
        publisher->good /= 2;
        publisher->bad /= 2;
    }
}

bool conduct_judge(struct conduct *conduct, const struct batch *batch, uint64_t hold_ms_max)
{
    if (batch->rejected == 0 && conduct->count == 0) {
        return false;
    }
    bool is_anybody_told = false;
    conduct->batch++;
    free_trusted(conduct);
    for (size_t i = 0; i < batch->record_count; i++) {
        count_record(conduct, batch, &batch->records[i]);
    }
    for (size_t i = 0; i < CONDUCT_GROUPS * CONDUCT_WAYS; i++) {
        struct publisher *publisher = &conduct->publishers[i];
        if (publisher->seen == conduct->batch) {
            rule(publisher, hold_ms_max);
            is_anybody_told = is_anybody_told || publisher->is_told;
        }
    }
    return is_anybody_told;
}

static bool is_same(struct return_address a, struct return_address b)
{
    return a.edge == b.edge && a.slot == b.slot && a.generation == b.generation;
}

bool conduct_tell(struct conduct *conduct, const struct record_header *header,
                  uint32_t *out_hold_ms)
{
    struct publisher *publisher = find(conduct, header->producer);
    if (publisher == NULL || publisher->seen != conduct->batch || !publisher->is_told ||
        (publisher->was_told && is_same(publisher->told, header->from))) {
        return false;
    }
    publisher->was_told = true;
    publisher->told = header->from;
    *out_hold_ms = publisher->hold_ms;
    return true;
}
