/*
 * catch_up.c - a subscription that needs what the window no longer has reads it from the log.
 *
 *     the log                                    the window
 *     |.... read | next …......… until |          | …… cursor …
 *                  └ the history's part ┘ the seam └ the cursor's part
 *
 * It begins when the cursor has a gap: the cursor itself stands behind the gap already, and what
 * lies in it, next … until, is asked of the history thread, a block at a time. When that is read,
 * the cursor goes on where it stands. If the window has passed it again meanwhile, that is another
 * gap, from `until` + 1 on, and the same begins anew: so nothing is missing at the seam, and
 * nothing comes twice.
 *
 *       gap of the cursor,
 *       or `last: n`           slot             a block
 *     OFF ─────────► WAITING ────────► ASKED ─────────────► HOLDING
 *      ▲               ▲ ▲               │                   │   │
 *      │               │ └─ LAPSED ◄─────┼──── too long ─────┘   │
 *      │               │                 ├─ nothing there ─► ┐   │
 *      │               │                 └─► GAP ── said ──► ┤   │
 *      └── all read ───┴───── there is more ◄────────────────┴───┘
 *
 * Only a socket that takes something has turns, so only for such a one the log is read. A block is
 * shared memory of all edges: who does not get rid of it in time gives it back and asks again, and
 * so the slow ones never keep the others from reading.
 *
 * `last: n` needs to know where the n events begin: it seeks downwards from the window's floor, in
 * steps, and then reads upwards as everybody else. It goes down no further than HISTORY_LOOK_BACK,
 * nor than the log.
 */
#include "push/push.h"
#include "edge_private.h"

#include <assert.h>

#define HOLD_US INT64_C(2000000) /* a block may be held for so long */

/* ---- states ---------------------------------------------------------------------------------- */

static struct catch_ups *all_of(const struct subscription *subscription)
{
    return &subscription->session->edge->catch_ups;
}

/* Leaves the list or the slot of the state before, and gives back its block. */
static void leave(struct subscription *subscription)
{
    struct catch_ups *all = all_of(subscription);
    struct catch_up *catch_up = &subscription->catch_up;
    switch ((enum catch_up_state)catch_up->state) {
    case CATCH_UP_OFF:
    case CATCH_UP_LAPSED:
    case CATCH_UP_GAP:
        break;
    case CATCH_UP_WAITING:
        list_remove(&all->waiting, subscription, catch_up.link);
        break;
    case CATCH_UP_ASKED:
        all->asked[catch_up->slot] = NULL; /* the slot is free when its answer has come */
        break;
    case CATCH_UP_HOLDING:
        list_remove(&all->holding, subscription, catch_up.link);
        history_block_drop(catch_up->block);
        catch_up->block = NULL;
        break;
    }
}

static void become(struct subscription *subscription, enum catch_up_state state)
{
    leave(subscription);
    _Atomic uint64_t *behind = &subscription->session->edge->state->subscriptions_behind;
    bool was_behind = subscription->catch_up.state != CATCH_UP_OFF;
    if (was_behind && state == CATCH_UP_OFF) {
        subscription->session->behind_count--;
        atomic_fetch_sub_explicit(behind, 1, memory_order_relaxed);
    } else if (!was_behind && state != CATCH_UP_OFF) {
        subscription->session->behind_count++;
        atomic_fetch_add_explicit(behind, 1, memory_order_relaxed);
    }
    subscription->catch_up.state = (uint8_t)state;
    if (state == CATCH_UP_WAITING) {
        list_append(&all_of(subscription)->waiting, subscription, catch_up.link);
    } else if (state == CATCH_UP_HOLDING) {
        list_append(&all_of(subscription)->holding, subscription, catch_up.link);
    }
}

void catch_up_end(struct subscription *subscription)
{
    become(subscription, CATCH_UP_OFF);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void fill_request(const struct subscription *subscription, struct history_request *out)
{
    const struct catch_up *catch_up = &subscription->catch_up;
    struct span channel = cursor_channel(subscription->cursor);
    bool is_seek = catch_up->kind == HISTORY_SEEK;
    *out = (struct history_request){
        .from = is_seek ? catch_up->seek_from : catch_up->next,
        .until = is_seek ? catch_up->seek_until : catch_up->until,
        .count = catch_up->missing,
        .kind = catch_up->kind,
        .slot = catch_up->slot,
        .channel_bytes = (uint8_t)channel.size,
    };
    memcpy(out->channel, channel.data, channel.size);
}

/* Sends what finds a free slot. The ring has room for a request of each slot. */
static void send_requests(struct edge *edge)
{
    struct catch_ups *all = &edge->catch_ups;
    if (all->waiting.first == NULL || all->free_count == 0) {
        return;
    }
    while (all->waiting.first != NULL && all->free_count > 0) {
        struct history_request request;
        struct subscription *first = all->waiting.first;
        size_t room;
        become(first, CATCH_UP_ASKED);
        first->catch_up.slot = all->free_slots[--all->free_count];
        all->asked[first->catch_up.slot] = first;
        fill_request(first, &request);
        uint8_t *at = ring_reserve(edge->options.to_history, sizeof request, &room);
        assert(at != NULL);
        memcpy(at, &request, sizeof request);
        ring_commit(edge->options.to_history, sizeof request);
    }
    doorbell_ring(edge->options.history_bell);
}

static void wait_for_history(struct subscription *subscription)
{
    become(subscription, CATCH_UP_WAITING);
    send_requests(subscription->session->edge);
}

/* Reads next … until, if there is anything. */
static void read_on(struct subscription *subscription)
{
    struct catch_up *catch_up = &subscription->catch_up;
    catch_up->kind = HISTORY_READ;
    if (catch_up->next > catch_up->until) {
        become(subscription, CATCH_UP_OFF);
    } else {
        wait_for_history(subscription);
    }
}

uint64_t catch_up_seek(struct subscription *subscription, uint64_t count)
{
    struct catch_up *catch_up = &subscription->catch_up;
    uint64_t floor = cursor_floor(subscription->cursor);
    uint64_t from = floor > HISTORY_LOOK_BACK ? floor - HISTORY_LOOK_BACK : 0;
    uint64_t least = log_floor(subscription->session->edge);
    from = from > least ? from : least; /* who resumes there must not be told of a loss */
    if (count == 0 || from >= floor) {
        return cursor_offset(subscription->cursor);
    }
    *catch_up = (struct catch_up){
        .kind = HISTORY_SEEK,
        .until = floor,
        .seek_from = from + 1,
        .seek_until = floor,
        .missing = count,
    };
    wait_for_history(subscription);
    return from;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* There is something to say in the next turn. */
static void make_ready(struct subscription *subscription)
{
    if (!subscription->is_ready) {
        ready_put_last(subscription);
    }
    session_ask_write(subscription->session);
}

static void take_seek(struct subscription *subscription, const struct history_answer *answer)
{
    struct catch_up *catch_up = &subscription->catch_up;
    catch_up->next = answer->oldest != 0 ? answer->oldest : catch_up->next;
    catch_up->missing = answer->count;
    catch_up->seek_until = answer->through;
    bool is_over = answer->verdict == HISTORY_GONE || answer->count == 0 ||
                   answer->through < catch_up->seek_from;
    if (!is_over) {
        wait_for_history(subscription);
        return;
    }
    if (catch_up->next == 0) {
        catch_up->next = catch_up->until + 1; /* nothing was found */
    }
    /* The offset in its answer is as low as the seek went: retention may take it any moment. */
    subscription->session->position.is_due = true;
    read_on(subscription);
}

static void take_read(struct subscription *subscription, const struct history_answer *answer)
{
    struct catch_up *catch_up = &subscription->catch_up;
    catch_up->through = answer->through;
    if (answer->verdict == HISTORY_GONE) {
        become(subscription, CATCH_UP_GAP);
    } else if (answer->block != NULL) {
        become(subscription, CATCH_UP_HOLDING);
        catch_up->block = answer->block;
        catch_up->since_us = clock_monotonic_us();
        batch_walk_begin(&catch_up->walk, answer->block->batch,
                         cursor_channel(subscription->cursor), catch_up->next - 1);
    } else {
        catch_up->next = answer->through + 1;
        read_on(subscription);
    }
}

static void take_answer(struct edge *edge, const struct history_answer *answer)
{
    struct catch_ups *all = &edge->catch_ups;
    struct subscription *subscription = all->asked[answer->slot];
    all->asked[answer->slot] = NULL;
    all->free_slots[all->free_count++] = answer->slot;
    if (subscription == NULL) {
        history_block_drop(answer->block); /* who asked has gone */
        return;
    }
    if (subscription->catch_up.kind == HISTORY_SEEK) {
        take_seek(subscription, answer);
    } else {
        take_read(subscription, answer);
    }
    enum catch_up_state state = (enum catch_up_state)subscription->catch_up.state;
    if (state != CATCH_UP_WAITING && state != CATCH_UP_ASKED) {
        make_ready(subscription);
    }
}

void catch_ups_take(struct edge *edge)
{
    struct ring *answers = edge->options.from_history;
    struct history_answer answer;
    for (size_t left = ring_peek(answers).size; left > 0; left -= sizeof answer) {
        memcpy(&answer, ring_peek(answers).data, sizeof answer);
        /* First out of the ring: its slot may be used again, and answered, before we are through.
         */
        ring_release(answers, sizeof answer);
        take_answer(edge, &answer);
    }
    send_requests(edge);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A subscription that wants the newest only is never sent to the log: what its socket did not take
 * in time, or the window has no more, is passed over and counted. What cannot be counted is a gap.
 */
static enum cursor_answer peek_latest(struct subscription *subscription, struct window_entry *out,
                                      uint64_t *gap_from, uint64_t *gap_to)
{
    if (subscription->session->is_behind || cursor_has_gap(subscription->cursor)) {
        subscription->skipped += cursor_skip(subscription->cursor);
    }
    return cursor_peek(subscription->cursor, out, gap_from, gap_to);
}

/* The cursor's turn. What it has lost is asked of the log, but for a gap that lies behind where it
 * stood: the log went back (a restored database), and what it has there is another history. */
static enum cursor_answer peek_window(struct subscription *subscription, struct window_entry *out,
                                      uint64_t *gap_from, uint64_t *gap_to)
{
    if (subscription->is_latest_only) {
        return peek_latest(subscription, out, gap_from, gap_to);
    }
    struct catch_up *catch_up = &subscription->catch_up;
    uint64_t stood = cursor_offset(subscription->cursor);
    enum cursor_answer answer = cursor_peek(subscription->cursor, out, gap_from, gap_to);
    if (answer != CURSOR_GAP || stood >= *gap_to) {
        return answer;
    }
    *catch_up = (struct catch_up){.next = *gap_from, .until = *gap_to};
    read_on(subscription);
    return CURSOR_END;
}

static enum cursor_answer say_gap(struct subscription *subscription, uint64_t *gap_from,
                                  uint64_t *gap_to)
{
    struct catch_up *catch_up = &subscription->catch_up;
    *gap_from = catch_up->next;
    *gap_to = catch_up->through;
    catch_up->next = catch_up->through + 1;
    read_on(subscription);
    return CURSOR_GAP;
}

enum cursor_answer subscription_peek(struct subscription *subscription, struct window_entry *out,
                                     uint64_t *gap_from, uint64_t *gap_to)
{
    struct catch_up *catch_up = &subscription->catch_up;
    if (catch_up->state == CATCH_UP_HOLDING) {
        if (batch_walk_peek(&catch_up->walk, out)) {
            return CURSOR_ENTRY;
        }
        catch_up->next = catch_up->through + 1;
        read_on(subscription);
    }
    switch ((enum catch_up_state)catch_up->state) {
    case CATCH_UP_OFF:
        return peek_window(subscription, out, gap_from, gap_to);
    case CATCH_UP_LAPSED:
        wait_for_history(subscription);
        return CURSOR_END;
    case CATCH_UP_GAP:
        return say_gap(subscription, gap_from, gap_to);
    case CATCH_UP_WAITING:
    case CATCH_UP_ASKED:
    case CATCH_UP_HOLDING: /* not here */
        break;
    }
    return CURSOR_END;
}

void subscription_advance(struct subscription *subscription)
{
    struct catch_up *catch_up = &subscription->catch_up;
    struct window_entry entry;
    if (catch_up->state != CATCH_UP_HOLDING) {
        cursor_advance(subscription->cursor);
    } else if (batch_walk_peek(&catch_up->walk, &entry)) {
        catch_up->next = entry.offset + 1;
        batch_walk_advance(&catch_up->walk);
    }
}

bool subscription_is_through(const struct subscription *subscription)
{
    return subscription->catch_up.state == CATCH_UP_OFF && subscription->skipped == 0 &&
           cursor_is_at_end(subscription->cursor);
}

/* ---- all of them ----------------------------------------------------------------------------- */

void catch_ups_init(struct edge *edge)
{
    struct catch_ups *all = &edge->catch_ups;
    for (; all->free_count < HISTORY_REQUESTS_MAX; all->free_count++) {
        all->free_slots[all->free_count] = (uint8_t)all->free_count;
    }
}

void catch_ups_fini(struct edge *edge)
{
    if (edge->options.from_history != NULL) {
        catch_ups_take(edge);
    }
}

void catch_ups_tick(struct edge *edge, int64_t now_us)
{
    struct subscription *first;
    while ((first = edge->catch_ups.holding.first) != NULL &&
           now_us - first->catch_up.since_us > HOLD_US) {
        become(first, CATCH_UP_LAPSED); /* it has its place among the ready ones of its session */
    }
}
